package relaycrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"math/rand/v2"
	"testing"
)

// Cell by cell it is the standard library's CTR from zero, wherever in a block a body
// begins, and no byte beside the body changes.
func TestCTR(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{9})
	for _, size := range []int{16, 32} {
		key := make([]byte, size)
		_, _ = rng.Read(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		want := cipher.NewCTR(block, make([]byte, aes.BlockSize))
		var c ctr
		if err := c.init(key); err != nil {
			t.Fatal(err)
		}
		const beside = 64
		for cell := range 1000 {
			around := make([]byte, beside+bodyLen+beside)
			_, _ = rng.Read(around)
			good := bytes.Clone(around)
			want.XORKeyStream(good[beside:beside+bodyLen], good[beside:beside+bodyLen])
			c.crypt(fixed(around[beside : beside+bodyLen]))
			if !bytes.Equal(around, good) {
				t.Fatalf("%d-byte key, cell %d: %x, want %x", size, cell, around, good)
			}
		}
	}
	var c ctr
	if err := c.init(make([]byte, 15)); err == nil {
		t.Error("a key of 15 bytes is taken")
	}
}
