package guard_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// Proposal 310: a guard that was used only because those before it were blocked for a time comes
// after them again when they work.
func TestBlockedOnce(t *testing.T) {
	c := newClient(t, 300, nil)
	p := c.Primaries()
	c.Connected(p[0], c.now) // there is a network
	c.fail(p...)
	fourth := c.candidates()[0]
	name := c.launch(fourth)
	if c.Opened(name, c.now) != guard.Waiting {
		t.Fatal("it does not wait for a better one")
	}
	if done, _ := c.Settle(c.now); !slices.Equal(done, []string{name}) {
		t.Fatalf("%v are complete", done)
	}
	c.Gone(name)
	if got := c.candidates(); !slices.Equal(got, []netdoc.Digest{fourth}) {
		t.Errorf("while they are blocked %v are used, want %v", got, fourth)
	}
	c.RetryNow(guard.Asked)
	if got, want := c.Primaries(), []netdoc.Digest{p[0], p[1], fourth}; !slices.Equal(got, want) || c.Uses(fourth) {
		t.Errorf("when they may work: primary %v, want %v; the fourth is used: %v", got, want, c.Uses(fourth))
	}
	c.confirm(p[2], p[1], p[0])
	if got := c.Primaries(); !slices.Equal(got, p) || c.Uses(fourth) {
		t.Errorf("when they work: primary %v, want %v; the fourth is used: %v", got, p, c.Uses(fourth))
	}
	kept := c.List()
	c.Set = newSet(2) // after a restart
	c.Load(kept)
	c.Update(network(300, nil), nil, c.now)
	if got := c.Primaries(); !slices.Equal(got, p) {
		t.Errorf("after a restart: %v, want %v", got, p)
	}
}

// A circuit waits for one through a confirmed guard that was sampled before, also if that was
// confirmed after.
func TestBetterGuards(t *testing.T) {
	for better, waits := range map[int]bool{5: true, 7: false} {
		c := newClient(t, 300, nil)
		all := ids(c.List())
		c.confirm(all[0], all[1], all[2], all[7], all[6], all[5])
		c.fail(all[:3]...)
		c.launch(all[better]) // and it is not open yet
		name := c.launch(all[6])
		c.Opened(name, c.now)
		if done, _ := c.Settle(c.now); slices.Contains(done, name) == waits {
			t.Errorf("that through guard 6 waits for that through guard %d: %v", better, !waits)
		}
	}
}

// withMicrodescs is a network of guards of which some have no microdescriptor here.
func withMicrodescs(guards int, missing ...netdoc.Digest) *path.Index {
	c := &netdoc.Consensus{Params: netdoc.Params{}}
	for i := range guards {
		c.Relays = append(c.Relays, netdoc.RouterStatus{
			Identity: relayID(i), Bandwidth: 1, MD: netdoc.MDDigest(relayMD(i)),
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir | netdoc.FlagGuard,
		})
	}
	return path.NewIndex(c, func(d netdoc.MDDigest) *netdoc.Microdesc {
		id := netdoc.Digest(d[:20])
		if slices.Contains(missing, id) {
			return nil
		}
		return &netdoc.Microdesc{NtorKey: [32]byte{1, id[1], id[2]}, Ed25519: netdoc.Ed25519ID{1, id[1], id[2]}}
	}, path.Options{})
}

func relayMD(n int) (out [32]byte) {
	id := relayID(n)
	copy(out[:], id[:])
	return out
}

