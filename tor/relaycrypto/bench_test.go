package relaycrypto

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"chive/tor/cell"
)

// Schemes to compare, each with the hops given.
var schemes = map[string]func(rng *rand.ChaCha8, hops int) []any{"tor1": tor1Keys, "CGO": cgoKeys}

// BenchmarkSeal is an upload's cell at the client.
func BenchmarkSeal(b *testing.B) {
	eachScheme(b, func(b *testing.B, c *circuit, hop int) {
		body := make([]byte, bodyLen)
		b.SetBytes(bodyLen)
		b.ReportAllocs()
		for b.Loop() {
			c.stack.Seal(cell.Relay, body, hop)
		}
	})
}

// BenchmarkOpen is a download's cell at the client: the cells are made in batches while the
// clock stands, so that each is recognized.
func BenchmarkOpen(b *testing.B) {
	eachScheme(b, func(b *testing.B, c *circuit, hop int) {
		const batch = 1024
		cells := make([]byte, batch*bodyLen)
		b.SetBytes(bodyLen)
		b.ReportAllocs()
		next := batch
		for range b.N {
			if next == batch {
				b.StopTimer()
				clear(cells)
				for body := range slices.Chunk(cells, bodyLen) {
					c.backward(body, hop)
				}
				next = 0
				b.StartTimer()
			}
			if c.stack.Open(cell.Relay, cells[next*bodyLen:(next+1)*bodyLen]) != hop {
				b.Fatal("not recognized")
			}
			next++
		}
	})
}

func eachScheme(b *testing.B, run func(b *testing.B, c *circuit, hop int)) {
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		for _, hops := range []int{1, 3} {
			b.Run(fmt.Sprintf("%s/hops=%d", name, hops), func(b *testing.B) {
				run(b, newMixed(b, schemes[name](rand.NewChaCha8([32]byte{}), hops)...), hops-1)
			})
		}
	}
}

// BenchmarkArithmetic is what a client's cell of three hops cannot do without with tor1:
// three times AES-128-CTR and the running digest. Nothing is compared or kept.
func BenchmarkArithmetic(b *testing.B) {
	var layers [3]ctr
	for i := range layers {
		if err := layers[i].init(make([]byte, 16)); err != nil {
			b.Fatal(err)
		}
	}
	digest := sha1.New()
	var body [bodyLen]byte
	sum := make([]byte, 0, sha1.Size)
	b.SetBytes(bodyLen)
	for b.Loop() {
		for i := range layers {
			layers[i].crypt(&body)
		}
		_, _ = digest.Write(body[:])
		sum = digest.Sum(sum[:0])
	}
}
