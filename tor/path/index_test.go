package path_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// path-spec §2.2, proposal 321 "Client behavior", and the consensus parameters
// use-family-lists and use-family-ids.
func TestConflict(t *testing.T) {
	build := func() *network {
		n := newNetwork(t)
		n.relay(plain, 1, "", lists(1, 2), familyIDs("a", "b"))                     // 0
		n.relay(plain, 1, "", lists(0))                                             // 1: mutual with 0
		n.relay(plain, 1, "")                                                       // 2: listed by 0 only
		n.relay(plain, 1, "", familyIDs("b"))                                       // 3: shares b with 0
		n.relay(plain, 1, "", familyIDs("c"))                                       // 4
		n.relay(plain, 1, "", address("20.0.200.1:9"))                              // 5: /16 of 0
		n.relay(plain, 1, "", address("10.1.0.1:9"), address6("[2001:db8:1::1]:9")) // 6
		n.relay(plain, 1, "", address("10.2.0.1:9"), address6("[2001:db8:2::1]:9")) // 7: /32 of 6
		n.relay(plain, 1, "", address("10.3.0.1:9"), address6("[2001:db9:1::1]:9")) // 8
		n.relay(plain, 1, "", func(_ *netdoc.RouterStatus, md *netdoc.Microdesc) {  // 9: by nickname
			md.Family = &netdoc.Family{Nicknames: []string{"r10"}}
		})
		n.relay(plain, 1, "", func(rs *netdoc.RouterStatus, md *netdoc.Microdesc) { // 10
			rs.Nickname = "R10"
			md.Family = &netdoc.Family{IDs: []netdoc.Digest{digest(9)}}
		})
		return n
	}
	type pair [2]int
	family := []pair{{0, 1}, {9, 10}}
	ids := []pair{{0, 3}}
	subnets := []pair{{0, 5}, {6, 7}}
	for name, c := range map[string]struct {
		opts   path.Options
		params netdoc.Params
		want   []pair
	}{
		"all rules":          {path.Options{EnforceDistinctSubnets: true}, netdoc.Params{}, slices.Concat(family, ids, subnets)},
		"subnets off":        {path.Options{}, netdoc.Params{}, slices.Concat(family, ids)},
		"use-family-lists=0": {path.Options{EnforceDistinctSubnets: true}, netdoc.Params{"use-family-lists": 0}, slices.Concat(ids, subnets)},
		"use-family-ids=0":   {path.Options{EnforceDistinctSubnets: true}, netdoc.Params{"use-family-ids": 0}, slices.Concat(family, subnets)},
	} {
		n := build()
		n.c.Params = c.params
		x := n.index(c.opts)
		for i := range n.c.Relays {
			for j := range n.c.Relays {
				a, _ := x.ByIdentity(digest(i))
				b, _ := x.ByIdentity(digest(j))
				want := i == j || slices.Contains(c.want, pair{i, j}) || slices.Contains(c.want, pair{j, i})
				if got := x.Conflict(a, b); got != want {
					t.Errorf("%s: %d and %d: %v", name, i, j, got)
				}
			}
		}
	}
}

