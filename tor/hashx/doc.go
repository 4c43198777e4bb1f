// Package hashx is HashX, the hash at the bottom of the onion services'
// proof of work (proposal 327, hspow-spec "v1-equix").
//
// HashX is a family of functions from 64-bit words to 64-bit words. A seed
// picks the member: its BLAKE2b hash keys two SipHash instances, of which the
// first drives a generator of a random program of 512 instructions on eight
// 64-bit registers and the second fills the registers from the input and
// blinds the result. The program is laid out so that it keeps an out-of-order
// CPU's integer ports as busy as they can be, which is what makes a chip
// built for it no better than a CPU.
//
//	seed ── BLAKE2b-512, salt "HashX v1" ──┬─ program key ── generator ── program
//	                                       └─ register key
//	input ── SipHash-2-4 (register key) ── 8 registers ── program ── finalisation ── hash
//
// About one seed in ten thousand yields no acceptable program: [ErrSeed], to
// which the answer is another seed.
//
// A [Function] runs its program in an interpreter or, after [Function.Compile]
// where the platform has a compiler, as machine code, several times faster; both
// give the same hashes. The puzzle on top is package equix.
package hashx
