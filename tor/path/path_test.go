package path_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/nodeset"
	"chive/tor/path"
)

// breach says which rule a path breaks, by reading the documents anew, without
// the code under test. "" is none.
func (n *network) breach(hops []*path.Relay, w path.Want) string {
	if len(hops) != 3 {
		return "not three hops"
	}
	longLived := slices.Contains([]uint16{21, 22, 706, 1863, 5050, 5190, 5222, 5223, 6523, 6667, 6697, 8300}, w.Port)
	for i, r := range hops {
		f, md := r.Flags, n.mds[r.MD]
		has := func(want netdoc.Flags) bool { return f&want == want }
		switch {
		case !has(netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast):
			return "flags"
		case md == nil || md.NtorKey == [32]byte{} || md.Ed25519 == netdoc.Ed25519ID{} || has(netdoc.FlagNoEdConsensus):
			return "keys"
		case md.NtorKey != r.NtorKey || md.Ed25519 != r.Ed25519:
			return "other keys than the microdescriptor's"
		case (w.Stable || longLived) && !has(netdoc.FlagStable):
			return "not stable"
		case i != 1 && has(netdoc.FlagMiddleOnly):
			return "MiddleOnly at an end"
		}
	}
	if f := hops[0].Flags; f&(netdoc.FlagGuard|netdoc.FlagStable|netdoc.FlagV2Dir) != netdoc.FlagGuard|netdoc.FlagStable|netdoc.FlagV2Dir {
		return "guard flags"
	}
	policy := n.mds[hops[2].MD].Policy4
	if w.IPv6 {
		policy = n.mds[hops[2].MD].Policy6
	}
	switch {
	case hops[2].Flags&netdoc.FlagBadExit != 0:
		return "BadExit"
	case w.Port != 0 && !policy.Allows(w.Port), !policy.AllowsSome():
		return "policy"
	}
	for i := range hops {
		for j := range i {
			if what := n.together(hops[i].RouterStatus, hops[j].RouterStatus); what != "" {
				return what
			}
		}
	}
	return ""
}

func (n *network) together(a, b *netdoc.RouterStatus) string {
	x, y := n.mds[a.MD], n.mds[b.MD]
	within := func(p, q netip.Addr, bits int) bool {
		if !p.IsValid() || !q.IsValid() {
			return false
		}
		prefix, _ := p.Prefix(bits)
		return prefix.Contains(q)
	}
	shared := func() bool {
		return slices.ContainsFunc(x.FamilyIDs, func(id string) bool { return slices.Contains(y.FamilyIDs, id) })
	}
	switch {
	case a.Identity == b.Identity:
		return "same relay"
	case within(a.IPv4.Addr(), b.IPv4.Addr(), 16), within(a.IPv6.Addr(), b.IPv6.Addr(), 32):
		return "same subnet"
	case x.Family.Contains(b.Identity, b.Nickname) && y.Family.Contains(a.Identity, a.Nickname), shared():
		return "same family"
	}
	return ""
}

// randomRules excludes some relays, and now and then allows only some in a position.
func randomRules(rng *rand.Rand, n *network) *nodeset.Rules {
	some := func(share int) (s nodeset.Set) {
		for _, rs := range n.c.Relays {
			if rng.IntN(100) < share {
				s.Relays = append(s.Relays, rs.Identity)
			}
		}
		return s
	}
	r := &nodeset.Rules{Exclude: some(10), ExcludeExit: some(20)}
	r.Exclude.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:3::/48")}
	for _, s := range []*nodeset.Set{&r.Entry, &r.Middle, &r.Exit} {
		if rng.IntN(2) == 0 {
			*s = some(60)
		}
	}
	return r
}

// breaksRules reads the rules anew, without the code under test.
func breaksRules(r *nodeset.Rules, hops []*path.Relay) bool {
	in := func(s nodeset.Set, hop *path.Relay) bool {
		return slices.Contains(s.Relays, hop.Identity) || slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool {
			return p.Contains(hop.IPv4.Addr()) || p.Contains(hop.IPv6.Addr())
		})
	}
	for i, hop := range hops {
		only := [...]nodeset.Set{r.Entry, r.Middle, r.Exit}[i]
		if in(r.Exclude, hop) || !only.Empty() && !in(only, hop) {
			return true
		}
	}
	return in(r.ExcludeExit, hops[2])
}

