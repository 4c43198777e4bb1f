// Package fold holds the state machines that events drive: what a connection,
// a circuit or a stream is, judged by nothing but its events. An event that
// its state does not allow is an error, so the same fold that tells a state
// also proves a log.
//
//	connection  none ─dialled─► dialled ─opened─► open ─closed─► closed
//	                              │  ▲
//	                         failed  dialled again, next attempt
//	                              ▼  │
//	                             failed
//
//	circuit     none ─launched─► building ─opened─► open ─closed─► closed
//	                              │ extended*         dirtied, once
//	                              └─failed─► failed
//	(built ahead) open ─assigned, once─► open, or building when hops are added
//
//	conflux set none ─set launched─► building ─set linked─► open ─closed─► closed
//	(a circuit)                      │ leg linked, lost       leg lost, dirtied once
//	                                 └─failed─► failed
//
//	stream      none ─requested─► waiting ─attached─► attached ─connected─► connected
//	                                ▲                    │                     │
//	                                └──────detached──────┴─────────────────────┘
//	            any but none ─ended─► ended
//
// ActorFailed changes no state: what follows from it is told by its own event.
//
// Node is the projection of a whole node: those machines for every actor, and
// the guards, breakers, listeners and the configuration. It refuses nothing, so
// that a log with a hole still tells the rest; what ended is remembered within
// bounds; its JSON form is a snapshot. The Views join what belongs together.
//
// Folding is not safe for concurrent use and keeps lifecycle data only.
package fold
