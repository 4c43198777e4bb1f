package onion

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// derivePrefix keeps what is derived here apart from all else that a key is used for.
const derivePrefix = "chive onion service: "

// commonLabel is what the secret of all hosts is derived with.
const commonLabel = "common to hosts"

// Common is a secret that all hosts of a service have, those without its identity key as
// well. Who has it learns nothing of that key. It prints as "[redacted]".
type Common [32]byte

// Format implements fmt.Formatter so that no verb can print it.
func (Common) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Common derives it from the identity key.
func (k *SecretKey) Common() Common {
	secret := k.bytes
	defer clear(secret[:])
	return Common(derive(secret[:], commonLabel, len(Common{})))
}

// Derive gives n bytes, 1 to 8160, that follow from the secret and a label: HKDF-SHA256
// (RFC 5869) without salt. Who has the secret has them; who has them learns nothing of the
// secret, nor of what other labels give.
func (c Common) Derive(label string, n int) []byte { return derive(c[:], label, n) }

func derive(secret []byte, label string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, derivePrefix+label, n)
	if err != nil {
		panic(err) // of the length alone
	}
	return out
}
