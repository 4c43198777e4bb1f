package vanguard_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"chive/tor/netdoc"
	"chive/tor/nodeset"
	"chive/tor/path"
	"chive/tor/vanguard"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// network has so many relays; those in gone have lost the Stable flag.
func network(relays int, gone ...netdoc.Digest) *path.Index { return networkBy(nil, relays, gone...) }

func networkBy(rules *nodeset.Rules, relays int, gone ...netdoc.Digest) *path.Index {
	return networkAt(time.Time{}, rules, relays, gone...)
}

// networkAt is one whose consensus is valid until a time.
func networkAt(until time.Time, rules *nodeset.Rules, relays int, gone ...netdoc.Digest) *path.Index {
	c := &netdoc.Consensus{Params: netdoc.Params{}, ValidUntil: until}
	for i := range relays {
		rs := netdoc.RouterStatus{
			Identity: netdoc.Digest{byte(i + 1)}, MD: netdoc.MDDigest{byte(i + 1)}, Bandwidth: uint32(i%50 + 1),
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable,
		}
		if slices.Contains(gone, rs.Identity) {
			rs.Flags &^= netdoc.FlagStable
		}
		c.Relays = append(c.Relays, rs)
	}
	return path.NewIndex(c, func(d netdoc.MDDigest) *netdoc.Microdesc {
		return &netdoc.Microdesc{NtorKey: [32]byte{d[0]}, Ed25519: netdoc.Ed25519ID{d[0]}}
	}, path.Options{Nodes: rules})
}

func newSet(seed uint64) *vanguard.Set { return vanguard.New(rand.New(rand.NewPCG(seed, 1))) }

// "The number of second layer guards is 4"; "their lifetime is between 1 and 12 days"
// (param-spec, and proposal 333 §3.1, §3.2; C tor draws evenly).
func TestLayer(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{})
	if !p.Enabled || p.Second.Number != 4 || p.Second.Shortest != 24*time.Hour || p.Second.Longest != 12*24*time.Hour ||
		p.Full || p.FullForServices || p.Third != (vanguard.Bounds{Number: 8, Shortest: time.Hour, Longest: 48 * time.Hour}) {
		t.Fatalf("%+v", p)
	}
	var lives []time.Duration
	for seed := range uint64(200) {
		s := newSet(seed)
		s.Update(network(50), p, false, start)
		ids := s.Of(vanguard.Second)
		slices.SortFunc(ids, func(a, b netdoc.Digest) int { return int(a[0]) - int(b[0]) })
		if len(slices.Compact(ids)) != 4 {
			t.Fatalf("%d relays", len(ids))
		}
		for _, r := range s.Relays() {
			lives = append(lives, r.Expires.Sub(start))
		}
	}
	var sum time.Duration
	for _, l := range lives {
		if l < p.Second.Shortest-time.Second || l >= p.Second.Longest {
			t.Fatalf("a life of %v", l)
		}
		sum += l / time.Duration(len(lives))
	}
	if mean := (p.Second.Shortest + p.Second.Longest) / 2; sum < mean*9/10 || sum > mean*11/10 {
		t.Errorf("they live %v on average", sum)
	}
}

// One leaves when its time is over or it is no longer fit, and another comes; the others
// stay.
func TestChange(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{})
	s := newSet(1)
	s.Update(network(50), p, false, start)
	s.Take()
	first := s.Relays()
	next := s.Next()
	s.Update(network(50), p, false, next.Add(-time.Second))
	if len(s.Take()) != 0 {
		t.Fatal("a change before its time")
	}
	s.Update(network(50), p, false, next)
	events := s.Take()
	if len(events) != 2 || events[0].Kind != vanguard.Removed || events[0].Reason != vanguard.Expired || events[1].Kind != vanguard.Added {
		t.Fatalf("%+v", events)
	}
	left := s.Relays()
	if len(left) != 4 || !slices.Equal(left[:3], slices.DeleteFunc(slices.Clone(first), func(r vanguard.Relay) bool { return r.Identity == events[0].Identity })) {
		t.Fatalf("%+v", left)
	}
	unfit := left[1].Identity
	s.Update(network(50, unfit), p, false, next)
	if events := s.Take(); len(events) != 2 || events[0].Reason != vanguard.Unfit || events[0].Identity != unfit || events[1].Identity == unfit {
		t.Fatalf("%+v", events)
	}
	p.Second.Number = 2
	s.Update(network(50), p, false, next)
	if s.Take(); len(s.Relays()) != 2 {
		t.Errorf("%d relays", len(s.Relays()))
	}
	s.Update(network(1), p, false, next)
	if len(s.Relays()) != 1 {
		t.Errorf("%d relays of a network of one", len(s.Relays()))
	}
}

