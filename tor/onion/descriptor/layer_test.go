package descriptor

import (
	crand "crypto/rand"
	"testing"
)

// Whether a key is of low order is what a multiplication with the group's cofactor tells.
func TestUsablePoint(t *testing.T) {
	keys := append([][32]byte(nil), lowOrder[:]...)
	for n := range int8(40) {
		keys = append(keys, [32]byte{byte(n)}, beyond(n-20))
	}
	for range 64 {
		var p [32]byte
		if _, err := crand.Read(p[:]); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, p)
	}
	refused := 0
	for _, key := range keys {
		for _, high := range []byte{0, 0x80} {
			key[31] = key[31]&0x7f | high
			_, err := x25519([32]byte{8}, key)
			if got := usablePoint(key); got != (err == nil) {
				t.Errorf("%x: usable %v, the multiplication says %v", key, got, err)
			}
			if err != nil {
				refused++
			}
		}
	}
	// All seven, and five of them twice as small numbers, each with the highest bit and without.
	if want := 2 * (len(lowOrder) + 5); refused != want {
		t.Errorf("%d were refused, want %d", refused, want)
	}
}
