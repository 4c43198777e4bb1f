package consdiff_test

import (
	"bytes"
	"fmt"
	"testing"

	"chive/tor/consdiff"
	"chive/tor/consdiff/consdifftest"
	"chive/tor/netdoc/netdoctest"
)

// next is a network and what became of it: one relay in twenty has other lines, one in fifty is gone, and the
// times and signatures are others.
func next(relays int) (base, target []byte) {
	n := netdoctest.New(netdoctest.Options{Relays: relays, Seed: 3})
	body := bytes.ReplaceAll(n.Body, []byte("10:00:00"), []byte("10:30:00"))
	var out []byte
	for i, part := range bytes.SplitAfter(body, []byte("\nr ")) {
		switch {
		case i%50 == 49:
			continue
		case i%20 == 19:
			part = bytes.Replace(part, []byte("Bandwidth="), []byte("Bandwidth=1"), 1)
		}
		out = append(out, part...)
	}
	return n.Consensus, netdoctest.Sign(out, "sha256", n.Authorities...)
}

func TestWholeNetwork(t *testing.T) {
	base, target := next(500)
	diff := consdifftest.Make(base, target)
	got, err := consdiff.Apply(base, diff)
	if err != nil || !bytes.Equal(got, target) {
		t.Fatalf("%v; %d bytes, want %d", err, len(got), len(target))
	}
	if len(diff) > len(target)/3 {
		t.Errorf("the diff has %d bytes of %d", len(diff), len(target))
	}
	for i := range diff { // whatever is changed is noticed or makes no difference
		if i > 400 && i%61 != 0 {
			continue
		}
		bad := bytes.Clone(diff)
		bad[i] ^= 1
		if got, err := consdiff.Apply(base, bad); err == nil && !bytes.Equal(got, target) {
			t.Fatalf("byte %d changed: another consensus was accepted", i)
		}
	}
}

// BenchmarkApply is linear: ns/op grows as the network does.
func BenchmarkApply(b *testing.B) {
	for _, relays := range []int{1000, 10_000} {
		base, target := next(relays)
		diff := consdifftest.Make(base, target)
		b.Run(fmt.Sprint(relays), func(b *testing.B) {
			b.SetBytes(int64(len(target)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := consdiff.Apply(base, diff); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
