// Package relaycrypto is the onion: the layered encryption of relay cells on one
// circuit, with, at each hop, either Counter Galois Onion (package cgo) or the "tor1"
// scheme (AES-128-CTR and a running SHA-1 digest a hop and a direction).
//
// Vocabulary: *forward* is away from the client, *backward* towards it. A *layer*
// is what the client shares with one hop. A cell is *recognized* at the hop it is
// for: with tor1 where its decrypted "recognized" field is zero and its digest matches. The *tag* of a
// cell is what authenticated SENDMEs carry for it (proposal 289): with tor1 the full
// 20-byte running digest after it.
//
// With tor1 at each hop:
//
//	client (Stack)                 hop 0        hop 1        hop 2 (RelayLayer)
//	Seal(RELAY, body, 2)
//	  digest with Df2 ─ Kf2 Kf1 Kf0 ─▶ Kf0 ───────▶ Kf1 ───────▶ Kf2, digest ok
//	Open(RELAY, body) = 2
//	  digest ok ◀─ Kb2 Kb1 Kb0 ──────── Kb0 ◀─────── Kb1 ◀─────── Db2, Kb2: Originate
//
// Where a client and an onion service have met, each has one more layer, to the
// other, after the rendezvous point's: AES-256 and SHA3-256 in the same places
// ([NewClientRendezvousLayer], [NewServiceRendezvousLayer]).
//
// Bodies are the 509 bytes after a cell's header and are worked on in place. No
// call allocates. None is safe for concurrent use on the same Stack, with one
// exception: the forward and the backward direction share nothing, so Seal and
// Open may run at the same time.
//
// Implements tor-spec sections 5.5.2, 5.5.3 and 6.1 (format of relay cells, the
// fields recognized and digest) and 7.3.1 (what a SENDME digest is).
//
// Left to others: what a relay cell means (package cell), when a SENDME is due
// (flow control), which scheme a hop speaks (its handshake), and to destroy a circuit whose cell nobody recognizes.
package relaycrypto
