// Package keccak is SHA3-256 (FIPS 202) for the relay cells of onion services, whose running
// digest is most of what such a cell costs: five permutations, none of which can begin before
// the last is done. With AVX-512 a permutation has its five rows of lanes in five registers;
// elsewhere this is the standard library's.
//
// A round works on rows, rows[y] lane x. ρ, and π within a register, leave register y holding
// what belongs in column y: so χ, which joins three neighbours of a row, joins three registers,
// and the rows are put together again after it.
package keccak
