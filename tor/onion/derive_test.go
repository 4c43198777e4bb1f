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
	got := key.Derive("a", 32)
	// RFC 5869 by hand, with an HMAC of another make.
	const want = "623fbf48d5a7a5661643ffc8cceea9b8eb8d53b4f48dc0b847fdf379afae7836"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x", got)
	}
	if long := key.Derive("a", 64); !bytes.HasPrefix(long, got) {
		t.Error("a longer one begins otherwise")
	}
	for name, other := range map[string][]byte{"label": key.Derive("b", 32), "key": SecretKeyOfSeed([32]byte{2}).Derive("a", 32)} {
		if bytes.Equal(other, got) {
			t.Errorf("another %s gives the same", name)
		}
	}
}