func paths() int {
	if raceDetector || testing.Short() {
		return 60_000
	}
	return 1_000_000
}

// path-spec §2.2: "All paths we generate obey the following constraints".
func TestNoPathBreaksARule(t *testing.T) {
	rng := newRand(1)
	const networks = 20
	found := 0
	for i := range networks {
		relays := 60 + rng.IntN(400)
		if i == 0 {
			relays = 10_000 // as many as the public network has
		}
		n := random(t, rng, relays)
		var rules *nodeset.Rules
		if i%2 == 1 {
			rules = randomRules(rng, n)
		}
		x := n.index(path.Options{EnforceDistinctSubnets: true, Nodes: rules})
		var guards []netdoc.Digest
		for i := range 5 {
			barred := func(r *path.Relay) bool { return !x.MayEnter(r) }
			if g, err := x.PickGuard(rng, barred); err == nil && (g.Usable() || i > 0) {
				guards = append(guards, g.Identity)
			}
		}
		for range paths() / networks {
			w := path.Want{Port: []uint16{443, 80, 22, 6667, 25, 0}[rng.IntN(6)], Stable: rng.IntN(8) == 0}
			if rng.IntN(10) == 0 {
				w.IPv6, w.Port = true, 443
			}
			hops, err := x.Path(rng, path.Request{Guards: guards, Want: w})
			if err != nil {
				if !errors.Is(err, path.ErrNoPath) {
					t.Fatal(err)
				}
				continue
			}
			found++
			what := n.breach(hops, w)
			if what == "" && rules != nil && breaksRules(rules, hops) {
				what = "the user's rules"
			}
			if what != "" {
				t.Fatalf("%s: %v %v %v for %+v", what, hops[0].Nickname, hops[1].Nickname, hops[2].Nickname, w)
			}
		}
	}
	if found < paths()*8/10 { // rules may leave none
		t.Errorf("only %d of %d paths found", found, paths())
	}
}

// Path finds a path exactly when some triple of relays obeys the rules.
func TestPathIsFoundWhenThereIsOne(t *testing.T) {
	rng := newRand(2)
	var none, some int
	for range 2000 {
		n := random(t, rng, 3+rng.IntN(7))
		x := n.strict()
		w := path.Want{Port: []uint16{443, 22, 0}[rng.IntN(3)]}
		var all []*path.Relay
		for i := range n.c.Relays {
			r, ok := x.ByIdentity(digest(i))
			if !ok {
				t.Fatalf("relay %d is not in the index", i)
			}
			all = append(all, r)
		}
		for _, g := range all {
			exists := false
			for _, m := range all {
				exists = exists || slices.ContainsFunc(all, func(e *path.Relay) bool { return n.breach([]*path.Relay{g, m, e}, w) == "" })
			}
			hops, err := x.Path(rng, path.Request{Guards: []netdoc.Digest{g.Identity}, Want: w})
			switch {
			case exists != (err == nil):
				t.Fatalf("a path exists: %v, found: %v", exists, err)
			case err == nil && (hops[0] != g || n.breach(hops, w) != ""):
				t.Fatalf("path %v", hops)
			case exists:
				some++
			default:
				none++
			}
		}
	}
	if some < 50 || none < 50 {
		t.Errorf("%d paths exist and %d do not: the test shows little", some, none)
	}
}

