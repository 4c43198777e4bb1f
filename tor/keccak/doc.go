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
package keccak
