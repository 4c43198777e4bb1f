package polyval

import (
	"encoding/binary"
	"fmt"
)

// BlockSize is the length in bytes of a block, a key and a hash.
const BlockSize = 16

// strides is how many blocks are multiplied before they are reduced.
const strides = 8

// element is an element of the field, its least significant half first.
type element [2]uint64

// Key is the hash's key, ready for use after Init. It is a secret.
type Key struct {
	powers [strides]element // H^8, H^7, …, H
	mixed  [strides]element // the two halves of each power, added, in the first word
}

func load(b []byte) element {
	return element{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (e element) store(b []byte) {
	binary.LittleEndian.PutUint64(b, e[0])
	binary.LittleEndian.PutUint64(b[8:], e[1])
}

// Init makes k the key h.
func (k *Key) Init(h *[BlockSize]byte) { initKey(k, h) }

// Update takes whole blocks into the hash acc, which is all zeros before the first. It
// panics if blocks is not whole ones: the caller pads.
func (k *Key) Update(acc *[BlockSize]byte, blocks []byte) {
	if len(blocks)%BlockSize != 0 {
		panic(fmt.Sprintf("polyval: %d bytes are not whole blocks", len(blocks)))
	}
	if len(blocks) > 0 {
		update(k, acc, blocks)
	}
}

// Mul gives dot(a, b): POLYVAL of one block. dst may be either.
func Mul(dst, a, b *[BlockSize]byte) { mul(dst, a, b) }
