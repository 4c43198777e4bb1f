package keccak

import (
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"hash"

	"golang.org/x/sys/cpu"
)

// hasWide: 32 registers, and rotations. A variable, so that tests can do without.
var hasWide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL

const (
	rate = 136 // bytes of a block
	size = 32  // of a digest
)

// state is the 25 lanes, lane x+5y, little-endian as they lie in a block.
type state [25]uint64

// absorb takes so many whole blocks into a state. Another state, unless it is nil, is permuted
// beside the first of them, which takes no longer; of that only what a digest is made of is kept.
//
//go:noescape
func absorb(s *state, p *byte, blocks int, other *state)

// New256 makes a SHA3-256 whose state can be saved. Where it is quicker, it is a [Late].
func New256() hash.Hash {
	if !hasWide {
		return sha3.New256()
	}
	return new(digest)
}

type digest struct {
	s     state
	block [rate]byte // block[:n] has not been absorbed
	n     int
	last  state       // what Sum, or Later, permutes
	due   *[size]byte // where the digest goes that Later was asked for; nil: none is due
	sum   [size]byte  // scratch of Sum
}

func (d *digest) Size() int      { return size }
func (d *digest) BlockSize() int { return rate }

func (d *digest) Reset() { d.s, d.n, d.due = state{}, 0, nil }

func (d *digest) Write(p []byte) (int, error) {
	n := len(p)
	if d.n > 0 {
		m := copy(d.block[d.n:], p)
		d.n += m
		p = p[m:]
		if d.n < rate {
			return n, nil
		}
		d.absorb(&d.block[0], 1)
		d.n = 0
	}
	if blocks := len(p) / rate; blocks > 0 {
		d.absorb(&p[0], blocks)
		p = p[blocks*rate:]
	}
	d.n = copy(d.block[:], p)
	return n, nil
}

// absorb takes blocks, and makes the digest that is due beside the first.
func (d *digest) absorb(p *byte, blocks int) {
	if d.due == nil {
		absorb(&d.s, p, blocks, nil)
		return
	}
	absorb(&d.s, p, blocks, &d.last)
	d.give()
}

// give puts the digest where it was asked for.
func (d *digest) give() {
	for i, lane := range d.last[:size/8] {
		binary.LittleEndian.PutUint64(d.due[8*i:], lane)
	}
	d.due = nil
}

// Sum leaves the state as it is: more can be written.
func (d *digest) Sum(b []byte) []byte {
	d.Later(&d.sum)
	d.Settle()
	return append(b, d.sum[:]...)
}

// Later implements Late.
func (d *digest) Later(sum *[size]byte) {
	const suffix, end = 0x06, 0x80 // of SHA-3, and of the padding
	d.Settle()
	clear(d.block[d.n:])
	d.block[d.n] = suffix
	d.block[rate-1] |= end
	d.last = d.s
	for i := range rate / 8 {
		d.last[i] ^= binary.LittleEndian.Uint64(d.block[8*i:])
	}
	d.due = sum
}

// nothing is a block that changes no state.
var nothing [rate]byte

// Settle implements Late.
func (d *digest) Settle() {
	if d.due != nil {
		absorb(&d.last, &nothing[0], 1, nil)
		d.give()
	}
}

// saved is how long a state is that was saved: its lanes, the block and how much of that there
// is.
const saved = 8*25 + rate + 1

var errState = errors.New("keccak: not a state that was saved")

// AppendBinary saves the state.
func (d *digest) AppendBinary(b []byte) ([]byte, error) {
	for _, lane := range d.s {
		b = binary.LittleEndian.AppendUint64(b, lane)
	}
	b = append(b, d.block[:]...)
	return append(b, byte(d.n)), nil
}

// UnmarshalBinary puts a saved state back.
func (d *digest) UnmarshalBinary(b []byte) error {
	if len(b) != saved || b[saved-1] >= rate {
		return errState
	}
	for i := range d.s {
		d.s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	copy(d.block[:], b[8*25:])
	d.n = int(b[saved-1])
	return nil
}