// The error names the rule that took the last candidates away.
func TestNoPathNamesTheRule(t *testing.T) {
	base := func(t *testing.T) *network {
		n := newNetwork(t)
		n.relay(guard, 100, "")
		n.relay(plain, 100, "")
		n.relay(exit, 100, "accept 443")
		return n
	}
	for name, c := range map[string]struct {
		alter func(*network)
		req   path.Request
		want  path.NoPathError
	}{
		"no guard given":           {func(n *network) {}, path.Request{}, path.NoPathError{Position: path.Guard, Rule: path.RuleGuards}},
		"guard left the consensus": {func(n *network) {}, path.Request{Guards: []netdoc.Digest{digest(99)}}, path.NoPathError{Position: path.Guard, Rule: path.RuleGuards}},
		"guard lost its flag":      {func(n *network) {}, path.Request{Guards: []netdoc.Digest{digest(1)}}, path.NoPathError{Position: path.Guard, Rule: path.RuleGuards}},
		"guard's microdescriptor is missing, and no other guard is used instead": {func(n *network) {
			n.relay(guard, 100, "")
			delete(n.mds, n.c.Relays[0].MD)
		}, path.Request{Guards: []netdoc.Digest{digest(0), digest(3)}}, path.NoPathError{Position: path.Guard, Rule: path.RuleMicrodescriptor}},
		"no exit at all": {func(n *network) { n.c.Relays[2].Flags |= netdoc.FlagBadExit }, path.Request{Guards: []netdoc.Digest{digest(0)}}, path.NoPathError{Position: path.Exit, Rule: path.RulePosition}},
		"port":           {func(n *network) {}, path.Request{Guards: []netdoc.Digest{digest(0)}, Want: path.Want{Port: 80}}, path.NoPathError{Position: path.Exit, Rule: path.RulePort}},
		"IPv6":           {func(n *network) {}, path.Request{Guards: []netdoc.Digest{digest(0)}, Want: path.Want{Port: 443, IPv6: true}}, path.NoPathError{Position: path.Exit, Rule: path.RulePort}},
		"stable exit":    {func(n *network) { n.c.Relays[2].Flags &^= netdoc.FlagStable }, path.Request{Guards: []netdoc.Digest{digest(0)}, Want: path.Want{Port: 443, Stable: true}}, path.NoPathError{Position: path.Exit, Rule: path.RuleStable}},
		"stable middle":  {func(n *network) { n.c.Relays[1].Flags &^= netdoc.FlagStable }, path.Request{Guards: []netdoc.Digest{digest(0)}, Want: path.Want{Port: 443, Stable: true}}, path.NoPathError{Position: path.Middle, Rule: path.RuleSameRelay}},
		"family": {func(n *network) {
			lists(2)(nil, n.mds[n.c.Relays[0].MD])
			lists(0)(nil, n.mds[n.c.Relays[2].MD])
		}, path.Request{Guards: []netdoc.Digest{digest(0)}}, path.NoPathError{Position: path.Exit, Rule: path.RuleFamily}},
		"subnet": {func(n *network) { address("20.0.255.255:1")(&n.c.Relays[2], nil) }, path.Request{Guards: []netdoc.Digest{digest(0)}}, path.NoPathError{Position: path.Exit, Rule: path.RuleSubnet}},
		"the rule that came last": {func(n *network) {
			lists(2)(nil, n.mds[n.c.Relays[0].MD])
			lists(0)(nil, n.mds[n.c.Relays[2].MD])
			n.relay(exit, 100, "accept 80")
		}, path.Request{Guards: []netdoc.Digest{digest(0)}, Want: path.Want{Port: 443}}, path.NoPathError{Position: path.Exit, Rule: path.RuleFamily}},
		"no middle": {func(n *network) { n.c.Relays[1].Flags &^= netdoc.FlagFast }, path.Request{Guards: []netdoc.Digest{digest(0)}}, path.NoPathError{Position: path.Middle, Rule: path.RuleSameRelay}},
	} {
		t.Run(name, func(t *testing.T) {
			n := base(t)
			c.alter(n)
			hops, err := n.strict().Path(newRand(3), c.req)
			var noPath *path.NoPathError
			if !errors.As(err, &noPath) || *noPath != c.want || !errors.Is(err, path.ErrNoPath) {
				t.Errorf("%v, %v; want %v", hops, err, &c.want)
			}
		})
	}
}