// Which flags and keys open which position.
func TestPositions(t *testing.T) {
	const g, m, e, d = 1 << path.Guard, 1 << path.Middle, 1 << path.Exit, 1 << path.Directory
	for name, c := range map[string]struct {
		flags  netdoc.Flags
		policy string
		change change
		want   int
	}{
		"all flags":             {both, "accept 443", nil, g | m | e | d},
		"plain":                 {plain, "", nil, m | d},
		"policy without Exit":   {plain, "accept 6667", nil, m | e | d},
		"Exit without a policy": {exit, "", nil, m | d},
		"only an IPv6 policy":   {exit, "", policy6("accept 443"), m | e | d},
		"BadExit":               {both | netdoc.FlagBadExit, "accept 443", nil, g | m | d},
		"MiddleOnly":            {both | netdoc.FlagMiddleOnly, "accept 443", nil, m},
		"not Valid":             {both &^ netdoc.FlagValid, "accept 443", nil, 0},
		"not Running":           {both &^ netdoc.FlagRunning, "accept 443", nil, 0},
		"not Fast":              {both &^ netdoc.FlagFast, "accept 443", nil, d},
		"not Stable":            {both &^ netdoc.FlagStable, "accept 443", nil, m | e | d},
		"not V2Dir":             {both &^ netdoc.FlagV2Dir, "accept 443", nil, m | e},
		"no ntor key":           {both, "accept 443", noKeys, d},
		"no Ed25519 identity":   {both, "accept 443", func(_ *netdoc.RouterStatus, md *netdoc.Microdesc) { md.Ed25519 = netdoc.Ed25519ID{} }, d},
		"NoEdConsensus":         {both | netdoc.FlagNoEdConsensus, "accept 443", nil, d},
		"port 0":                {both, "accept 443", address("20.0.0.1:0"), 0},
	} {
		n := newNetwork(t)
		changes := []change{}
		if c.change != nil {
			changes = append(changes, c.change)
		}
		n.relay(c.flags, 1, c.policy, changes...)
		x := n.strict()
		got := 0
		for pos := path.Guard; pos <= path.Directory; pos++ {
			got |= x.Count(pos) << pos
		}
		if got != c.want {
			t.Errorf("%s: positions %04b, want %04b", name, got, c.want)
		}
		r, _ := x.ByIdentity(digest(0))
		if r.CanGuard() != (c.want&g != 0) || r.CanExit() != (c.want&e != 0) || r.Usable() != (c.want&(m|e) != 0 || name == "port 0" || name == "not Valid" || name == "not Running" || name == "not Fast") {
			t.Errorf("%s: guard %v exit %v usable %v", name, r.CanGuard(), r.CanExit(), r.Usable())
		}
	}
}

// A relay is found by identity even when the consensus is not in order; a
// relay's own consensus entry goes with it.
func TestByIdentity(t *testing.T) {
	n := newNetwork(t)
	for range 50 {
		n.relay(both, 1, "accept 443")
	}
	slices.Reverse(n.c.Relays)
	x := n.strict()
	for i := range 50 {
		r, ok := x.ByIdentity(digest(i))
		if !ok || r.Identity != digest(i) || r.Nickname != fmt.Sprintf("r%d", i) || r.Ed25519 != (netdoc.Ed25519ID{2, byte(i)}) {
			t.Errorf("relay %d: %+v, %v", i, r, ok)
		}
	}
	for _, missing := range []netdoc.Digest{{}, digest(50), {0xff}} {
		if _, ok := x.ByIdentity(missing); ok {
			t.Errorf("found %v", missing)
		}
	}
}

