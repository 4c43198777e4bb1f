// Package relaydouble is a test relay: TLS servers on loopback that speak Tor's
// link and circuit protocols and misbehave on demand.
//
// It adds faults that no real relay would commit and measures the client alone. It
// never proves a protocol: that is what the tests against real relays do.
//
// Vocabulary: a [Relay] is one process's worth of [Hop]s, each with an identity, an
// onion key and an OR port of its own. It is *collapsed*: a circuit that enters at
// one hop and extends to others stays on one connection, and this end holds the
// keys of every layer. A [Handler] serves a stream. A [Fault] runs an [Action] when
// a [Point] of the protocol is reached.
//
//	client ══TLS══▶ Hop 0 ┌─────────── Relay ────────────┐
//	  CREATE2        ────▶│ ServeNtor(hop 0)             │
//	  EXTEND2 (→ 1)  ────▶│ ServeNtor(hop 1), same link  │
//	  EXTEND2 (→ 2)  ────▶│ ServeNtor(hop 2)             │
//	  BEGIN          ────▶│ Handler(stream)              │
//	                      └──────────────────────────────┘
//
// Without faults it is strict: what a client may not do is recorded as a violation
// ([Relay.Violations]) and answered as the specification says. SENDMEs are
// authenticated and windows kept in both directions.
//
// Implements the relay's side of tor-spec sections 4 (link), 5.1 to 5.6 (circuits),
// 6 (relay cells, streams) and 7.3, 7.4 (flow control); of proposal 324 its negotiation,
// SENDMEs, XOFF and XON, with a window that stays what it is. RESOLVE
// is answered with 127.0.0.1. Leaves out: TAP, extending to other processes, conflux, onion
// services, Vegas.
package relaydouble
