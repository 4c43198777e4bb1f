package onion

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// What follows from a key is the same everywhere and for ever; labels, lengths and keys
// give what has nothing to do with each other.
func TestDerive(t *testing.T) {
	key := SecretKeyOfSeed([32]byte{1})
	got := key.Common().Derive("a", 32)
	// RFC 5869 by hand, with an HMAC of another make.
	const want = "e1b05b738b761a7eb19ade4ec642ee7889939eee2cc3f77e4dce4d15a49a0a17"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x", got)
	}
	if long := key.Common().Derive("a", 64); !bytes.HasPrefix(long, got) {
		t.Error("a longer one begins otherwise")
	}
	for name, other := range map[string][]byte{"label": key.Common().Derive("b", 32), "key": SecretKeyOfSeed([32]byte{2}).Common().Derive("a", 32)} {
		if bytes.Equal(other, got) {
			t.Errorf("another %s gives the same", name)
		}
	}
}