// guard-spec §4.12: nothing is built while the microdescriptor of a guard in use is missing: who
// withholds it would choose among the guards. One of a guard that is not in use, or is down, does
// not count; nor does any for directory requests.
func TestMissingMicrodescriptors(t *testing.T) {
	c := newClient(t, 300, nil)
	c.Update(withMicrodescs(300), nil, c.now)
	p := c.Primaries()
	seen := func(directory bool) map[netdoc.Digest]bool {
		out := map[netdoc.Digest]bool{}
		for range 200 {
			out[c.Candidates(c.now, directory)[0]] = true
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		missing []netdoc.Digest
		down    []netdoc.Digest
		want    int // guards that come first
		waits   bool
	}{
		{"none is missing", nil, nil, 2, false},
		{"the first one's", p[:1], nil, 1, true},
		{"the second one's", p[1:2], nil, 1, true},
		{"both", p[:2], nil, 2, true},
		{"of one that is not in use", p[2:], nil, 2, false},
		{"of one that is down", p[:1], p[:1], 2, false},
		{"of one that is in use when another is down", p[2:], p[:1], 1, true},
	} {
		c.RetryNow(guard.Asked)
		c.Update(withMicrodescs(300, tt.missing...), nil, c.now)
		for _, id := range tt.down {
			c.Failed(id, c.now)
		}
		got := seen(false)
		waits := slices.ContainsFunc(tt.missing, func(id netdoc.Digest) bool { return got[id] })
		if len(got) != tt.want || waits != tt.waits {
			t.Errorf("%s: %d guards come first, want %d; it waits: %v", tt.name, len(got), tt.want, waits)
		}
		if n := len(seen(true)); n != 2 {
			t.Errorf("%s: %d directories come first", tt.name, n)
		}
	}
}

// The lifetimes that the consensus says now count, from the dates, for guards that are there.
func TestLifetimesThatChange(t *testing.T) {
	x := network(300, nil)
	for _, tt := range []struct {
		name      string
		confirmed bool
		params    netdoc.Params
		days      int
		stays     bool
	}{
		{"sampled, as it was", false, nil, 121, false},
		{"sampled, raised", false, netdoc.Params{"guard-lifetime-days": 200}, 180, true},
		{"sampled, raised, over", false, netdoc.Params{"guard-lifetime-days": 200}, 201, false},
		{"sampled, lowered", false, netdoc.Params{"guard-lifetime-days": 30}, 31, false},
		{"confirmed, as it was", true, nil, 61, false},
		{"confirmed, raised", true, netdoc.Params{"guard-confirmed-min-lifetime-days": 120}, 100, true},
		{"confirmed, raised, over", true, netdoc.Params{"guard-confirmed-min-lifetime-days": 120}, 121, false},
		{"confirmed, lowered", true, netdoc.Params{"guard-confirmed-min-lifetime-days": 20}, 21, false},
		{"confirmed, the other one is raised", true, netdoc.Params{"guard-lifetime-days": 200}, 61, false},
	} {
		c := newClient(t, 300, nil)
		id := c.Primaries()[0]
		if tt.confirmed {
			c.confirm(id)
		}
		c.Update(x, tt.params, c.now.Add(time.Duration(tt.days)*day))
		if got := slices.Contains(ids(c.List()), id); got != tt.stays {
			t.Errorf("%s: there after %d days: %v", tt.name, tt.days, got)
		}
	}
}

// A list that an earlier chive wrote has the confirmed guards first, by their confirmation. They
// stay the first ones, and what is confirmed after does not come before them.
func TestListOfAnEarlierChive(t *testing.T) {
	c := newClient(t, 300, nil)
	list := c.List()
	list = slices.Concat(list[9:10], list[4:5], list[:4], list[5:9], list[10:])
	list[0].Confirmed, list[1].Confirmed = start, start.Add(-time.Hour)
	first, second, third, fourth := list[0].Identity, list[1].Identity, list[2].Identity, list[3].Identity
	c.Set = newSet(2)
	c.Load(list)
	c.Update(network(300, nil), nil, c.now)
	for range 2 {
		if got, want := c.Primaries(), []netdoc.Digest{first, second, third}; !slices.Equal(got, want) {
			t.Errorf("primary: %v, want %v", got, want)
		}
		c.confirm(fourth, third)
	}
}
