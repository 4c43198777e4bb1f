// Package polyval is POLYVAL, the universal hash of AES-GCM-SIV (RFC 8452 section 3):
//
//	POLYVAL(H, X_1, …, X_s) = S_s,  S_0 = 0,  S_j = dot(S_{j-1} + X_j, H)
//	dot(a, b) = a·b·x^-128 in GF(2^128) modulo x^128 + x^127 + x^126 + x^121 + 1
//
// A [Key] holds H with its first powers, so that several blocks are multiplied at once and
// reduced together. [Key.Update] goes on from any S, which is 16 bytes in the RFC's order
// (little-endian, the least significant bit first).
//
// It runs on the processor's carry-less multiplication where there is one (amd64 with
// PCLMULQDQ, and four blocks at a time with VPCLMULQDQ under AVX-512), else on ordinary
// multiplications of integers with room between their bits. Either takes the same time for
// every key and message of one length. Nothing allocates.
//
// Left to others: padding of what is no multiple of a block, and what the hash is for. It
// is no message authentication code by itself.
package polyval
