package path_test

import (
	"errors"
	"slices"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

func offers(t testing.TB, protocols string) change {
	p, err := netdoc.ParseProtocols(protocols)
	if err != nil {
		t.Fatal(err)
	}
	return func(rs *netdoc.RouterStatus, _ *netdoc.Microdesc) { rs.Protocols = p }
}

const withConflux = "Conflux=1 FlowCtrl=1-2 Relay=2-4"

// mixed has some exits that offer conflux, some that lack it and some that lack what it
// needs.
func mixed(t testing.TB, seed uint64, relays int) *network {
	rng := newRand(seed)
	n := random(t, rng, relays)
	for i := range n.c.Relays {
		offer := []string{withConflux, withConflux, "FlowCtrl=1-2 Relay=2-4", "Conflux=1 Relay=2-4"}[rng.IntN(4)]
		offers(t, offer)(&n.c.Relays[i], nil)
	}
	return n
}

// Legs of a set have one exit, which offers conflux, and no other relay in common; each
// obeys the rules of every path; the guards are the first ones.
func TestLegsObeyTheRules(t *testing.T) {
	rng := newRand(4)
	found := 0
	for seed := range uint64(12) {
		n := mixed(t, 100+seed, 80+int(seed)*20)
		x := n.strict()
		var guards []netdoc.Digest
		for range 4 {
			if g, err := x.PickGuard(rng, func(r *path.Relay) bool { return !r.Usable() || slices.Contains(guards, r.Identity) }); err == nil {
				guards = append(guards, g.Identity)
			}
		}
		for range 400 {
			w := path.Want{Port: []uint16{443, 80, 22, 0}[rng.IntN(4)], Stable: rng.IntN(2) == 0}
			legs, err := x.Legs(rng, path.LegsRequest{Guards: guards, Want: w, Legs: 2 + rng.IntN(2)})
			if err != nil {
				if !errors.Is(err, path.ErrNoPath) {
					t.Fatal(err)
				}
				continue
			}
			found++
			n.checkLegs(legs, w)
			for i, leg := range legs {
				if leg[0].Identity != guards[i] {
					t.Fatalf("leg %d has not guard %d", i, i)
				}
			}
			n.checkAnotherLeg(x, guards, legs, w)
		}
	}
	if found < 1000 {
		t.Errorf("only %d sets of paths", found)
	}
}

func (n *network) checkLegs(legs [][]*path.Relay, w path.Want) {
	n.t.Helper()
	seen := map[netdoc.Digest]bool{}
	exit := legs[0][2]
	if !exit.Conflux() {
		n.t.Fatalf("exit %s offers %s", exit.Nickname, exit.Protocols)
	}
	for _, leg := range legs {
		if what := n.breach(leg, w); what != "" {
			n.t.Fatalf("%s: %v %v %v for %+v", what, leg[0].Nickname, leg[1].Nickname, leg[2].Nickname, w)
		}
		if leg[2] != exit {
			n.t.Fatal("two exits")
		}
		for _, hop := range leg[:2] {
			if seen[hop.Identity] {
				n.t.Fatalf("%s is in two legs", hop.Nickname)
			}
			seen[hop.Identity] = true
		}
	}
}

// checkAnotherLeg replaces the first leg.
func (n *network) checkAnotherLeg(x *path.Index, guards []netdoc.Digest, legs [][]*path.Relay, w path.Want) {
	n.t.Helper()
	req := path.LegRequest{Guards: guards, Exit: legs[0][2].Identity, Want: w}
	for _, leg := range legs[1:] {
		req.Others = append(req.Others, leg[0].Identity, leg[1].Identity)
	}
	leg, err := x.Leg(newRand(1), req)
	if err != nil {
		if !errors.Is(err, path.ErrNoPath) {
			n.t.Fatal(err)
		}
		return
	}
	if leg[0].Identity != guards[0] {
		n.t.Fatal("a leg has not the first guard that is free")
	}
	n.checkLegs(append([][]*path.Relay{leg}, legs[1:]...), w)
}

// No exit chooses among our guards: what cannot be joined with the first ones is no set.
func TestLegsKeepTheFirstGuards(t *testing.T) {
	n := newNetwork(t)
	conflux := offers(t, withConflux)
	g0 := n.relay(guard, 1, "", familyIDs("a"))
	g1 := n.relay(guard, 1, "")
	g2 := n.relay(guard, 1, "")
	for range 4 {
		n.relay(plain, 1, "")
	}
	e := n.relay(exit, 1, "accept 1-65535", familyIDs("a"), conflux)
	x := n.strict()
	var none *path.NoPathError
	if _, err := x.Legs(newRand(1), path.LegsRequest{Guards: []netdoc.Digest{g0, g1, g2}, Legs: 2}); !errors.As(err, &none) || none.Position != path.Exit {
		t.Errorf("with a guard of the only exit's family: %v", err)
	}
	if legs, err := x.Legs(newRand(1), path.LegsRequest{Guards: []netdoc.Digest{g1, g2}, Legs: 2}); err != nil || legs[0][2].Identity != e {
		t.Errorf("%v", err)
	}
	if _, err := x.Leg(newRand(1), path.LegRequest{Guards: []netdoc.Digest{g0, g1, g2}, Exit: e}); !errors.As(err, &none) || none.Rule != path.RuleFamily {
		t.Errorf("another leg, by a guard of the exit's family: %v", err)
	}
	if leg, err := x.Leg(newRand(1), path.LegRequest{Guards: []netdoc.Digest{g1, g2}, Exit: e, Others: []netdoc.Digest{g1}}); err != nil || leg[0].Identity != g2 {
		t.Errorf("another leg beside one through the first guard: %v", err)
	}
	if _, err := x.Legs(newRand(1), path.LegsRequest{Guards: []netdoc.Digest{g1}, Legs: 2}); !errors.As(err, &none) || none.Rule != path.RuleGuards {
		t.Errorf("with one guard: %v", err)
	}
	if _, err := x.Leg(newRand(1), path.LegRequest{Guards: []netdoc.Digest{g1}, Exit: g2}); !errors.As(err, &none) || none.Position != path.Exit {
		t.Errorf("to what is no exit: %v", err)
	}
}

func TestConfluxExits(t *testing.T) {
	n := newNetwork(t)
	n.relay(guard, 1, "", offers(t, withConflux))                                      // no exit
	n.relay(exit, 1, "accept 443", offers(t, withConflux))                             //
	n.relay(exit, 1, "accept 443", offers(t, "Relay=2-4 FlowCtrl=1-2"))                //
	n.relay(exit|netdoc.FlagBadExit, 1, "accept 443", offers(t, withConflux))          // counts for nothing
	n.relay(exit, 1, "accept 443", offers(t, "Conflux=1"))                             // says so, and cannot
	n.relay(exit&^netdoc.FlagStable, 1, "accept 443", offers(t, withConflux+" X=1-2")) //
	if able, all := n.strict().ConfluxExits(); able != 3 || all != 4 {
		t.Errorf("%d of %d exits", able, all)
	}
	if able, all := newNetwork(t).strict().ConfluxExits(); able != 0 || all != 0 {
		t.Errorf("%d of %d exits in an empty network", able, all)
	}
}
