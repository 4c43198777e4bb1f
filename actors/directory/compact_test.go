package directory

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/tor/netdoc/netdoctest"
)

// A node that runs for long does not fill the disk with microdescriptors of the past,
// and its cache still has those of today.
func TestCacheDoesNotGrow(t *testing.T) {
	dir := t.TempDir()
	var b *bench
	var docs *netdoctest.Network
	most, first := int64(0), int64(0)
	for hour := range 8 {
		docs = netdoctest.New(netdoctest.Options{
			Relays: 30, Seed: 7, ValidAfter: time.Date(2026, 7, 1, 10+hour, 0, 0, 0, time.UTC),
			Relay: func(_ int, r *netdoctest.Relay) {
				r.Policy4 = []string{"accept 80", "accept 443", "accept 80,443"}[hour%3]
			},
		})
		n := &network{docs: docs}
		if b == nil {
			b = newBench(t, n, dir, duringValidity(docs))
		}
		b.o.Dialer, b.o.Now = n, func() time.Time { return duringValidity(docs) }
		now := b.o.Now()
		if err := b.step(t.Context(), &now); err != nil || !b.enough() {
			t.Fatalf("hour %d: %v", hour, err)
		}
		info, err := os.Stat(filepath.Join(dir, fileMicrodescs))
		if err != nil {
			t.Fatal(err)
		}
		if most = max(most, info.Size()); hour == 0 {
			first = most
		}
	}
	if most > 4*first {
		t.Errorf("the file grew from %d to %d bytes", first, most)
	}
	again := newBench(t, &network{docs: docs}, dir, duringValidity(docs))
	if again.load(); !again.enough() || len(again.missing()) != 0 {
		t.Errorf("from the cache: enough %v, %d missing", again.enough(), len(again.missing()))
	}
}
