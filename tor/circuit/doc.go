// Package circuit is the client's end of one Tor circuit as a pure state
// machine: it is fed the cells that arrive and the wishes of its streams, and
// answers with events and with the cells to send. It knows no socket, clock or
// actor; randomness is passed in.
//
//	          Start                 last hop answered
//	(new) ───────────► Building ───────────────────────► Open
//	                      │  │ CREATED2/EXTENDED2 (not last): EXTEND2 │
//	                      │  └────────────────────────────┘           │
//	                      └──────── any error, DESTROY ──────────► Closed
//
// An open circuit of which nothing was asked yet may be extended by one more hop: it is
// Building again until that has answered.
//
// Every (relay command × circuit state × hop × stream state) pair that is not
// listed in receive.go is a protocol violation: the caller closes the circuit
// with the reason the error carries. Streams:
//
//	Begin ─► pending ── CONNECTED ─► open ── END received ─► gone
//	            │ End                  │ End
//	            └──────► half-closed ◄─┘ ── END received ─► gone
//
// The circuits by which clients and onion services meet have states of their own; see
// onion.go. On one where we are the service the client begins the streams:
//
//	BEGIN received ─► pending ── Accept ─► open ── END received ─► gone
//	                     │ EndFor           │ EndFor
//	                     └──────► half-closed ◄─┘
//
// A half-closed stream is one that we ended: what the far end had on its way
// is counted against the windows it had and dropped.
//
// A leg of a conflux set is open like any other, and hands the messages of streams to
// its set (leg.go); the set's streams are those of a circuit without hops (over.go).
//
// A circuit to an introduction or a rendezvous point (onion.go) carries no streams before a
// service has joined it as its last hop, and is padded by its second hop (padding.go).
//
// It implements tor-spec §5 (building), §6 (streams) and §7 (flow control,
// SENDME version 1 of proposal 289), and XOFF and XON of proposal 324. The bytes of
// handshakes and layers are those of tor/handshake and tor/relaycrypto: with each hop
// either tor1 and the old format of relay cells, or Counter Galois Onion and the new one
// (proposals 359, 340 and 346), whatever the others speak.
package circuit
