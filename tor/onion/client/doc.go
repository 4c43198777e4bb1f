// Package client is a client of one onion service as a pure state machine: how its
// descriptor is found and kept, whom a client is introduced by, where it meets the
// service, and what is tried again. It knows no socket, clock or actor: what happens
// is put in with the time, and [Service.Take] gives what is to be done.
//
//	Connect ──► descriptor? ── no ──► Fetch ── Fetched, NotFetched ──┐
//	                │ yes   ◄────────────────────────────────────────┘
//	                ├──► OpenRendezvous ── Established ───┐
//	                ├──► OpenIntroduction ── Opened ──────┤
//	                └──► Solve, if work is asked ─ Solved ┤
//	                                                      ▼
//	                                  Introduce ── Acked ──► Met ──► Join
//
// An *attempt* is one wish for a rendezvous with the service; streams of one isolation
// group share it, and it ends with Join or Failed. A *rendezvous* and an *introduction*
// are circuits of an attempt; each has an ID that is never used again. The cookie and
// the keys of a rendezvous are of one introduction only: once an INTRODUCE1 has gone
// out whose fate is not a clear no, both circuits are spent together.
//
// The descriptor, the memory of directories asked and of introduction points that
// failed are of the service, for all attempts alike (as with C tor).
//
// Bounds: a directory is asked for one blinded key once in 15 minutes until a rendezvous
// succeeds (C tor does likewise; the text leaves it open), and tried by three circuits if none
// reaches it;
// an attempt has a limited number of rendezvous, of introductions and one more fetch.
//
// Specification: rend-spec-v3 sections 2.2, 3.2 to 3.4, 4; proposals 324 and 327; the
// causes are those of proposal 304.
//
// Left to others: paths and circuits, HTTP, the solver, and when streams give up.
package client
