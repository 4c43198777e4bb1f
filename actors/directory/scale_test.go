package directory

import (
	"crypto/sha1"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/tor/consdiff"
	"chive/tor/consdiff/consdifftest"
	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

// scaleNetwork is the public network of 2026, a little larger: 10,000 relays, every
// second one in a family of fifty, and nine authorities with keys of so many bits.
func scaleNetwork(keyBits int) *netdoctest.Network {
	const relays, familySize = 10_000, 50
	identity := func(i int) netdoc.Digest { return sha1.Sum(fmt.Append(nil, "relay ", i)) }
	return netdoctest.New(netdoctest.Options{
		Relays: relays, Authorities: 9, KeyBits: keyBits,
		Relay: func(i int, r *netdoctest.Relay) {
			r.Identity = identity(i)
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
}

// maxHeap is what consensus, microdescriptors and index of 10,000 relays may hold.
const maxHeap = 25 << 20

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what was freed by finalizers and pools, too
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A network of 10,000 relays: from nothing to complete, then an hour later by a diff.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("makes the keys of 10,000 relays")
	}
	docs := scaleNetwork(1024) // less to make; nothing here depends on it
	m := newMirrors(docs)
	b := m.bench(t, 3)
	b.o.OnUpdate = func(u Updated) { b.updates = []Updated{u} } // as the node: the newest alone
	before := heap()
	start := time.Now()
	if err := b.once(t); err != nil || !b.enough() || len(b.missing()) != 0 {
		t.Fatalf("%v, enough %v, %d missing", err, b.enough(), len(b.missing()))
	}
	took := time.Since(start)
	b.events = nil
	held := heap() - before
	t.Logf("bootstrapped in %v, %.1f MiB of heap; consensus %.1f MB, microdescriptors %.1f MB, at most %d requests at once",
		took.Round(time.Millisecond), float64(held)/(1<<20), float64(len(docs.Consensus))/1e6, float64(len(docs.Microdescs))/1e6, m.peak)
	if held > maxHeap {
		t.Errorf("%d bytes of heap, more than %d", held, int64(maxHeap))
	}
	next := following(docs)
	c := &cache{network: &network{docs: docs}, next: next, mode: func(d []byte) []byte { return d }}
	b.o.Dialer = c
	b.o.Now = func() time.Time { return duringValidity(next) }
	if err := b.fetchConsensus(t.Context()); err != nil || fmt.Sprint(b.fetches()) != "[diff]" || !b.enough() {
		t.Errorf("%v, fetched %v", err, b.fetches())
	}
	b.events = nil
	if held := heap() - before; held > maxHeap+(5<<20) { // the next consensus' text is the double's
		t.Errorf("%d bytes of heap after a diff", held)
	}
	runtime.KeepAlive(b)
}

// BenchmarkAccept is what a new consensus costs: to parse it, and to verify it.
func BenchmarkAccept(b *testing.B) {
	docs := scaleNetwork(2048)
	w := scaleWorker(b, docs)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := w.accept(docs.Consensus); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDiff is that by a diff, from the text in the cache.
func BenchmarkDiff(b *testing.B) {
	docs := scaleNetwork(2048)
	w := scaleWorker(b, docs)
	next := following(docs)
	diff := consdifftest.Make(docs.Consensus, next.Consensus)
	w.saveConsensus(docs.Consensus)
	base, _ := consdiff.SignedDigest(docs.Consensus)
	b.ReportAllocs()
	for b.Loop() {
		text, err := w.patched(base, diff)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := w.accept(text); err != nil {
			b.Fatal(err)
		}
	}
}

func scaleWorker(t testing.TB, docs *netdoctest.Network) *bench {
	b := newBench(t, &network{docs: docs}, t.TempDir(), duringValidity(docs))
	certs, err := netdoc.ParseAuthCerts(docs.Certs)
	if err != nil {
		t.Fatal(err)
	}
	b.addCerts(certs)
	return b
}
