package netdoc_test

import (
	"crypto/sha1"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

// bigNetwork has 10,000 relays, nine authorities with 2048-bit keys, and every second relay in a family of fifty:
// the live network of 2026, a little larger.
var bigNetwork = sync.OnceValue(func() *netdoctest.Network {
	const relays, familySize = 10_000, 50
	identity := func(i int) netdoc.Digest { return sha1.Sum(fmt.Append(nil, "relay ", i)) }
	return netdoctest.New(netdoctest.Options{
		Relays: relays, Authorities: 9, KeyBits: 2048,
		Relay: func(i int, r *netdoctest.Relay) {
			r.Identity = identity(i)
			r.Version = fmt.Sprintf("Tor 0.4.%d.%d", 8+i%2, i%20)
			if i%2 == 0 {
				return
			}
			var family []string
			for k := range familySize {
				family = append(family, "$"+identity(i/2/familySize*2*familySize+2*k+1).String())
			}
			slices.Sort(family)
			r.Family = strings.Join(family, " ")
		},
	})
})

func BenchmarkParseConsensus(b *testing.B) {
	n := bigNetwork()
	b.SetBytes(int64(len(n.Consensus)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := netdoc.ParseConsensus(n.Consensus); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	n := bigNetwork()
	c, err := netdoc.ParseConsensus(n.Consensus)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		certs, err := netdoc.ParseAuthCerts(n.Certs)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Verify(n.V3Idents, certs, n.ValidAfter); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMicrodescs(b *testing.B) {
	n := bigNetwork()
	b.SetBytes(int64(len(n.Microdescs)))
	b.ReportAllocs()
	for b.Loop() {
		if err := netdoc.ParseMicrodescs(n.Microdescs, func(*netdoc.Microdesc, []byte) {}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDirectory is everything a client does with a whole directory, and what it then holds in memory.
func BenchmarkDirectory(b *testing.B) {
	n := bigNetwork()
	var before, after runtime.MemStats
	var c *netdoc.Consensus
	var mds map[netdoc.MDDigest]*netdoc.Microdesc
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		certs, err := netdoc.ParseAuthCerts(n.Certs)
		if err != nil {
			b.Fatal(err)
		}
		if c, err = netdoc.ParseConsensus(n.Consensus); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Verify(n.V3Idents, certs, n.ValidAfter); err != nil {
			b.Fatal(err)
		}
		mds = make(map[netdoc.MDDigest]*netdoc.Microdesc, len(c.Relays))
		if err := netdoc.ParseMicrodescs(n.Microdescs, func(md *netdoc.Microdesc, _ []byte) { mds[md.Digest] = md }); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-held")
	runtime.KeepAlive(c)
	runtime.KeepAlive(mds)
}
