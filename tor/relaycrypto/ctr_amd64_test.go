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
	var rounds wideKey
	key := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	expandKey(&rounds, &key)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	for shift := 4; shift < 64; shift += 4 {
		for back := range uint64(48) {
			place := uint64(1)<<shift - back
			var got, want [bodyLen]byte
			xorWide(&rounds, place, &got)
			var counter [aes.BlockSize]byte
			binary.BigEndian.PutUint64(counter[8:], place/aes.BlockSize)
			stream := cipher.NewCTR(block, counter[:])
			skip := make([]byte, place%aes.BlockSize)
			stream.XORKeyStream(skip, skip)
			stream.XORKeyStream(want[:], want[:])
			if !bytes.Equal(got[:], want[:]) {
				t.Fatalf("place %#x: %x, want %x", place, got, want)
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
