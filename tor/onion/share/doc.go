// Package share is how nodes that hold one onion service's key agree, without a network of
// their own, which of them publishes its descriptor, and on what that lists.
//
// Each node has introduction points of its own and tells the others of them by an entry
// ([Member]), which it writes again and again. One node at a time holds the lease ([Lease])
// and with it the right to publish. All of it is in a store that gives each write a number
// and can refuse a write when the last number is not the one that the writer has seen.
//
//	            has points, and                 stored
//	watching ── nobody was heard for Wait ──► taking ──► holding ─┐ renewed every Renew
//	   ▲                                         │          ▲     │
//	   │        another was quicker              │          └─────┘
//	   ├─────────────────────────────────────────┘          │
//	   └── another took it, or it was not renewed within Lease
//
// Never two. A holder's right ends Lease after the moment before it sent the last request
// that succeeded, by its own monotonic clock. Another takes the lease only by replacing that
// very entry, Wait after it first saw it, by its own. Since what it saw was sent before it
// was seen, and Lease is less than Wait by more than clocks differ in speed, the one right
// is over before the other begins. No two clocks are compared, and what was read gives
// nobody a right: an entry may have been stored again by somebody who has not the key. A machine that slept, which its monotonic clock does not tell, shows by
// the other clock: then the right is in doubt, and is over until the lease is renewed.
//
// A holder that leaves names an heir in its last renewal ([Heir]), who takes the lease at
// once: a run of a node, by an entry of that run that is at most Timing.Heir old. So what
// names somebody is of no use when it is stored again.
//
// Revisions. Directories keep the descriptor with the highest revision, and revisions follow
// from a time (onion.RevisionKey). So each epoch of the lease has a range of times for them,
// which is in the lease before it is used: whoever takes the lease next begins behind the
// end of it, be its clock an hour behind. So an upload that comes late never replaces the
// newer one, and revisions look as those of a lone service with a clock that is a minute off.
//
// What is stored is sealed with keys that follow from the identity key ([Keys]): the store
// learns no address, and who has not the key can take entries away, at most.
//
// A [Machine] is for one goroutine at a time; it does no I/O and has no clock.
package share
