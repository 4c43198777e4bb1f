package directory

import (
	"slices"
	"testing"
	"time"

	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

// The directory guard that comes first is asked, the next one while it fails, in order, and
// others than guards when none is left: a second request at the same time, or a second try,
// takes no other one.
func TestDirectoryGuardsInOrder(t *testing.T) {
	docs := netdoctest.New(netdoctest.Options{Relays: 3, Seed: 5})
	now := duringValidity(docs)
	b := newBench(t, &network{docs: docs}, t.TempDir(), now)
	b.o.Now = func() time.Time { return now }
	one, two, three := netdoc.Digest{11}, netdoc.Digest{12}, netdoc.Digest{13}
	b.o.Guards = func() []Target { return []Target{{Identity: one}, {Identity: two}, {Identity: three}} }
	asked := func(not ...netdoc.Digest) (out []netdoc.Digest) {
		for range 100 {
			if id := b.source(not...).Identity; !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		slices.SortFunc(out, func(a, b netdoc.Digest) int { return slices.Compare(a[:], b[:]) })
		return out
	}
	want := func(what string, got []netdoc.Digest, want ...netdoc.Digest) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v are asked, want %v", what, got, want)
		}
	}
	authorities := []netdoc.Digest{b.o.Authorities[0].Identity, b.o.Authorities[1].Identity}
	want("all are good", asked(), one)
	want("the first lacks something", asked(one), two)
	want("the first two lack something", asked(two, one), three)
	want("all lack something", asked(one, two, three), authorities...)
	want("and so do all others", asked(append(authorities, one, two, three)...), one)
	b.shun(Target{Identity: one})
	want("the first failed", asked(), two)
	want("the first failed, and the second lacks something", asked(two), three)
	b.shun(Target{Identity: two})
	want("the first two failed", asked(), three)
	b.shun(Target{Identity: three})
	want("all failed", asked(), authorities...)
	now = now.Add(shunTime + time.Second)
	want("after a while", asked(), one)
}
