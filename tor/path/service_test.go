package path_test

import (
	"slices"
	"testing"

	"chive/tor/netdoc"
)

// Introduction points of ours are stable relays that can be one, and anywhere in a circuit;
// one that is excluded is not chosen.
func TestIntroductionPoints(t *testing.T) {
	for seed := range uint64(20) {
		rng := newRand(seed)
		n := random(t, rng, 80)
		for i := range n.c.Relays {
			list := []string{"HSIntro=3", "HSIntro=4", "HSIntro=4-5"}[rng.IntN(3)]
			protos(t, list)(&n.c.Relays[i], nil)
		}
		x := n.strict()
		var had []netdoc.Digest
		for {
			r, err := x.PickIntroduction(rng, func(id netdoc.Digest) bool { return slices.Contains(had, id) })
			if err != nil {
				break
			}
			if slices.Contains(had, r.Identity) {
				t.Fatal("an excluded relay")
			}
			had = append(had, r.Identity)
			if !r.Flags.Has(netdoc.FlagStable|netdoc.FlagFast|netdoc.FlagRunning) || r.Flags.Has(netdoc.FlagMiddleOnly) ||
				!r.Protocols.Supports(netdoc.ProtoHSIntro, 4) || !r.Usable() {
				t.Fatalf("%v, %v", r.Flags, r.Protocols)
			}
			if fit, ok := x.FitIntroduction(r.Identity); !ok || fit != r {
				t.Fatal("one that was chosen is not fit")
			}
			if r.LimitsIntroductions() != r.Protocols.Supports(netdoc.ProtoHSIntro, 5) {
				t.Fatal("limits")
			}
		}
		if len(had) == 0 {
			t.Fatal("no introduction point in the network")
		}
		if _, ok := x.FitIntroduction(netdoc.Digest{200}); ok {
			t.Fatal("a relay that is none is fit")
		}
	}
}
