// Package journal keeps the few events that must survive the process: what guards there
// are, which configuration is in force. It implements messages.Journal.
//
//	actor ─Record─► lane (queue) ─┐
//	                              ├─► Journal ─► NATS server without any listener ─► disk
//	            Append, Snapshot ─┘   (one at a time)  each message is synced
//
// An aggregate is one history, numbered from 1. A record holds the events of one append, or
// a whole state, with a checksum of its own; it is one message of a JetStream stream, under
// the aggregate's subject, and so written as a whole or not at all. The stream's expected
// sequence and the aggregate's fence off whoever decided on an older state; ids make an
// append that may or may not have been written safe to repeat.
//
//	      Open                 write fails              tried again, works
//	───────────────► ready ────────────────► degraded ────────────────────► ready
//	                   └──────────── Close ─────┴──────► closed
//
// Open reads all that is there and checks that it is whole. A store that is not is moved
// aside, and every record that can be verified is carried over into a new one; Recovery
// says what happened. A store of a later format is left alone.
//
// Nothing of the journal leaves the node: its server is not the one that events go to, has
// no listener, and one connection, which is held here.
package journal
