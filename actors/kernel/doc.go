// Package kernel is where chive's actor systems, actors and goroutines are
// made. It corrects, in one place, what the actor library leaves open:
//
//   - NewSystem: an actor system without metrics, with our dead letters, and
//     a root that never restarts anything.
//   - Props: every actor runs on a pool of warm goroutines, has a mailbox that
//     handles system messages first and gives memory back after a burst, and
//     is guarded so that a panic while stopping cannot wedge or resurrect it.
//   - A child that fails is stopped, never restarted, and its parent receives
//     a ChildFailed in its own turn, always before the child's Terminated.
//   - Go: a goroutine that recovers. No other package under actors/ or bridge/
//     has a go statement.
//   - After: a timer that becomes a message. Once Stop has returned, the
//     message is never delivered, even if it was already in the mailbox.
//   - Ask: a question with a reply channel; it ends when the actor does.
//   - StopAndWait: stops a tree and waits until its root is gone.
//
// The life of an actor:
//
//	          spawn            Stop, or any panic
//	producer ──────► started ──────────────────────► stopping ──► stopped
//	                 │     ▲                          │  children stop first
//	                 └─────┘ messages                 ▼
//	                                      panics are recovered and reported
//
//	panic in a handler:  mailbox suspended ─► parent's turn: child is told to
//	stop, parent receives *ChildFailed ─► ... ─► parent receives *Terminated
//
// Rules for actors: do not Watch your own children (Terminated comes anyway),
// do not use SetReceiveTimeout, Stash, RequestFuture, ReenterAfter or Bounded
// mailboxes; do not block in a handler.
//
// Retrying with backoff is package supervisor's; what actors do is theirs.
package kernel
