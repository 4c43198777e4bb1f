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
//
//	stream      none ─requested─► waiting ─attached─► attached ─connected─► connected
//	                                ▲                    │                     │
//	                                └──────detached──────┴─────────────────────┘
//	            any but none ─ended─► ended
//
// ActorFailed changes no state: what follows from it is told by its own event.
// Folding is not safe for concurrent use and keeps lifecycle data only.
package fold
