package relaycrypto

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func BenchmarkSealHop3(b *testing.B) {
	c := newCircuit(b, randomKeys(rand.NewChaCha8([32]byte{}), 3)...)
	body := make([]byte, bodyLen)
	b.SetBytes(bodyLen)
	b.ReportAllocs()
	for b.Loop() {
		c.stack.Seal(body, 2)
	}
}

// Open of cells that hop 3 originated: made in batches while the clock stands, so
// that each is recognized as on a download.
func BenchmarkOpenHop3(b *testing.B) {
	c := newCircuit(b, randomKeys(rand.NewChaCha8([32]byte{}), 3)...)
	const batch = 1024
	cells := make([]byte, batch*bodyLen)
	b.SetBytes(bodyLen)
	b.ReportAllocs()
	next := batch
	for i := 0; i < b.N; i++ {
		if next == batch {
			b.StopTimer()
			clear(cells)
			for cell := range slices.Chunk(cells, bodyLen) {
				c.backward(cell, 2)
			}
			next = 0
			b.StartTimer()
		}
		if c.stack.Open(cells[next*bodyLen:(next+1)*bodyLen]) != 2 {
			b.Fatal("not recognized")
		}
		next++
	}
}

func BenchmarkRelayOriginate(b *testing.B) {
	c := newCircuit(b, randomKeys(rand.NewChaCha8([32]byte{}), 3)...)
	body := make([]byte, bodyLen)
	b.SetBytes(bodyLen)
	b.ReportAllocs()
	for b.Loop() {
		c.backward(body, 2)
	}
}
