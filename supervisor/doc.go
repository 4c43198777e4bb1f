// Package supervisor keeps actors running by stopping and respawning them:
// strategies (backoff, breaker, what to do when that does not help) for each
// kind of child, and a quarantine for input that crashes them. Backoff,
// breakers, policies and budgets themselves are package retry.
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
//	      │  └── backoff ◄──────────────┤    after Retries in a row: exhausted,
//	      │         │ breaker refuses   │    once, and on at the longest wait
//	      └────── open                  │
//	                                    │ ends by itself, is forgotten, or
//	                                    ▼ failed with the directive Stop
//	                                  gone
//
// So a failing child is never given up for good unless it asks for it itself,
// and that is told with its error.
//
// Rule 0: backoff, breakers, budgets and the quarantine decide when something
// is tried, never which guard, relay or isolation group is used.
//
// Children is for an actor that has more to do than to supervise; Supervisor is
// an actor that does nothing else. Both are for actors made of kernel.Props. A
// child is never restarted in place: the library's restart can resurrect an
// actor that is stopping.
package supervisor
