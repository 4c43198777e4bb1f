// Package cgo is Counter Galois Onion, the encryption of relay cells that replaces tor1
// (proposal 359; Degabriele, Melloni, Münch, Stam, "Counter Galois Onion", eprint 2025/583).
// It is no relation of Go's foreign function interface, which chive does without.
//
// A cell's body is a tag of 16 bytes, X_L, and 493 bytes of content, X_R. Each hop is a
// cipher of the whole body, built so that a cell that is changed anywhere decrypts to noise
// at every later hop, and each key is replaced, beyond recovery, after each cell that the
// hop itself sends or takes:
//
//	UIV    the cipher of a body:  ET of X_L, tweaked by X_R; PRF, from X_L, onto X_R
//	ET     AES of one block, masked by POLYVAL over (T', command, X_R)
//	PRF    AES in counter mode from POLYVAL of X_L
//	T'     the tag of the last cell as it was on the wire: the cells are a chain
//	N      what the tag of the hop's next own cell is, when decrypted
//	Update replaces the UIV's keys and N by what the PRF makes of N
//
// Relays always encrypt and clients always decrypt: only encryption turns any change into
// noise. So the two ends of a direction are four types:
//
//	away from the client:  ClientForward.Originate, Pass ──▶ RelayForward.Receive
//	towards the client:    ClientBackward.Receive ◀── RelayBackward.Originate, Pass
//
// The tag that an authenticated SENDME carries for a cell is its 16-byte tag on the wire at
// that hop: Tag, after the cell.
//
// On amd64 AES runs on AES-NI, and four blocks at a time with VAES under AVX-512; there,
// no call allocates, and the key schedules are made in place. Elsewhere AES is crypto/aes,
// which is constant-time where the processor has AES instructions; a new key costs it two
// small allocations, once for each cell that the hop itself sends or takes.
//
// Left to others: what is in X_R (tor/cell, format V1), which hop a cell is for
// (tor/relaycrypto), and that a cell nobody recognizes ends the circuit.
package cgo
