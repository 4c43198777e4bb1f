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
// It implements tor-spec §5 (building), §6 (streams) and §7 (flow control,
// SENDME version 1 of proposal 289). The bytes of handshakes and layers are
// those of tor/handshake and tor/relaycrypto.
package circuit
