package relaycrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"testing"
)

// All places of a body in the stream that matter: each within a block, and those where the
// counter's bytes carry.
func TestWideCTR(t *testing.T) {
	if !hasWide {
		t.Skip("this processor has no VAES")
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i + 1)
	}
	for _, size := range []int{16, 32} {
		var c ctr
		if err := c.init(key[:size]); err != nil {
			t.Fatal(err)
		}
		if c.stream != nil || c.keys.rounds != uint64(size/4+6) {
			t.Fatalf("%d bytes of key: %d rounds", size, c.keys.rounds)
		}
		block, err := aes.NewCipher(key[:size])
		if err != nil {
			t.Fatal(err)
		}
		for shift := 4; shift < 64; shift += 4 {
			for back := range uint64(48) {
				place := uint64(1)<<shift - back
				var got, want [bodyLen]byte
				xorWide(&c.keys, place, &got)
				var counter [aes.BlockSize]byte
				binary.BigEndian.PutUint64(counter[8:], place/aes.BlockSize)
				stream := cipher.NewCTR(block, counter[:])
				skip := make([]byte, place%aes.BlockSize)
				stream.XORKeyStream(skip, skip)
				stream.XORKeyStream(want[:], want[:])
				if !bytes.Equal(got[:], want[:]) {
					t.Fatalf("%d bytes of key, place %#x: %x, want %x", size, place, got, want)
				}
			}
		}
	}
}

// What the other tests of the package show with the wide code holds without it.
func TestWithoutWideCTR(t *testing.T) {
	if !hasWide {
		t.Skip("nothing else is tested elsewhere")
	}
	hasWide = false
	defer func() { hasWide = true }()
	t.Run("CTR", TestCTR)
	t.Run("vectors", TestSealVectors)
	t.Run("tags", TestTagIsRunningDigest)
	t.Run("accidentally zero", TestAccidentallyZeroRecognized)
	t.Run("tampered", TestTamperedCellIsNotRecognized)
}
