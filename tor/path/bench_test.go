package path_test

import (
	"math/rand/v2"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// picks are the hot picks, with g as the guard of the circuit.
func picks(x *path.Index, g *path.Relay) map[string]func(*rand.Rand) {
	exit, _ := x.PickExit(newRand(1), path.Want{Port: 443}, func(r *path.Relay) bool { return x.Conflict(g, r) })
	return map[string]func(*rand.Rand){
		"guard": func(rng *rand.Rand) { _, _ = x.PickGuard(rng, nil) },
		"exit": func(rng *rand.Rand) {
			_, _ = x.PickExit(rng, path.Want{Port: 443}, func(r *path.Relay) bool { return x.Conflict(g, r) })
		},
		"middle": func(rng *rand.Rand) { _, _ = x.PickMiddle(rng, g, exit) },
	}
}

func BenchmarkPick(b *testing.B) {
	rng := newRand(1)
	x := random(b, rng, 10_000).strict()
	g, err := x.PickGuard(rng, func(r *path.Relay) bool { return !r.Usable() })
	if err != nil {
		b.Fatal(err)
	}
	for name, pick := range picks(x, g) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pick(rng)
			}
		})
	}
	b.Run("path", func(b *testing.B) {
		b.ReportAllocs()
		req := path.Request{Guards: []netdoc.Digest{g.Identity}, Want: path.Want{Port: 443}}
		for b.Loop() {
			if _, err := x.Path(rng, req); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNewIndex(b *testing.B) {
	n := random(b, newRand(1), 10_000)
	b.ReportAllocs()
	for b.Loop() {
		n.strict()
	}
}