func TestExcludedByTheCaller(t *testing.T) {
	n := newNetwork(t)
	only := n.relay(both, 100, "accept 443")
	x := n.strict()
	none := func(*path.Relay) bool { return true }
	for pos, pick := range map[path.Position]func(*rand.Rand) (*path.Relay, error){
		path.Guard:     func(r *rand.Rand) (*path.Relay, error) { return x.PickGuard(r, none) },
		path.Directory: func(r *rand.Rand) (*path.Relay, error) { return x.PickDirectory(r, none) },
		path.Exit:      func(r *rand.Rand) (*path.Relay, error) { return x.PickExit(r, path.Want{Port: 443}, none) },
		path.Middle: func(r *rand.Rand) (*path.Relay, error) {
			g, _ := x.ByIdentity(only)
			return x.PickMiddle(r, g, g, g)
		},
	} {
		var noPath *path.NoPathError
		if r, err := pick(newRand(4)); !errors.As(err, &noPath) || *noPath != (path.NoPathError{Position: pos, Rule: path.RuleExcluded}) {
			t.Errorf("%v: %v, %v", pos, r, err)
		}
	}
}

// An exit that nearly always comes up leaves no middle; the other does.
func TestExitThatLeavesAMiddleIsFound(t *testing.T) {
	n := newNetwork(t)
	g := n.relay(guard, 100, "")
	n.relay(plain, 100, "", familyIDs("heavy"))
	n.relay(exit, 1_000_000_000, "accept 443", familyIDs("heavy", "exits"))
	light := n.relay(exit, 1, "accept 443", familyIDs("exits"))
	x, rng := n.strict(), newRand(10)
	for range 100 {
		hops, err := x.Path(rng, path.Request{Guards: []netdoc.Digest{g}, Want: path.Want{Port: 443}})
		if err != nil || hops[2].Identity != light {
			t.Fatalf("%v, %v", hops, err)
		}
	}
}

// path-spec §2.2: later guards serve only what the first cannot.
func TestSecondGuardOnlyWhereTheFirstHasNoPath(t *testing.T) {
	n := newNetwork(t)
	first := n.relay(guard, 100, "", lists(4))
	second := n.relay(guard, 100, "")
	n.relay(plain, 100, "")
	n.relay(exit, 100, "accept 443")
	n.relay(exit, 1_000_000, "accept 80,443", lists(0))
	x, rng := n.strict(), newRand(5)
	for port, want := range map[uint16]netdoc.Digest{443: first, 80: second} {
		for range 100 {
			hops, err := x.Path(rng, path.Request{Guards: []netdoc.Digest{first, second}, Want: path.Want{Port: port}})
			if err != nil || hops[0].Identity != want {
				t.Fatalf("port %d: guard %v, %v", port, hops[0].Nickname, err)
			}
		}
	}
}

// chiSquare fails when counts do not follow weights: beyond five standard
// deviations of the statistic.
func chiSquare(t *testing.T, what string, counts map[string]int, weights map[string]float64) {
	t.Helper()
	var total, n float64
	for _, w := range weights {
		total += w
	}
	for name, c := range counts {
		n += float64(c)
		if weights[name] == 0 {
			t.Errorf("%s: %s was chosen %d times and weighs nothing", what, name, c)
		}
	}
	var statistic float64
	freedom := -1.0
	for name, w := range weights {
		if expected := n * w / total; expected > 5 {
			d := float64(counts[name]) - expected
			statistic += d * d / expected
			freedom++
		}
	}
	if freedom < 5 || statistic > freedom+5*math.Sqrt(2*freedom) {
		t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom", what, statistic, freedom)
	}
}

