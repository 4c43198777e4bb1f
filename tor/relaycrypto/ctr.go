package relaycrypto

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// ctr is AES in counter mode over the bodies of cells, one behind the other, with a counter
// that begins at zero (tor-spec 0.3). A body is no whole number of blocks, so that most begin
// and end inside of one; the standard library does those ends block by block.
type ctr struct {
	stream cipher.Stream // nil: wide
	keys   wideKey
	place  uint64 // in the stream, in bytes; with keys only
}

// init takes a key of 16 or 32 bytes.
func (c *ctr) init(key []byte) error {
	switch {
	case !hasWide:
	case len(key) == 16:
		expandKey(&c.keys, (*[16]byte)(key))
		return nil
	case len(key) == 32:
		expandKey256(&c.keys, (*[32]byte)(key))
		return nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("relay cipher: %w", err)
	}
	var zero [aes.BlockSize]byte
	c.stream = cipher.NewCTR(block, zero[:])
	return nil
}

// crypt applies or removes the cipher.
func (c *ctr) crypt(body *[bodyLen]byte) {
	if c.stream != nil {
		c.stream.XORKeyStream(body[:], body[:])
		return
	}
	xorWide(&c.keys, c.place, body)
	c.place += bodyLen
}
