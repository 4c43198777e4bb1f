// Package onions is how this node reaches onion services: one actor a service, each with
// the state machine of tor/onion/client, and the actor that supervises them.
//
//	circuits ── Meet ──► onions ──► service ── Open, Carry ──► circuits
//	    ▲                              │ Establish, Introduce, Join ──► the circuit itself
//	    └───────── Met, NotMet ────────┘
//
// Which stream goes on which circuit, and which streams may share one, is for the circuits
// to say: here a meeting is arranged, for whom ever it is. Nothing here chooses a guard or
// a rendezvous point; the introduction points are the service's choice, and it is the
// shape of the path that takes the edge off that (tor/path).
//
// A service of which nothing is remembered is forgotten: its actor ends. One that fails
// is started anew, with nothing but its address; the meetings it had under way are not.
//
// The search for a proof of work takes a core for seconds, so there is one at a time in
// the node.
//
// Messages it understands: circuits.Meet, circuits.NoMeet, Network, Configure, Forget; those of
// its children.
package onions
