//go:build !amd64

package cgo

// aesKey is an AES-128 key, ready for use after rekey.
type aesKey struct{ genericKey }

func rekey(block, stream *aesKey, kb, k *[16]byte, _ bool) error {
	if err := block.set(kb); err != nil {
		return err
	}
	return stream.set(k)
}

// xorRight adds the PRF's first part to right.
func (k *aesKey) xorRight(iv *[16]byte, right *[rightLen]byte) {
	k.xor(iv, 0, right[:])
}

// keystream is the PRF's second part.
func (k *aesKey) keystream(iv *[16]byte, out *[KeysLen]byte) {
	clear(out[:])
	k.xor(iv, secondPart, out[:])
}
