package relaydouble

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"testing"
	"time"
)

// An expanded key signs as its seed does.
func TestSignExpanded(t *testing.T) {
	for i := range byte(4) {
		seed := bytes.Repeat([]byte{i}, ed25519.SeedSize)
		key := ed25519.NewKeyFromSeed(seed)
		expanded := sha512.Sum512(seed)
		expanded[0] &= 248
		expanded[31] = expanded[31]&63 | 64
		message := bytes.Repeat([]byte("m"), int(i)*30)
		if got := signExpanded(expanded[:], key[32:], message); !bytes.Equal(got, ed25519.Sign(key, message)) {
			t.Errorf("seed %d: another signature", i)
		}
	}
}

func TestKeysOfNothing(t *testing.T) {
	if _, err := KeysOf(t.TempDir(), "", time.Now()); err == nil {
		t.Error("no error for a folder without keys")
	}
}
