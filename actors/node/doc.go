// Package node is the root of the actor tree and what a program starts: it
// opens the data directory and the event bridge, spawns connections, circuits,
// directory and listeners, passes messages between them, and starts anew,
// after a wait, whichever of them fails. Should the node's own actor fail, the
// one above it does the same for all of them.
//
//	                    node
//	  ┌──────────┬───────┴───┬─────────────┐
//	ingress  directory  circuits      connections
//	                      └ circuit     └ connection
//	                          └ stream
//
// Others address the node, not its children: a child that was replaced is
// found by what is sent, not by whom it is sent to.
package node
