package keccak

import (
	"bytes"
	"crypto/sha3"
	"encoding"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"testing"
)

// FIPS 202's digests of nothing and of "abc".
func TestVectors(t *testing.T) {
	for text, want := range map[string]string{
		"":    "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
		"abc": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	} {
		h := New256()
		_, _ = h.Write([]byte(text))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Whatever is written in whatever pieces, it is the standard library's digest, also in the
// middle, and after a state was saved and put back.
func TestAsStandard(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{7})
	number := rand.New(rng)
	for range 300 {
		h, want := New256(), hash.Hash(sha3.New256())
		for range 1 + number.IntN(8) {
			p := make([]byte, number.IntN(700))
			_, _ = rng.Read(p)
			saved, err := h.(encoding.BinaryAppender).AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if number.IntN(3) == 0 { // something that is taken back
				_, _ = h.Write(append(p, 1, 2, 3))
				h.Sum(nil)
				if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(saved); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = h.Write(p)
			_, _ = want.Write(p)
			if got := h.Sum([]byte("x")); !bytes.Equal(got, want.Sum([]byte("x"))) {
				t.Fatalf("%x, want %x", got, want.Sum([]byte("x")))
			}
		}
		h.Reset()
		if got := h.Sum(nil); !bytes.Equal(got, sha3.New256().Sum(nil)) {
			t.Fatal("not as new after a reset")
		}
	}
}

// A digest that comes later is that of what had been written, whatever is done until it comes.
func TestLater(t *testing.T) {
	h, ok := New256().(Late)
	if !ok {
		t.Skip("not on this processor")
	}
	rng := rand.NewChaCha8([32]byte{8})
	number := rand.New(rng)
	for range 300 {
		h.(hash.Hash).Reset()
		same := sha3.New256()
		var sums [9][32]byte
		var want [9][]byte
		var told int
		for told < len(sums) {
			p := make([]byte, number.IntN(700))
			_, _ = rng.Read(p)
			_, _ = h.(hash.Hash).Write(p)
			_, _ = same.Write(p)
			switch number.IntN(4) {
			case 0:
				if got := h.(hash.Hash).Sum(nil); !bytes.Equal(got, same.Sum(nil)) {
					t.Fatalf("at once: %x, want %x", got, same.Sum(nil))
				}
			case 1:
				h.Settle()
			default:
				h.Later(&sums[told])
				want[told] = same.Sum(nil)
				told++
			}
		}
		h.Settle()
		for i := range sums {
			if !bytes.Equal(sums[i][:], want[i]) {
				t.Fatalf("digest %d: %x, want %x", i, sums[i], want[i])
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	h := New256()
	var body [509]byte
	var sum [32]byte
	state := make([]byte, 0, 400)
	if n := testing.AllocsPerRun(100, func() {
		state, _ = h.(encoding.BinaryAppender).AppendBinary(state[:0])
		_, _ = h.Write(body[:])
		h.Sum(sum[:0])
		_ = h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
	}); n != 0 {
		t.Errorf("%v allocations a cell", n)
	}
}

// BenchmarkCell is what a relay cell's body costs: written, and the digest told.
func BenchmarkCell(b *testing.B) {
	if h, ok := New256().(Late); ok {
		b.Run("later", func(b *testing.B) {
			var body [509]byte
			var sum [32]byte
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_, _ = h.(hash.Hash).Write(body[:])
				h.Later(&sum)
			}
		})
	}
	for name, h := range map[string]hash.Hash{"here": New256(), "standard": sha3.New256()} {
		b.Run(name, func(b *testing.B) {
			var body [509]byte
			var sum [32]byte
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_, _ = h.Write(body[:])
				h.Sum(sum[:0])
			}
		})
	}
}
