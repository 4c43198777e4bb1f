package cgo

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
)

// genericKey is an AES key of crypto/aes, with room for what crosses its interface.
type genericKey struct {
	block   cipher.Block
	counter [16]byte
	out     [16]byte
}

func (k *genericKey) set(key *[16]byte) error {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return fmt.Errorf("AES key: %w", err)
	}
	k.block = block
	return nil
}

func (k *genericKey) encryptMasked(block, mask *[16]byte) {
	subtle.XORBytes(k.counter[:], block[:], mask[:])
	k.block.Encrypt(k.out[:], k.counter[:])
	subtle.XORBytes(block[:], k.out[:], mask[:])
}

func (k *genericKey) decryptMasked(block, mask *[16]byte) {
	subtle.XORBytes(k.counter[:], block[:], mask[:])
	k.block.Decrypt(k.out[:], k.counter[:])
	subtle.XORBytes(block[:], k.out[:], mask[:])
}

// xor adds the stream, from a place counted in blocks, to b.
func (k *genericKey) xor(iv *[16]byte, place byte, b []byte) {
	k.counter = *iv
	for ; len(b) > 0; place++ {
		k.counter[15] = iv[15] | place
		k.block.Encrypt(k.out[:], k.counter[:])
		b = b[subtle.XORBytes(b, b, k.out[:]):]
	}
}
