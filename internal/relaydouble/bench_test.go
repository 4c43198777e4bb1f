package relaydouble

import (
	"crypto/rand"
	"io"
	"testing"

	"chive/tor/cell"
	"chive/tor/handshake"
)

// How fast the relay's end of a 3-hop circuit can make cells: a bound on what a
// benchmark of a client against it can show.
func BenchmarkSource(b *testing.B) {
	script := []Fault{{At: AtBegin, Do: IgnoreWindows}}
	r := Start(b, Options{Handler: Source(-1), Script: script})
	c := build(b, r, 3)
	c.begin(1)
	buf := make([]byte, cellsPerRecord*cell.FixedLen)
	b.SetBytes(cell.MaxRelayData)
	b.ReportAllocs()
	b.ResetTimer()
	for cells := 0; cells < b.N; {
		n, err := io.ReadFull(c.tls, buf[:min(b.N-cells, cellsPerRecord)*cell.FixedLen])
		if err != nil {
			b.Fatal(err)
		}
		cells += n / cell.FixedLen
	}
}

// The same without a socket: sealing and queueing only.
func BenchmarkPackage(b *testing.B) {
	r := Start(b, Options{Hops: 3})
	conn := &Conn{relay: r, hop: r.Hops()[0], done: make(chan struct{})}
	conn.cond.L = &conn.mu
	c := newCircuit(conn, 0x80000001)
	for _, h := range r.Hops() {
		var keys handshake.KeyMaterial
		_, _ = rand.Read(keys.Kb[:])
		if err := c.addHop(h, agreed{keys: keys}); err != nil {
			b.Fatal(err)
		}
	}
	s := &Stream{circuit: c, id: 1, hop: 2, connected: true}
	c.lax = true
	data := make([]byte, sourceChunk)
	b.SetBytes(cell.MaxRelayData)
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; {
		n, err := s.writeSome(data[:min(b.N-sent, cellsPerRecord)*cell.MaxRelayData])
		if err != nil {
			b.Fatal(err)
		}
		sent += n / cell.MaxRelayData
		conn.queue = conn.queue[:0]
	}
}
