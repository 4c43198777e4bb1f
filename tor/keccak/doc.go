// Package keccak is SHA3-256 (FIPS 202) for the relay cells of onion services, whose running
// digest is most of what such a cell costs: five permutations, none of which can begin before
// the last is done. With AVX-512 each lane of the state has a register of its own, the five
// parities of θ and what χ needs have the other seven, and three operations on bits are one
// instruction; elsewhere this is the standard library's.
//
// A round makes one row of its result after the other, so that the rotations of ρ, of which
// the processor can begin two at a time, go on beside the rest of θ and χ. π is left to the
// end of the round: moves between registers cost almost nothing. To have a row of lanes in
// one register takes fewer instructions, but each of them then waits for lanes to be put
// in order: it was a fifth slower.
//
// A digest in the middle takes a permutation that what is written next does not wait for. Both
// go on in the two halves of the same registers, if the digest may come later ([Late]).
package keccak

// Late is a hash whose digest may wait for what is written next.
type Late interface {
	// Later has the digest of what was written until now put into sum: when more is written
	// that fills a block, or by Settle. One can be due at a time; a second settles the first.
	Later(sum *[32]byte)
	// Settle has the digest made that is due, if one is.
	Settle()
}
