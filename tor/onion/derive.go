package onion

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// derivePrefix keeps what is derived here apart from all else that a key is used for.
const derivePrefix = "chive onion service: "

// Derive gives n bytes, 1 to 8160, that follow from the key and a label: HKDF-SHA256
// (RFC 5869) without salt. Who has the key has them; who has them learns nothing of the
// key, nor of what other labels give.
func (k *SecretKey) Derive(label string, n int) []byte {
	secret := k.bytes
	defer clear(secret[:])
	out, err := hkdf.Key(sha256.New, secret[:], nil, derivePrefix+label, n)
	if err != nil {
		panic(err) // of the length alone
	}
	return out
}