// path-spec §2.2: long-lived ports need Stable relays.
func TestLongLivedPorts(t *testing.T) {
	n := newNetwork(t)
	n.relay(exit&^netdoc.FlagStable, 1000, "accept 1-65535")
	stable := n.relay(exit, 1, "accept 1-65535")
	rng := newRand(1)
	always := func(x *path.Index, port uint16) bool {
		for range 200 {
			r, err := x.PickExit(rng, path.Want{Port: port}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Identity != stable {
				return false
			}
		}
		return true
	}
	byDefault, none, own := n.strict(), n.index(path.Options{LongLivedPorts: []uint16{}}), n.index(path.Options{LongLivedPorts: []uint16{443}})
	for _, c := range []struct {
		x    *path.Index
		port uint16
		want bool
	}{{byDefault, 22, true}, {byDefault, 8300, true}, {byDefault, 443, false}, {none, 22, false}, {own, 443, true}, {own, 22, false}} {
		if got := always(c.x, c.port); got != c.want {
			t.Errorf("port %d: only stable relays: %v", c.port, got)
		}
	}
}

// dir-spec §3.8.3: scale, missing and malformed weights.
func TestWeightScaleAndMissingWeights(t *testing.T) {
	share := func(weights netdoc.Weights, params netdoc.Params) float64 {
		n := newNetwork(t)
		n.c.BandwidthWeights, n.c.Params = weights, params
		n.relay(plain, 100, "")
		g := n.relay(guard, 100, "")
		x, rng := n.strict(), newRand(9)
		guards := 0
		const picks = 20_000
		for range picks {
			r, err := x.PickMiddle(rng)
			if err != nil {
				t.Fatal(err)
			}
			if r.Identity == g {
				guards++
			}
		}
		return float64(guards) / picks
	}
	with := func(name string, v int32) netdoc.Weights {
		w := netdoc.Weights{}
		for k, v := range liveWeights {
			w[k] = v
		}
		w[name] = v
		return w
	}
	without := with("Wme", 0)
	delete(without, "Wme")
	for name, c := range map[string]struct {
		weights netdoc.Weights
		params  netdoc.Params
		want    float64
	}{
		"default scale":                {liveWeights, nil, 3890. / 13890},
		"scale 5000 clamps Wmm to 1":   {liveWeights, netdoc.Params{"bwweightscale": 5000}, 3890. / 8890},
		"directory factor Wgb":         {with("Wgb", 5000), nil, 1945. / 11945},
		"a weight missing: unweighted": {without, nil, 0.5},
		"a negative one: unweighted":   {with("Wmd", -1), nil, 0.5},
		"none at all: unweighted":      {nil, nil, 0.5},
	} {
		if got := share(c.weights, c.params); math.Abs(got-c.want) > 0.015 {
			t.Errorf("%s: share %.3f, want %.3f", name, got, c.want)
		}
	}
}

// path-spec §2.1.0: "the product of these three fractions".
func TestCoverage(t *testing.T) {
	build := func() *network {
		n := newNetwork(t)
		n.relay(guard, 100, "")             // guard weight 611000, middle 389000
		n.relay(guard, 300, "")             // 1833000, 1167000
		n.relay(plain, 100, "")             // middle 1000000
		n.relay(exit, 100, "accept 443")    // exit 1000000
		n.relay(exit, 400, "accept 80,443") // 4000000
		n.relay(exit, 9999, "")             // carries nothing: no exit
		return n
	}
	for name, c := range map[string]struct {
		alter  func(*network)
		want   float64
		enough bool
	}{
		"all":        {func(n *network) {}, 1, true},
		"none":       {func(n *network) { clear(n.mds) }, 0, false},
		"no guard 1": {func(n *network) { delete(n.mds, n.c.Relays[1].MD) }, 0.25 * (389. + 1000) / (389 + 1167 + 1000), false},
		"no exit 3":  {func(n *network) { delete(n.mds, n.c.Relays[3].MD) }, 0.8, true},
		"no exit 3, param": {func(n *network) {
			delete(n.mds, n.c.Relays[3].MD)
			n.c.Params["min_paths_for_circs_pct"] = 90
		}, 0.8, false},
		"no exits in the consensus": {func(n *network) {
			n.c.Relays = n.c.Relays[:3]
			delete(n.mds, n.c.Relays[2].MD)
		}, math.Pow(1556./2556, 2), false},
		"no bandwidths: by number": {func(n *network) {
			for i := range n.c.Relays {
				n.c.Relays[i].Bandwidth = 0
			}
			delete(n.mds, n.c.Relays[1].MD)
		}, 0.5 * 5 / 6 * 1, false},
		"empty": {func(n *network) { n.c.Relays = nil }, 0, false},
	} {
		n := build()
		c.alter(n)
		x := n.strict()
		if got := x.Coverage(); math.Abs(got-c.want) > 1e-9 || x.Enough() != c.enough {
			t.Errorf("%s: coverage %.4f enough %v, want %.4f", name, got, x.Enough(), c.want)
		}
	}
}

// The public surface that turns up in events and logs.
func TestStrings(t *testing.T) {
	err := &path.NoPathError{Position: path.Exit, Rule: path.RulePort}
	if got := err.Error(); got != "no path: no exit: no exit policy carries the port" {
		t.Error(got)
	}
	seen := map[string]bool{}
	for i := range 12 {
		seen[path.Rule(i).String()] = true
		seen[path.Position(i).String()] = true
	}
	if len(seen) != 24 {
		t.Errorf("%d different texts, want 24: %v", len(seen), seen)
	}
}

func TestPicksDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	rng := newRand(1)
	x := random(t, rng, 2000).strict()
	g, _ := x.PickGuard(rng, nil)
	for name, pick := range picks(x, g) {
		if n := testing.AllocsPerRun(200, func() { pick(rng) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
