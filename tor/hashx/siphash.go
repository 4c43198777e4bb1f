package hashx

import "math/bits"

// sipKey is a SipHash state before any input: HashX takes it whole from
// BLAKE2b instead of deriving it from a 128-bit key.
type sipKey [4]uint64

func sipRound(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a += b
	c += d
	b = bits.RotateLeft64(b, 13) ^ a
	d = bits.RotateLeft64(d, 16) ^ c
	a = bits.RotateLeft64(a, 32) + d
	c += b
	b = bits.RotateLeft64(b, 17) ^ c
	d = bits.RotateLeft64(d, 21) ^ a
	return a, b, bits.RotateLeft64(c, 32), d
}

// sip13 is SipHash-1-3 of one word.
func (k *sipKey) sip13(word uint64) uint64 {
	a, b, c, d := sipRound(k[0], k[1], k[2], k[3]^word)
	a ^= word
	c ^= 0xff
	for range 3 {
		a, b, c, d = sipRound(a, b, c, d)
	}
	return a ^ b ^ c ^ d
}

// registers is SipHash-2-4 of one word with 512 bits of output, all of its
// state: the words a program starts with.
func (k *sipKey) registers(r *[8]uint64, word uint64) {
	a, b, c, d := k[0], k[1]^0xee, k[2], k[3]^word
	a, b, c, d = sipRound(a, b, c, d)
	a, b, c, d = sipRound(a, b, c, d)
	a ^= word
	c ^= 0xee
	for range 4 {
		a, b, c, d = sipRound(a, b, c, d)
	}
	r[0], r[1], r[2], r[3] = a, b, c, d
	b ^= 0xdd
	for range 4 {
		a, b, c, d = sipRound(a, b, c, d)
	}
	r[4], r[5], r[6], r[7] = a, b, c, d
}

// finish takes a program's last registers to the hash, with the key added
// again because the multiplications favour zero bits.
func (k *sipKey) finish(r *[8]uint64) [4]uint64 {
	a, b, c, d := sipRound(r[0]+k[0], r[1]+k[1], r[2], r[3])
	e, f, g, h := sipRound(r[4], r[5], r[6]+k[2], r[7]+k[3])
	return [4]uint64{a ^ e, b ^ f, c ^ g, d ^ h}
}

// random is the generator's stream: SipHash-1-3 of a counter, handed out as
// bytes and as 32-bit words from buffers of their own, each from its most
// significant end.
type random struct {
	key     *sipKey
	counter uint64
	bytes   uint64 // what is left of the byte buffer, at the top
	words   uint64 // what is left of the word buffer, at the top
	nBytes  int
	nWords  int
}

func (r *random) block() uint64 {
	v := r.key.sip13(r.counter)
	r.counter++
	return v
}

func (r *random) byte() uint8 {
	if r.nBytes == 0 {
		r.bytes, r.nBytes = r.block(), 8
	}
	v := uint8(r.bytes >> 56)
	r.bytes <<= 8
	r.nBytes--
	return v
}

func (r *random) word() uint32 {
	if r.nWords == 0 {
		r.words, r.nWords = r.block(), 2
	}
	v := uint32(r.words >> 32)
	r.words <<= 32
	r.nWords--
	return v
}
