package handshake

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
)

// What ntor-v3 and hs-ntor have in common.

// messageKeys encrypt and authenticate one message.
type messageKeys struct {
	encKey, macKey [32]byte
}

func (k *messageKeys) wipe() { *k = messageKeys{} }

// encap is ENCAP of proposal 332: the length in 8 bytes, then the text.
func encap(text []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(text)), uint64(len(text))), text...)
}

// tagged has a hash or KDF begin with its tag.
func tagged[H io.Writer](h H, tag string) H {
	write(h, encap([]byte(tag)))
	return h
}

// write feeds a hash, which never fails.
func write(h io.Writer, parts ...[]byte) {
	for _, p := range parts {
		_, _ = h.Write(p)
	}
}

// fill reads from a KDF, which never fails.
func fill(kdf io.Reader, parts ...[]byte) {
	for _, p := range parts {
		_, _ = io.ReadFull(kdf, p)
	}
}

// crypt is AES-256-CTR, either way; the key serves one text alone, so the counter starts
// at zero. dst may be src.
func crypt(key [32]byte, dst, src []byte) {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic(fmt.Sprintf("handshake: AES refuses a key of 32 bytes: %v", err))
	}
	cipher.NewCTR(b, make([]byte, aes.BlockSize)).XORKeyStream(dst, src)
}
