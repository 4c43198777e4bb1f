package polyval

import "math/bits"

// The portable code. Its products of 64 bits are made of ordinary multiplications of
// numbers that have only every fourth bit set, so that what carries into the three bits
// between them is masked away. No table is looked up and no branch taken by a secret.

func initKeyGeneric(k *Key, h *[BlockSize]byte) {
	first := load(h[:])
	power := first
	for i := strides - 1; i >= 0; i-- {
		k.powers[i] = power
		k.mixed[i] = element{power[0] ^ power[1], 0}
		power = dot(power, first)
	}
}

func updateGeneric(k *Key, acc *[BlockSize]byte, blocks []byte) {
	s, h := load(acc[:]), k.powers[strides-1]
	for ; len(blocks) > 0; blocks = blocks[BlockSize:] {
		x := load(blocks)
		s = dot(element{s[0] ^ x[0], s[1] ^ x[1]}, h)
	}
	s.store(acc[:])
}

func mulGeneric(dst, a, b *[BlockSize]byte) {
	dot(load(a[:]), load(b[:])).store(dst[:])
}

// dot multiplies, with three products of halves (Karatsuba), and reduces.
func dot(a, b element) element {
	lowHi, lowLo := product(a[0], b[0])
	highHi, highLo := product(a[1], b[1])
	midHi, midLo := product(a[0]^a[1], b[0]^b[1])
	midHi ^= lowHi ^ highHi
	midLo ^= lowLo ^ highLo
	return reduce(lowLo, lowHi^midLo, highLo^midHi, highHi)
}

// reduce divides a product of 256 bits, least significant word first, by x^128: twice it
// adds the multiple of the modulus that clears the lowest word, and drops that word.
func reduce(w0, w1, w2, w3 uint64) element {
	w1 ^= w0<<63 ^ w0<<62 ^ w0<<57
	w2 ^= w0 ^ w0>>1 ^ w0>>2 ^ w0>>7
	w2 ^= w1<<63 ^ w1<<62 ^ w1<<57
	w3 ^= w1 ^ w1>>1 ^ w1>>2 ^ w1>>7
	return element{w2, w3}
}

// product is the carry-less product of two words.
func product(a, b uint64) (hi, lo uint64) {
	// The high half is the low half of the product of the words turned round, turned
	// round, and moved by the one bit that a product of 64 by 64 lacks of 128.
	return bits.Reverse64(low(bits.Reverse64(a), bits.Reverse64(b))) >> 1, low(a, b)
}

// Every fourth bit. A column of a product of two such numbers has at most 16 ones, whose
// sum may need a fifth bit only in the topmost column, where it falls off.
const (
	every0 uint64 = 0x1111111111111111
	every1        = every0 << 1
	every2        = every0 << 2
	every3        = every0 << 3
)

// low is the low half of the carry-less product.
func low(a, b uint64) uint64 {
	a0, a1, a2, a3 := a&every0, a&every1, a&every2, a&every3
	b0, b1, b2, b3 := b&every0, b&every1, b&every2, b&every3
	return (a0*b0^a1*b3^a2*b2^a3*b1)&every0 |
		(a0*b1^a1*b0^a2*b3^a3*b2)&every1 |
		(a0*b2^a1*b1^a2*b0^a3*b3)&every2 |
		(a0*b3^a1*b2^a2*b1^a3*b0)&every3
}
