package path_test

import (
	"slices"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// Rule 0: an exit that refuses does not take a circuit to another guard.
func TestExitsThatRefuseChooseNoGuard(t *testing.T) {
	n := newNetwork(t)
	first := n.relay(guard, 100, "", lists(4))
	second := n.relay(guard, 100, "")
	n.relay(plain, 100, "")
	refuses := n.relay(exit, 100, "accept 443")
	n.relay(exit, 100, "accept 443", lists(0)) // of the first guard's family
	x, rng := n.strict(), newRand(5)
	for name, tt := range map[string]struct {
		avoid []netdoc.Digest
		found bool
	}{
		"none refused":              {nil, true},
		"one for another port":      {[]netdoc.Digest{digest(99)}, true},
		"the first guard's refused": {[]netdoc.Digest{refuses}, false},
	} {
		hops, err := x.Path(rng, path.Request{Guards: []netdoc.Digest{first, second}, Want: path.Want{Port: 443}, AvoidExits: tt.avoid})
		if (err == nil) != tt.found || err == nil && hops[0].Identity != first {
			t.Errorf("%s: %v, %v", name, hops, err)
		}
	}
}

// The guard is the same whatever exits are avoided, and there is a path exactly when that guard
// has one to another exit.
func TestAvoidedExitsChangeTheExitAlone(t *testing.T) {
	rng := newRand(6)
	var same, none, later int
	for range 3000 {
		n := random(t, rng, 4+rng.IntN(8))
		x := n.strict()
		var guards, avoid []netdoc.Digest
		var all []*path.Relay
		for i := range n.c.Relays {
			r, _ := x.ByIdentity(digest(i))
			all = append(all, r)
			if r.CanGuard() && r.Usable() {
				guards = append(guards, r.Identity)
			}
			if rng.IntN(2) == 0 {
				avoid = append(avoid, r.Identity)
			}
		}
		req := path.Request{Guards: guards, Want: path.Want{Port: 443}}
		free, err := x.Path(rng, req)
		if err != nil {
			continue
		}
		req.AvoidExits = avoid
		hops, err := x.Path(rng, req)
		exists := slices.ContainsFunc(all, func(e *path.Relay) bool {
			return !slices.Contains(avoid, e.Identity) && slices.ContainsFunc(all, func(m *path.Relay) bool {
				return n.breach([]*path.Relay{free[0], m, e}, req.Want) == ""
			})
		})
		switch {
		case exists != (err == nil):
			t.Fatalf("a path by that guard exists: %v, found: %v, %v", exists, hops, err)
		case err != nil:
			none++
		case hops[0] != free[0] || slices.Contains(avoid, hops[2].Identity):
			t.Fatalf("%v, and without exits to avoid %v", hops, free)
		default:
			same++
		}
		if free[0].Identity != guards[0] {
			later++
		}
	}
	if same < 50 || none < 50 || later < 50 {
		t.Errorf("%d paths, %d that are none, %d by a later guard: the test shows little", same, none, later)
	}
}
