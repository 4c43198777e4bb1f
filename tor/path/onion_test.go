package path_test

import (
	"errors"
	"slices"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

func protos(t *testing.T, s string) change {
	p, err := netdoc.ParseProtocols(s)
	if err != nil {
		t.Fatal(err)
	}
	return func(rs *netdoc.RouterStatus, _ *netdoc.Microdesc) { rs.Protocols = p }
}

func identities(relays []*path.Relay) (out []netdoc.Digest) {
	for _, r := range relays {
		out = append(out, r.Identity)
	}
	return out
}

// Paths to onion services over random networks: they have the shape of their purpose, the
// guard is the first that can be used whatever the last hop is, and relays are where they
// may be.
func TestOnionPaths(t *testing.T) {
	for seed := range uint64(40) {
		rng := newRand(seed)
		n := random(t, rng, 120)
		rend := protos(t, "HSRend=1-2 HSDir=1-2")
		for i := range n.c.Relays {
			if rng.IntN(3) > 0 {
				rend(&n.c.Relays[i], nil)
			}
		}
		x := n.strict()
		var guards []netdoc.Digest
		for _, rs := range n.c.Relays {
			if r, _ := x.ByIdentity(rs.Identity); r.CanGuard() && r.Usable() && len(guards) < 3 {
				guards = append(guards, rs.Identity)
			}
		}
		var layer []netdoc.Digest
		for range 4 {
			r, err := x.PickVanguard(rng, layer)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Flags.Has(netdoc.FlagStable | netdoc.FlagFast) {
				t.Fatal("the second layer has a relay that is not stable")
			}
			layer = append(layer, r.Identity)
		}
		var third []netdoc.Digest
		for range 8 {
			r, err := x.PickVanguard(rng, third)
			if err != nil {
				t.Fatal(err)
			}
			third = append(third, r.Identity)
		}
		for _, layers := range []path.Layers{{}, {Second: layer}, {Second: layer, Third: third}} {
			for _, p := range []path.Purpose{path.ForOnionDirectory, path.ForIntroduction, path.ForRendezvous, path.ForServiceIntroduction, path.ForServiceRendezvous, path.ForServiceDirectory} {
				for _, last := range []netdoc.Digest{{77}, guards[0], layer[0], layer[3], third[0]} {
					req := path.OnionRequest{Purpose: p, Guards: guards, Layers: layers, Last: last, Avoid: []netdoc.Digest{last}}
					if p == path.ForRendezvous {
						req.Last = netdoc.Digest{}
					}
					relays, err := x.OnionPath(rng, req)
					if err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					if relays[0].Identity != guards[0] {
						t.Fatal("another guard")
					}
					ids := identities(relays)
					end := relays[len(relays)-1]
					if p != path.ForRendezvous {
						ids = append(ids, last)
					} else if end.Identity == last || end.Flags.Has(netdoc.FlagMiddleOnly) || !end.Protocols.Supports(netdoc.ProtoHSRend, 2) {
						t.Fatal("a rendezvous point that may be none")
					}
					if err := p.Check(ids, guards, layers); err != nil {
						t.Fatalf("%v", err)
					}
					if layers.Mode() == path.NoLayers {
						for i := range relays {
							for j := range i {
								if what := n.together(relays[i].RouterStatus, relays[j].RouterStatus); what != "" {
									t.Fatalf("without the second layer: %s", what)
								}
							}
						}
					}
				}
			}
		}
		for _, r := range x.OnionDirectories() {
			if !r.Usable() || r.Flags.Has(netdoc.FlagMiddleOnly) || !r.Flags.Has(netdoc.FlagHSDir) {
				t.Fatal("no directory")
			}
		}
	}
}

// Who may keep descriptors, and be asked for them.
func TestOnionDirectories(t *testing.T) {
	n := newNetwork(t)
	hs := protos(t, "HSDir=2")
	const dir = plain | netdoc.FlagHSDir
	want := []netdoc.Digest{n.relay(dir, 1, "", hs)}
	n.relay(plain, 1, "", hs)
	n.relay(dir|netdoc.FlagMiddleOnly, 1, "", hs)
	n.relay(dir, 1, "", protos(t, "HSDir=1"))
	n.relay(dir, 1, "", hs, noKeys)
	n.relay(dir&^netdoc.FlagRunning, 1, "", hs)
	if got := identities(n.strict().OnionDirectories()); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Each shape, and each way to break it.
func TestShapes(t *testing.T) {
	id := func(b byte) netdoc.Digest { return netdoc.Digest{b} }
	guards, layer := []netdoc.Digest{id(1)}, []netdoc.Digest{id(2), id(3)}
	list := func(b ...byte) (out []netdoc.Digest) {
		for _, x := range b {
			out = append(out, id(x))
		}
		return out
	}
	for _, tt := range []struct {
		p    path.Purpose
		path []netdoc.Digest
		ok   bool
	}{
		{path.ForServiceDirectory, list(1, 2, 5, 6), true},
		{path.ForExit, list(1, 5, 6), true},
		{path.ForExit, list(1, 5), false},
		{path.ForExit, list(1, 5, 6, 7), false},
		{path.ForExit, list(9, 5, 6), false},
		{path.ForExit, list(1, 5, 1), false},
		{path.ForExit, list(1, 1, 5), false},
		{path.ForDirectory, list(9), true},
		{path.ForDirectory, list(9, 1), false},
		{path.ForOnionDirectory, list(1, 2, 5, 6), true},
		{path.ForOnionDirectory, list(1, 2, 6), false},
		{path.ForOnionDirectory, list(1, 5, 2, 6), false},
		{path.ForIntroduction, list(1, 3, 5, 6), true},
		{path.ForIntroduction, list(1, 3, 5, 1), true}, // the guard, whom a service cannot push away
		{path.ForIntroduction, list(1, 3, 5, 3), false},
		{path.ForIntroduction, list(1, 3, 5, 5), false},
		{path.ForIntroduction, list(1, 3, 1, 6), false},
		{path.ForIntroduction, list(5, 3, 2, 6), false},
		{path.ForRendezvous, list(1, 2, 6), true},
		{path.ForRendezvous, list(1, 2, 1), false},
		{path.ForRendezvous, list(1, 2, 2), false},
		{path.ForRendezvous, list(1, 5, 6), false},
		{path.Purpose(99), list(1), false},
	} {
		if err := tt.p.Check(tt.path, guards, path.Layers{Second: layer}); (err == nil) != tt.ok || err != nil && !errors.Is(err, path.ErrShape) {
			t.Errorf("%d %v: %v", tt.p, tt.path, err)
		}
	}
	if err := path.ForRendezvous.Check(list(1, 5, 6), guards, path.Layers{}); err != nil {
		t.Errorf("without the second layer: %v", err)
	}
	if path.ForRendezvous.Hops(path.Lite) != 3 || path.ForIntroduction.Hops(path.NoLayers) != 4 || !path.ForIntroduction.Layered() || path.ForExit.Layered() {
		t.Error("hops")
	}
}

// The table of full vanguards (vanguards-spec): C - G - L2 - L3 - R, S - G - L2 - L3 - HSDIR
// and - I; and with a hop more where others chose the last one.
func TestFullShapes(t *testing.T) {
	id := func(b byte) netdoc.Digest { return netdoc.Digest{b} }
	guards, layers := []netdoc.Digest{id(1)}, path.Layers{Second: []netdoc.Digest{id(2), id(3)}, Third: []netdoc.Digest{id(3), id(4)}}
	for _, tt := range []struct {
		p    path.Purpose
		path []byte
		ok   bool
	}{
		{path.ForExit, []byte{1, 8, 9}, true},
		{path.ForDirectory, []byte{9}, true},
		{path.ForRendezvous, []byte{1, 2, 4, 9}, true},
		{path.ForServiceDirectory, []byte{1, 2, 4, 9}, true},
		{path.ForServiceIntroduction, []byte{1, 2, 4, 9}, true},
		{path.ForOnionDirectory, []byte{1, 2, 4, 8, 9}, true},
		{path.ForIntroduction, []byte{1, 2, 4, 8, 9}, true},
		{path.ForServiceRendezvous, []byte{1, 2, 4, 8, 9}, true},

		{path.ForRendezvous, []byte{1, 2, 9}, false}, // the shapes of lite
		{path.ForOnionDirectory, []byte{1, 2, 4, 9}, false},
		{path.ForServiceRendezvous, []byte{1, 2, 4, 9}, false},
		{path.ForServiceIntroduction, []byte{1, 2, 4, 8, 9}, false},
		{path.ForServiceIntroduction, []byte{1, 2, 8, 9}, false}, // not of the third layer
		{path.ForServiceIntroduction, []byte{1, 8, 4, 9}, false}, // nor of the second
		{path.ForServiceIntroduction, []byte{1, 3, 3, 9}, false},
		{path.ForServiceIntroduction, []byte{1, 2, 3, 1}, true},   // the guard, whom nobody can push away
		{path.ForServiceRendezvous, []byte{1, 2, 4, 1, 9}, true},  // nor tell by who is left
		{path.ForServiceRendezvous, []byte{1, 2, 4, 8, 1}, true},  //
		{path.ForServiceRendezvous, []byte{1, 2, 4, 1, 1}, false}, // but not twice in a row
		{path.ForServiceRendezvous, []byte{1, 2, 4, 8, 4}, false}, //
		{path.ForServiceRendezvous, []byte{1, 2, 4, 8, 8}, false}, //
		{path.ForServiceRendezvous, []byte{1, 2, 4, 2, 9}, false}, //
		{path.ForServiceRendezvous, []byte{8, 2, 4, 5, 9}, false}, // no guard
		{path.ForServiceRendezvous, []byte{1, 2, 4, 5, 6, 9}, false},
	} {
		var ids []netdoc.Digest
		for _, b := range tt.path {
			ids = append(ids, id(b))
		}
		if err := tt.p.Check(ids, guards, layers); (err == nil) != tt.ok || err != nil && !errors.Is(err, path.ErrShape) {
			t.Errorf("%d %v: %v", tt.p, tt.path, err)
		}
	}
	if err := path.ForRendezvous.Check([]netdoc.Digest{id(1), id(2), id(4), id(9)}, guards, path.Layers{Second: layers.Second, Third: []netdoc.Digest{}}); err == nil {
		t.Error("a third layer without relays lets any be the hop")
	}
}

// A guard whose microdescriptor is missing is waited for, not passed over; one that has no keys
// is no guard.
func TestOnionPathGuards(t *testing.T) {
	n := newNetwork(t)
	rend := protos(t, "HSRend=2")
	missing := n.relay(guard, 1, "")
	good := n.relay(guard, 1, "")
	for range 5 {
		n.relay(plain, 1, "", rend)
	}
	keyless := n.relay(guard, 1, "", noKeys)
	delete(n.mds, n.c.Relays[0].MD)
	x := n.strict()
	ask := func(guards ...netdoc.Digest) error {
		_, err := x.OnionPath(newRand(1), path.OnionRequest{Purpose: path.ForRendezvous, Guards: guards})
		return err
	}
	var none *path.NoPathError
	if err := ask(missing, good); !errors.As(err, &none) || none.Rule != path.RuleMicrodescriptor {
		t.Errorf("%v", err)
	}
	if err := ask(digest(99), digest(3)); !errors.As(err, &none) || none.Rule != path.RuleGuards {
		t.Errorf("%v", err)
	}
	for _, passed := range []netdoc.Digest{digest(99), keyless} {
		if err := ask(passed, good); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// What may begin with a stem: all that has its shape and one hop more that is given, and a
// rendezvous of a client, whose point is chosen as a stem's last hop is.
func TestFromStem(t *testing.T) {
	type answer struct{ given, ok bool }
	added, itself, no := answer{true, true}, answer{false, true}, answer{}
	for p, want := range map[path.Purpose][3]answer{ // by mode
		path.ForExit:                {no, no, no},
		path.ForDirectory:           {no, no, no},
		path.ForStem:                {no, no, no},
		path.ForOnionDirectory:      {added, added, added},
		path.ForIntroduction:        {added, added, added},
		path.ForRendezvous:          {itself, itself, itself},
		path.ForServiceIntroduction: {added, added, no},
		path.ForServiceRendezvous:   {added, added, added},
		path.ForServiceDirectory:    {added, added, no},
	} {
		for m := path.NoLayers; m <= path.Full; m++ {
			if given, ok := p.FromStem(m); ok != want[m].ok || ok && given != want[m].given {
				t.Errorf("purpose %d in mode %d: %v %v", p, m, given, ok)
			}
		}
	}
}

// A stem with a given last hop that is in none of its places, or that is its guard, has the
// shape of whatever begins with it.
func TestStemsFit(t *testing.T) {
	rng := newRand(9)
	n := random(t, rng, 120)
	x := n.strict()
	var guards, second, third []netdoc.Digest
	for _, rs := range n.c.Relays {
		if r, _ := x.ByIdentity(rs.Identity); r.CanGuard() && r.Usable() && len(guards) < 3 {
			guards = append(guards, rs.Identity)
		}
	}
	for i := range 12 {
		layer := &second
		if i >= 4 {
			layer = &third
		}
		r, err := x.PickVanguard(rng, *layer)
		if err != nil {
			t.Fatal(err)
		}
		*layer = append(*layer, r.Identity)
	}
	for _, layers := range []path.Layers{{}, {Second: second}, {Second: second, Third: third}} {
		relays, err := x.OnionPath(rng, path.OnionRequest{Purpose: path.ForStem, Guards: guards, Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		stem := identities(relays)
		if err := path.ForStem.Check(stem, guards, layers); err != nil {
			t.Fatal(err)
		}
		for p := path.ForOnionDirectory; p < path.ForStem; p++ {
			given, ok := p.FromStem(layers.Mode())
			if !ok {
				continue
			}
			whole := stem
			if given {
				whole = append(slices.Clone(stem), netdoc.Digest{77})
			}
			if err := p.Check(whole, guards, layers); err != nil {
				t.Errorf("%d: %v", p, err)
			}
			if !given {
				continue
			}
			for i, id := range stem {
				if err := p.Check(append(slices.Clone(stem), id), guards, layers); (err == nil) != (i == 0) {
					t.Errorf("%d: hop %d again: %v", p, i+1, err)
				}
			}
		}
	}
	if _, ok := x.FitRendezvous(netdoc.Digest{77}); ok {
		t.Error("a relay that is in no consensus is a rendezvous point")
	}
}

// The weights of relays of a layer counted when they came into it: now each is as likely.
func TestLayersAreEven(t *testing.T) {
	n := newNetwork(t)
	g := n.relay(guard, 1, "")
	layers := path.Layers{Second: []netdoc.Digest{n.relay(plain, 1, ""), n.relay(plain, 100, ""), n.relay(plain, 10_000, "")}}
	last := n.relay(plain, 1, "", protos(t, "HSRend=2"))
	x, rng, chosen := n.strict(), newRand(1), map[netdoc.Digest]int{}
	for range 3000 {
		p, err := x.OnionPath(rng, path.OnionRequest{Purpose: path.ForRendezvous, Guards: []netdoc.Digest{g}, Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		chosen[p[1].Identity]++
	}
	for _, id := range layers.Second {
		if chosen[id] < 850 || chosen[id] > 1150 {
			t.Errorf("one of three is chosen %d times of 3000", chosen[id])
		}
	}
	// One that is the last hop, or the guard, is none of the layer; and without another there is no path.
	layers.Second = []netdoc.Digest{last, g}
	if p, err := x.OnionPath(rng, path.OnionRequest{Purpose: path.ForServiceIntroduction, Guards: []netdoc.Digest{g}, Layers: layers, Last: last}); err == nil {
		t.Errorf("%v", identities(p))
	}
}