// The events lead to the same layer, from the same start.
func TestReplay(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{"guard-hs-l2-number": 5, "guard-hs-l2-lifetime-min": 60, "guard-hs-l2-lifetime-max": 3600})
	s, again := newSet(3), newSet(4)
	now := start
	for i := range 200 {
		now = now.Add(5 * time.Minute)
		s.Update(network(30, netdoc.Digest{byte(i%30 + 1)}), p, i%3 > 0, now)
		events := s.Take()
		if err := again.Replay(events); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Relays(), s.Relays()) || len(s.Of(vanguard.Second)) != 5 || i%3 > 0 && len(s.Of(vanguard.Third)) != 8 {
			t.Fatal("another layer")
		}
	}
	for _, e := range []vanguard.Event{
		{Kind: vanguard.Added, Relay: s.Relays()[0]},
		{Kind: vanguard.Removed, Relay: vanguard.Relay{Identity: netdoc.Digest{99}}},
		{Kind: vanguard.Added, Relay: vanguard.Relay{Identity: netdoc.Digest{99}, Layer: 4}},
	} {
		if err := again.Replay([]vanguard.Event{e}); !errors.Is(err, vanguard.ErrEvent) {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

// "vanguards-lite-enabled".
func TestParams(t *testing.T) {
	if vanguard.ParamsOf(netdoc.Params{"vanguards-lite-enabled": 0}).Enabled {
		t.Error("enabled")
	}
	if p := vanguard.ParamsOf(netdoc.Params{"vanguards-enabled": 2}); !p.Full || p.FullForServices {
		t.Errorf("%+v", p)
	}
	if p := vanguard.ParamsOf(netdoc.Params{"vanguards-hs-service": 2}); p.Full || !p.FullForServices {
		t.Errorf("%+v", p)
	}
	if p := vanguard.ParamsOf(netdoc.Params{"guard-hs-l2-number": 100}); p.Second.Number != 19 {
		t.Errorf("%d relays", p.Second.Number)
	}
	s := newSet(1)
	s.Update(network(30), vanguard.Params{Second: vanguard.Bounds{Number: 1, Shortest: time.Hour, Longest: time.Minute}}, false, start)
	if got := s.Next(); !got.Equal(start.Add(time.Hour)) {
		t.Errorf("bounds the wrong way round: until %v", got)
	}
}

// Full vanguards: MIN_SECOND_GUARD_LIFETIME is 30 days and MAX_SECOND_GUARD_LIFETIME 60,
// "using a uniform distribution"; the third layer's are 1 and 48 hours, "using the max(X,X)
// distribution" (vanguards-spec, Parameterization), whose mean is two thirds of the way from
// the shortest to the longest.
func TestThirdLayer(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{})
	day := 24 * time.Hour
	if p.SecondOfFull != (vanguard.Bounds{Number: 4, Shortest: 30 * day, Longest: 60 * day}) {
		t.Errorf("%+v", p.SecondOfFull)
	}
	if set := vanguard.ParamsOf(netdoc.Params{"guard-hs-l2-lifetime-max": 7 * 24 * 60 * 60}); set.SecondOfFull != set.Second || set.Second.Longest != 7*day {
		t.Errorf("a consensus that says it is not heard: %+v", set)
	}
	sums, counts := map[vanguard.Layer]float64{}, map[vanguard.Layer]float64{}
	for seed := range uint64(200) {
		s := newSet(seed)
		s.Update(network(50), p, true, start)
		if len(s.Of(vanguard.Second)) != 4 || len(s.Of(vanguard.Third)) != 8 {
			t.Fatalf("%+v", s.Relays())
		}
		for _, r := range s.Relays() {
			b := p.SecondOfFull
			if r.Layer == vanguard.Third {
				b = p.Third
			}
			part := float64(r.Expires.Sub(start)-b.Shortest) / float64(b.Longest-b.Shortest)
			if part < -0.001 || part >= 1 {
				t.Fatalf("layer %d: a life of %v", r.Layer, r.Expires.Sub(start))
			}
			sums[r.Layer] += part
			counts[r.Layer]++
		}
	}
	for l, sum := range sums {
		want := map[vanguard.Layer]float64{vanguard.Second: 0.5, vanguard.Third: 0.667}[l]
		if mean := sum / counts[l]; mean < want-0.04 || mean > want+0.04 {
			t.Errorf("layer %d: lives of %.2f of the range on average, want %.2f", l, mean, want)
		}
	}
}

// The layers change on their own; without full the third is not filled up, and what was kept
// before there was a third is the second.
func TestLayersApart(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{})
	s := newSet(1)
	s.Load([]vanguard.Relay{{Identity: netdoc.Digest{1}, Expires: start.Add(time.Hour)}})
	s.Update(network(50), p, true, start)
	if second := s.Of(vanguard.Second); len(second) != 4 || second[0] != (netdoc.Digest{1}) {
		t.Fatalf("%v", second)
	}
	second, later := s.Of(vanguard.Second), start.Add(30*time.Minute)
	gone := s.Of(vanguard.Third)[0]
	if slices.Contains(second, gone) {
		t.Fatal("another seed is needed")
	}
	s.Take()
	s.Update(network(50, gone), p, true, later)
	if events := s.Take(); len(events) != 2 || events[0].Layer != vanguard.Third || events[0].Reason != vanguard.Unfit || events[1].Layer != vanguard.Third || !slices.Equal(s.Of(vanguard.Second), second) {
		t.Fatalf("%+v", events)
	}
	last := start.Add(48 * time.Hour)
	s.Update(network(50), p, false, last)
	if len(s.Of(vanguard.Second)) != 4 || len(s.Of(vanguard.Third)) != 0 {
		t.Errorf("%+v", s.Relays())
	}
}