// dir-spec §3.8.3, path-spec §2.2: each position × flag class has its weight.
func TestSharesMatchTheWeights(t *testing.T) {
	rng := newRand(6)
	n := newNetwork(t)
	type weight = map[netdoc.Flags]float64
	flagSets := []netdoc.Flags{guard, plain, exit, both, exit | netdoc.FlagBadExit}
	for range 80 {
		n.relay(flagSets[rng.IntN(len(flagSets))], 1+rng.Uint32N(10_000), "accept 443")
	}
	x := n.strict()
	picks := max(paths()/5, 60_000)
	for name, c := range map[string]struct {
		pick  func() (*path.Relay, error)
		share weight
	}{
		"guard":     {func() (*path.Relay, error) { return x.PickGuard(rng, nil) }, weight{guard: 6110, both: 1000}},
		"middle":    {func() (*path.Relay, error) { return x.PickMiddle(rng) }, weight{guard: 3890, plain: 10000, exit: 0, both: 1000, flagSets[4]: 10000}},
		"exit":      {func() (*path.Relay, error) { return x.PickExit(rng, path.Want{Port: 443}, nil) }, weight{guard: 8000, plain: 10000, exit: 10000, both: 8000}},
		"directory": {func() (*path.Relay, error) { return x.PickDirectory(rng, nil) }, weight{guard: 3890, plain: 10000, exit: 0, both: 1000, flagSets[4]: 10000}},
	} {
		counts, weights := map[string]int{}, map[string]float64{}
		for _, rs := range n.c.Relays {
			if w := float64(rs.Bandwidth) * c.share[rs.Flags]; w > 0 {
				weights[rs.Nickname] = w
			}
		}
		for range picks {
			r, err := c.pick()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			counts[r.Nickname]++
		}
		chiSquare(t, name, counts, weights)
	}
}

// What the rules leave keeps its proportions, whether samples are rejected or
// all that is left is weighed (here most picks are: a relay that is excluded
// has 97 % of the weight).
func TestSharesUnderExclusion(t *testing.T) {
	for name, heavy := range map[string]uint32{"rejection": 1000, "exact": 4_000_000} {
		t.Run(name, func(t *testing.T) {
			rng := newRand(7)
			n := newNetwork(t)
			g := n.relay(guard, heavy, "")
			weights := map[string]float64{}
			for i := range 40 {
				n.relay(plain, uint32(100+50*i), "")
				weights[n.c.Relays[i+1].Nickname] = float64(100 + 50*i)
			}
			n.relay(plain, heavy, "", address("20.0.3.3:1")) // in the guard's /16
			x := n.strict()
			first, _ := x.ByIdentity(g)
			counts := map[string]int{}
			for range 40_000 {
				r, err := x.PickMiddle(rng, first)
				if err != nil {
					t.Fatal(err)
				}
				counts[r.Nickname]++
			}
			chiSquare(t, name, counts, weights)
		})
	}
}

// The smallest weights there are: each relay owns exactly its own points.
func TestSmallestWeights(t *testing.T) {
	rng := newRand(11)
	n := newNetwork(t)
	n.c.BandwidthWeights = netdoc.Weights{"Wmg": 1, "Wmm": 1, "Wme": 1, "Wmd": 1, "Wmb": 10000, "Wgb": 10000, "Web": 10000, "Wdb": 10000}
	weights := map[string]float64{}
	for i := range 12 {
		n.relay(plain, uint32(i%3), "")
		if i%3 > 0 {
			weights[n.c.Relays[i].Nickname] = float64(i % 3)
		}
	}
	x, counts := n.strict(), map[string]int{}
	for range 20_000 {
		r, err := x.PickMiddle(rng)
		if err != nil {
			t.Fatal(err)
		}
		counts[r.Nickname]++
	}
	chiSquare(t, "smallest", counts, weights)
}

// Where nothing that is left has weight, the choice is uniform, as in C tor.
func TestWeightlessRelaysAreTheLastResort(t *testing.T) {
	rng := newRand(8)
	n := newNetwork(t)
	weights := map[string]float64{}
	for i := range 10 {
		n.relay(exit, 100, "accept 443") // Wme is 0
		weights[n.c.Relays[i].Nickname] = 1
	}
	one := n.relay(plain, 1, "")
	x := n.strict()
	for range 1000 {
		if r, err := x.PickMiddle(rng); err != nil || r.Identity != one {
			t.Fatalf("%v, %v", r, err)
		}
	}
	chosen, _ := x.ByIdentity(one)
	counts := map[string]int{}
	for range 10_000 {
		r, err := x.PickMiddle(rng, chosen)
		if err != nil {
			t.Fatal(err)
		}
		counts[r.Nickname]++
	}
	chiSquare(t, "uniform", counts, weights)
}
