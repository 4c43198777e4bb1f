// Package pow is the onion services' proof of work, version 1 (proposal 327,
// hspow-spec): what a client pays to be introduced to a service under attack.
//
//	client                                service
//	  │        descriptor: pow-params       │  Gate.Params: seed, suggested effort
//	  │ <───────────────────────────────────│
//	Attempt → effort, Solver.Solve          │
//	  │        INTRODUCE2: Proof            │
//	  │ ───────────────────────────────────>│  Gate.Verify, then Queue.Push
//	  │                                     │  Queue.Pop: most effort first
//	  │        rendezvous                   │
//	  │ <───────────────────────────────────│
//	                                        │  each 5 minutes Queue.Update:
//	                                        │  a new suggested effort
//
// The effort E is linear: a proof of effort E takes about E Equi-X solutions.
// A client starts with what the descriptor suggests, which is nothing while
// the service keeps up, and pays more at every retry ([Effort]). The service
// serves whoever paid most and raises or lowers its suggestion so that its
// queue neither overflows nor lies idle.
//
// The package has no clock and no randomness of its own. Sending, publishing
// and the rate at which the queue is emptied are its caller's.
package pow