// named is a network whose user names relays for the layers.
func named(relays int, second, third []byte) *path.Index {
	ids := func(of []byte) (s nodeset.Set) {
		for _, b := range of {
			s.Relays = append(s.Relays, netdoc.Digest{b})
		}
		return s
	}
	return networkBy(&nodeset.Rules{Second: ids(second), Third: ids(third)}, relays)
}

func numbers(ids []netdoc.Digest) []byte {
	out := []byte{}
	for _, id := range ids {
		out = append(out, id[0])
	}
	slices.Sort(out)
	return out
}

func upTo(n int) (out []byte) {
	for i := range n {
		out = append(out, byte(i+1))
	}
	return out
}

// HSLayer2Nodes and HSLayer3Nodes (C tor's manual): the layers are of these relays. As in C
// tor up to twenty are all used; of more a layer is drawn, as it is of the network.
func TestNamedLayers(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{})
	for _, tt := range []struct {
		name          string
		second, third []byte
		full          bool
		second2       int // of how many relays the layer is
		third2        int
	}{
		{"nothing", nil, nil, true, 4, 8},
		{"one relay", []byte{7}, nil, false, 1, 0},
		{"more than chive would draw", upTo(9), upTo(12), true, 9, 12},
		{"as many as are all used", upTo(20), nil, false, 20, 0},
		{"more", upTo(21), upTo(40), true, 4, 8},
		{"the third alone", nil, []byte{1, 2}, true, 4, 2},
		{"relays that are not there", []byte{200, 3}, []byte{201}, true, 1, 0},
	} {
		s := newSet(3)
		s.Update(named(50, tt.second, tt.third), p, tt.full, start)
		second, third := numbers(s.Of(vanguard.Second)), numbers(s.Of(vanguard.Third))
		if len(second) != tt.second2 || len(third) != tt.third2 {
			t.Errorf("%s: layers of %d and %d relays", tt.name, len(second), len(third))
		}
		for layer, of := range map[string][2][]byte{"second": {second, tt.second}, "third": {third, tt.third}} {
			for _, b := range of[0] {
				if of[1] != nil && !slices.Contains(of[1], b) {
					t.Errorf("%s: relay %d is in the %s layer", tt.name, b, layer)
				}
			}
		}
	}
}

// Relays that the user names need not be Stable; those that were drawn before are there
// again when he names none, until their time is over.
func TestNamingComesAndGoes(t *testing.T) {
	p := vanguard.ParamsOf(netdoc.Params{})
	s := newSet(4)
	s.Update(network(50), p, false, start)
	drawn := numbers(s.Of(vanguard.Second))
	two := []byte{51, 52}
	s.Update(networkBy(&nodeset.Rules{Second: nodeset.Set{Relays: []netdoc.Digest{{51}, {52}}}}, 60, netdoc.Digest{51}), p, false, start.Add(time.Hour))
	if got := numbers(s.Of(vanguard.Second)); !slices.Equal(got, two) {
		t.Errorf("%v, not those that are named", got)
	}
	s.Update(network(60, netdoc.Digest{51}), p, false, start.Add(2*time.Hour))
	if got := numbers(s.Of(vanguard.Second)); !slices.Equal(got, drawn) {
		t.Errorf("%v, not %v as before", got, drawn)
	}
	s.Update(named(60, two, nil), p, false, start.Add(13*24*time.Hour))
	if got := numbers(s.Of(vanguard.Second)); !slices.Equal(got, two) {
		t.Errorf("%v when their time is over, not those that are named", got)
	}
	again := newSet(5)
	if err := again.Replay(s.Take()); err != nil {
		t.Error(err)
	}
}

// A clock that is set wrong costs no relay of a layer.
func TestWrongClock(t *testing.T) {
	p, s := vanguard.ParamsOf(nil), newSet(1)
	s.Update(networkAt(start.Add(time.Hour), nil, 50), p, true, start)
	before := s.Relays()
	s.Update(networkAt(start.Add(time.Hour), nil, 50), p, true, start.AddDate(10, 0, 0))
	if len(before) == 0 || !slices.Equal(s.Relays(), before) {
		t.Errorf("%d relays, and %d before", len(s.Relays()), len(before))
	}
}
