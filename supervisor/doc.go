// Package supervisor retries by stopping and respawning: exponential backoff
// with jitter, a circuit breaker for each dependency, and the Supervisor actor
// that applies both to its children.
//
// Vocabulary: a child has a name (what it is to its asker) and a key (what it
// depends on, such as a relay or a directory); children with the same key share
// a breaker. An attempt is one spawn of a child. A child is healthy when it has
// said so, not when it has started.
//
// A child, as StateChanged tells it:
//
//	Supervise ──► spawn ── Healthy ──► up
//	      ▲  ▲      │                   │ fails
//	      │  │      │ fails             ▼
//	      │  │      │                 down
//	      │  │      ▼                   │
//	      │  └── backoff ◄──────────────┤
//	      │         │ breaker refuses   │
//	      └────── open                  │ stops by itself, is forgotten, fails
//	                                    ▼ for good or too often
//	                                  gone
//
// A breaker:
//
//	        Failures in a row, or Rate of at least MinRequests in Window
//	closed ────────────────────────────────────────────────────────► open
//	  ▲                                                      ▲         │ OpenFor
//	  │ a probe succeeds                       a probe fails │         ▼
//	  └────────────────────────────────────────────────── half-open ◄──┘
//
// Rule 0: backoff and breakers decide when something is tried, never which
// guard, relay or isolation group is used.
//
// A Supervisor is an actor to be spawned with kernel.Props; it needs nothing
// of kernel itself. It never restarts a child in place: the library's restart
// can resurrect an actor that is stopping.
package supervisor
