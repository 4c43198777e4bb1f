package guard_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func relayID(n int) netdoc.Digest { return netdoc.Digest{1, byte(n >> 8), byte(n)} }

// network is one of so many guards, of which some have lost the flag.
func network(guards int, gone func(n int) bool) *path.Index {
	return networkAt(time.Time{}, guards, gone)
}

// networkAt is one whose consensus is valid for three hours from a time on.
func networkAt(from time.Time, guards int, gone func(n int) bool) *path.Index {
	c := &netdoc.Consensus{Params: netdoc.Params{}}
	if !from.IsZero() {
		c.ValidAfter, c.ValidUntil = from, from.Add(3*time.Hour)
	}
	for i := range guards {
		rs := netdoc.RouterStatus{
			Identity: relayID(i), Bandwidth: uint32(i%50 + 1),
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir | netdoc.FlagGuard,
		}
		if gone != nil && gone(i) {
			rs.Flags &^= netdoc.FlagGuard
		}
		c.Relays = append(c.Relays, rs)
	}
	return path.NewIndex(c, func(netdoc.MDDigest) *netdoc.Microdesc { return nil }, path.Options{})
}

func without(ids ...netdoc.Digest) func(int) bool {
	return func(n int) bool { return slices.Contains(ids, relayID(n)) }
}

func newSet(seed uint64) *guard.Set { return guard.New(rand.New(rand.NewPCG(seed, 1))) }

// client is a set with a view of the network, and a clock.
type client struct {
	*guard.Set
	t   *testing.T
	now time.Time
	n   int
}

func newClient(t *testing.T, guards int, params netdoc.Params) *client {
	c := &client{Set: newSet(1), t: t, now: start}
	c.Update(network(guards, nil), params, c.now)
	return c
}

func (c *client) candidates() []netdoc.Digest { return c.Candidates(c.now, false) }

func (c *client) launch(id netdoc.Digest) string {
	c.n++
	name := string(rune('a' + c.n))
	c.Launched(name, id, c.now)
	return name
}

// fail has a circuit through each of these fail at its outgoing connection.
func (c *client) fail(ids ...netdoc.Digest) {
	for _, id := range ids {
		name := c.launch(id)
		c.Failed(id, c.now)
		c.Gone(name)
	}
}

func (c *client) confirm(ids ...netdoc.Digest) {
	for _, id := range ids {
		name := c.launch(id)
		c.Opened(name, c.now)
		c.Gone(name)
	}
}

func ids(list guard.List) (out []netdoc.Digest) {
	for _, g := range list {
		out = append(out, g.Identity)
	}
	return out
}

func TestSampled(t *testing.T) {
	t.Run("4.1: at least MIN_FILTERED_SAMPLE guards", func(t *testing.T) {
		if n := len(newClient(t, 300, nil).List()); n != 20 {
			t.Errorf("%d", n)
		}
	})
	t.Run("4.1: kept when a consensus comes", func(t *testing.T) {
		c := newClient(t, 300, nil)
		before := c.List()
		c.Update(network(300, nil), nil, start.Add(time.Hour))
		if !slices.Equal(before, c.List()) {
			t.Error("changed")
		}
	})
	for _, tt := range []struct {
		name   string
		guards int
		params netdoc.Params
		want   int
	}{
		{"4.1: not more than MAX_SAMPLE_SIZE", 1000, nil, 60},
		{"4.1: not more than MAX_SAMPLE_THRESHOLD of the guards", 200, nil, 40},
		{"4.1: the maximum is never below MIN_FILTERED_SAMPLE", 50, nil, 20},
		{"4.1: no more than there are", 7, nil, 7},
		{"by the consensus's parameters", 1000, netdoc.Params{"guard-max-sample-size": 30, "guard-min-filtered-sample-size": 5}, 30},
		{"by the consensus's threshold", 1000, netdoc.Params{"guard-max-sample-threshold-percent": 1, "guard-min-filtered-sample-size": 5}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.guards, tt.params)
			for range 200 { // everything fails: the sample grows as far as it may
				c.fail(c.candidates()...)
			}
			if n := len(c.List()); n != tt.want {
				t.Errorf("%d guards, want %d", n, tt.want)
			}
		})
	}
	t.Run("4.1: ADDED_ON_DATE is moved to the past", func(t *testing.T) {
		for _, g := range newClient(t, 300, nil).List() {
			if ago := start.Sub(g.Sampled); ago < 0 || ago > 12*24*time.Hour+time.Second {
				t.Errorf("%v ago", ago)
			}
		}
	})
}

func TestUnlisted(t *testing.T) {
	c := newClient(t, 300, nil)
	lost := c.Primaries()[0]
	x := network(300, without(lost))
	c.Update(x, nil, c.now)
	if slices.Contains(c.Primaries(), lost) || slices.Contains(c.candidates(), lost) {
		t.Error("4.2: FILTERED_GUARDS has one that is not listed")
	}
	c.Update(network(300, nil), nil, c.now)
	if !slices.Contains(ids(c.List()), lost) || !c.List()[0].Unlisted.IsZero() {
		t.Error("listed again")
	}
	for day := range 22 {
		c.Update(x, nil, c.now.AddDate(0, 0, day))
		have := slices.Contains(ids(c.List()), lost)
		if day < 16 && !have || day > 20 && have {
			t.Errorf("REMOVE_UNLISTED_GUARDS_AFTER: day %d: sampled %v", day, have)
		}
	}
}

func TestLifetimes(t *testing.T) {
	c := newClient(t, 300, nil)
	first := c.Primaries()[0]
	other := c.Primaries()[2]
	c.confirm(first)
	g := c.List()[0]
	if life := g.Expires.Sub(start); g.Identity != first || life < 48*24*time.Hour-time.Second || life > 60*24*time.Hour {
		t.Errorf("confirmed for %v from its first use", life)
	}
	x := network(300, nil)
	c.Update(x, nil, g.Expires.Add(-time.Hour))
	if !slices.Contains(ids(c.List()), first) {
		t.Error("removed too early")
	}
	c.Update(x, nil, g.Expires.Add(time.Second))
	if slices.Contains(ids(c.List()), first) {
		t.Error("GUARD_CONFIRMED_MIN_LIFETIME: used beyond its life")
	}
	c.Update(x, nil, start.Add(107*24*time.Hour))
	have := slices.Contains(ids(c.List()), other)
	c.Update(x, nil, start.Add(121*24*time.Hour))
	if slices.Contains(ids(c.List()), other) || !have {
		t.Error("GUARD_LIFETIME: not 108 to 120 days")
	}
}

func TestPrimary(t *testing.T) {
	c := newClient(t, 300, nil)
	before := c.Primaries()
	if len(before) != 3 || !slices.Equal(before, ids(c.List())[:3]) {
		t.Fatalf("4.4: N_PRIMARY_GUARDS in sample order: %v", before)
	}
	later := ids(c.List())[7]
	c.confirm(later)
	if want := []netdoc.Digest{before[0], before[1], later}; !slices.Equal(c.Primaries(), want) {
		t.Errorf("4.4: the confirmed and the primary ones before, as sampled: %v, want %v", c.Primaries(), want)
	}
	c.confirm(before[1])
	if want := []netdoc.Digest{before[0], before[1], later}; !slices.Equal(c.Primaries(), want) {
		t.Errorf("4.3: not in the order of sampling: %v, want %v", c.Primaries(), want)
	}
	c.Update(network(300, nil), netdoc.Params{"guard-n-primary-guards": 5}, c.now)
	if len(c.Primaries()) != 5 {
		t.Error("guard-n-primary-guards is not followed")
	}
}

func TestSelecting(t *testing.T) {
	t.Run("4.6: one of the first NUM_USABLE_PRIMARY_GUARDS, at random", func(t *testing.T) {
		for use, want := range map[int32]int{1: 1, 2: 2, 3: 3} {
			for _, directory := range []bool{false, true} {
				c := newClient(t, 300, netdoc.Params{"guard-n-primary-guards-to-use": use, "guard-n-primary-dir-guards-to-use": use})
				seen := map[netdoc.Digest]bool{}
				for range 200 {
					seen[c.Candidates(c.now, directory)[0]] = true
				}
				for _, id := range ids(c.List()) {
					if c.Uses(id) != seen[id] {
						t.Errorf("%d to use: %x may be the first: %v", use, id[:4], c.Uses(id))
					}
				}
				if len(seen) != want {
					t.Errorf("%d to use, directory %v: %d were", use, directory, len(seen))
				}
			}
		}
	})
	t.Run("4.6: primary ones that failed are passed over", func(t *testing.T) {
		c := newClient(t, 300, nil)
		p := c.Primaries()
		c.fail(p[0], p[1])
		if got := c.candidates(); !slices.Equal(got, p[2:]) {
			t.Errorf("%v, want %v", got, p[2:])
		}
		if c.Uses(p[0]) || c.Uses(p[1]) || !c.Uses(p[2]) {
			t.Error("one that failed is used, or the one that works is not")
		}
	})
	t.Run("4.6: then confirmed ones, then in sample order, one circuit through each", func(t *testing.T) {
		c := newClient(t, 300, nil)
		all := ids(c.List())
		c.confirm(all[8], all[5], all[7], all[6])
		order, kept := []netdoc.Digest{all[5], all[6], all[7], all[8], all[0], all[1], all[2]}, c.List()
		c.Set = newSet(2) // after a restart
		c.Load(kept)
		c.Update(network(300, nil), nil, c.now)
		c.fail(c.Primaries()...)
		for i := range 4 {
			got := c.candidates()
			if len(got) != 1 || got[0] != order[3+i] {
				t.Fatalf("circuit %d: %v, want %v", i, got, order[3+i])
			}
			c.launch(got[0])
		}
	})
}

func TestRetrying(t *testing.T) {
	for _, primary := range []bool{true, false} {
		c := newClient(t, 300, nil)
		id := ids(c.List())[10]
		if primary {
			id = c.Primaries()[0]
		}
		for _, tt := range []struct{ failing, primary, other time.Duration }{
			{0, 10 * time.Minute, time.Hour},
			{7 * time.Hour, 90 * time.Minute, 4 * time.Hour},
			{5 * 24 * time.Hour, 4 * time.Hour, 18 * time.Hour},
			{8 * 24 * time.Hour, 9 * time.Hour, 36 * time.Hour},
		} {
			want := tt.other
			if primary {
				want = tt.primary
			}
			c.now = start.Add(tt.failing)
			c.fail(id)
			c.Candidates(c.now.Add(want-time.Second), false)
			if c.Reachability(id) != guard.No {
				t.Errorf("4.5: primary %v, failing for %v: tried before %v", primary, tt.failing, want)
			}
			c.Candidates(c.now.Add(want), false)
			if c.Reachability(id) != guard.Maybe {
				t.Errorf("4.5: primary %v, failing for %v: not tried after %v", primary, tt.failing, want)
			}
		}
	}
	c := newClient(t, 300, nil)
	p := c.Primaries()
	c.fail(p...)
	c.Take()
	c.RetryNow(guard.Asked)
	if got := c.candidates(); len(got) != 3 {
		t.Errorf("after RetryNow: %v", got)
	}
	for _, e := range c.Take() {
		if e.Kind != guard.Retriable || e.Reason != guard.Asked {
			t.Errorf("%+v", e)
		}
	}
}

// exhausted is a client of 5 guards that all failed.
func exhausted(t *testing.T) *client {
	c := newClient(t, 5, nil)
	for {
		got := c.candidates()
		if len(got) == 0 {
			return c
		}
		c.fail(got...)
	}
}

func TestAllGuardsDown(t *testing.T) {
	c := exhausted(t)
	c.now = c.now.Add(guard.RoundEvery - time.Second)
	if got := c.candidates(); len(got) > 0 {
		t.Errorf("%v, before the round", got)
	}
	c.now = c.now.Add(time.Second)
	got := c.candidates()
	slices.SortFunc(got, func(a, b netdoc.Digest) int { return slices.Compare(a[:], b[:]) })
	want := c.Primaries()
	slices.SortFunc(want, func(a, b netdoc.Digest) int { return slices.Compare(a[:], b[:]) })
	if !slices.Equal(got, want) {
		t.Errorf("the primaries come again: %v, want %v", got, want)
	}
	c.fail(got...)
	c.now = c.now.Add(time.Minute)
	for range 5 {
		c.fail(c.candidates()...)
	}
	for _, id := range ids(c.List()) {
		if c.Reachability(id) != guard.No {
			t.Error("a guard was not tried again within a minute")
		}
	}
	// One that works shows that it was the network.
	c.now = c.now.Add(guard.RoundEvery)
	last := c.Primaries()[2]
	c.candidates()
	c.fail(c.Primaries()[:2]...)
	c.confirm(last)
	for _, id := range c.Primaries() {
		if c.Reachability(id) == guard.No {
			t.Error("4.8: a primary guard is blamed for the network")
		}
	}
}

func TestWaiting(t *testing.T) {
	// down is a client whose confirmed primaries failed, after it was on the network.
	down := func(t *testing.T) (*client, []netdoc.Digest) {
		c := newClient(t, 300, nil)
		all := ids(c.List())
		c.confirm(all[:5]...)
		c.fail(all[:3]...)
		return c, all
	}
	settle := func(c *client, complete, tooLong int) {
		c.t.Helper()
		if a, b := c.Settle(c.now); len(a) != complete || len(b) != tooLong {
			c.t.Errorf("complete %v, closed %v", a, b)
		}
	}
	t.Run("4.8: a circuit through a primary guard is complete when it opens", func(t *testing.T) {
		c := newClient(t, 300, nil)
		if c.Opened(c.launch(c.Primaries()[0]), c.now) != guard.Complete {
			t.Error("it is not")
		}
	})
	t.Run("4.9: one through another when all primary guards are down", func(t *testing.T) {
		c, all := down(t)
		if c.Opened(c.launch(all[3]), c.now) != guard.Waiting {
			t.Error("it does not wait")
		}
		settle(c, 1, 0)
		settle(c, 0, 0)
	})
	t.Run("4.9: not while a primary guard may work", func(t *testing.T) {
		c, all := down(t)
		c.Opened(c.launch(all[3]), c.now)
		c.RetryNow(guard.Asked)
		settle(c, 0, 0)
		c.fail(all[:2]...)
		settle(c, 0, 0)
		c.fail(all[2])
		settle(c, 1, 0)
	})
	t.Run("4.9: blocked by a better one for NONPRIMARY_GUARD_CONNECT_TIMEOUT", func(t *testing.T) {
		c, all := down(t)
		c.launch(all[3])
		c.Opened(c.launch(all[4]), c.now)
		c.now = c.now.Add(15 * time.Second)
		settle(c, 0, 0)
		c.now = c.now.Add(time.Second)
		settle(c, 1, 0)
	})
	t.Run("4.9: blocked by a better one that is complete", func(t *testing.T) {
		c, all := down(t)
		better := c.launch(all[3])
		c.Opened(better, c.now)
		settle(c, 1, 0)
		c.Opened(c.launch(all[4]), c.now)
		settle(c, 0, 0)
		c.Gone(better)
		settle(c, 1, 0)
	})
	t.Run("4.9: times out after NONPRIMARY_GUARD_IDLE_TIMEOUT", func(t *testing.T) {
		c, all := down(t)
		c.Opened(c.launch(all[3]), c.now)
		c.RetryNow(guard.Asked)
		c.now = c.now.Add(10*time.Minute + time.Second)
		settle(c, 0, 1)
		settle(c, 0, 0)
	})
	t.Run("4.8: after INTERNET_LIKELY_DOWN_INTERVAL the primary guards come first again", func(t *testing.T) {
		for since, want := range map[time.Duration]guard.Reachability{9 * time.Minute: guard.No, 11 * time.Minute: guard.Maybe} {
			c, all := down(t)
			c.now = c.now.Add(since)
			c.fail(all[:3]...)
			c.Opened(c.launch(all[3]), c.now)
			if got := c.Reachability(all[0]); got != want {
				t.Errorf("%v after the last success: %v, want %v", since, got, want)
			}
		}
	})
}

func TestFilters(t *testing.T) {
	upTo := func(n int) func(*path.Relay) bool {
		return func(r *path.Relay) bool { return int(r.Identity[1])<<8|int(r.Identity[2]) < n }
	}
	c := newClient(t, 1000, nil)
	before := c.List()
	use := func(allows func(*path.Relay) bool, name string) {
		c.SetFilter(allows, name)
		c.Update(network(1000, nil), nil, c.now)
	}
	use(upTo(500), "")
	if c.Selection() != guard.Default {
		t.Error("half is no meaningful restriction")
	}
	for _, id := range c.Primaries() {
		if id[1] >= 2 {
			t.Errorf("4.2: filtered out, and primary: %v", id)
		}
	}
	use(upTo(195), "") // between 95 and 105 % of the threshold
	if c.Selection() != guard.Default {
		t.Error("it changed near the threshold")
	}
	use(upTo(150), "")
	if c.Selection() != guard.Restricted || len(c.Primaries()) != 3 || c.Extreme() {
		t.Errorf("4.1.1: %q, %v", c.Selection(), c.Primaries())
	}
	for _, g := range c.List() {
		if g.Selection == guard.Restricted && g.Identity[2] >= 150 {
			t.Error("a restricted sample is of what the filter allows")
		}
	}
	if !slices.Equal(before, c.List()[:len(before)]) {
		t.Error("the default sample reflects the filter")
	}
	use(upTo(205), "")
	if c.Selection() != guard.Restricted {
		t.Error("it changed near the threshold")
	}
	use(upTo(5), "")
	if !c.Extreme() || len(c.Primaries()) != 3 {
		t.Errorf("EXTREME_RESTRICTION: %v, %v", c.Extreme(), c.Primaries())
	}
	use(upTo(500), "bridges")
	if c.Selection() != "bridges" {
		t.Error("not the selection that was named")
	}
	use(nil, "")
	if c.Selection() != guard.Default || !slices.Equal(c.Primaries(), ids(before)[:3]) {
		t.Error("not the default ones again")
	}
}

func TestStateOnDisk(t *testing.T) {
	c := newClient(t, 300, nil)
	c.confirm(c.Primaries()[1])
	b, err := json.Marshal(map[string]any{"version": 1, "guards": c.List()})
	if err != nil {
		t.Fatal(err)
	}
	list, err := guard.ParseList(b)
	if err != nil || !slices.Equal(list, c.List()) {
		t.Errorf("%v\n%v\n%v", err, list, c.List())
	}
	for name, bad := range map[string]string{
		"empty": "", "other version": strings.Replace(string(b), `"version":1`, `"version":2`, 1),
		"a zero": `{"version":1,"guards":[{}]}`, "huge": strings.Repeat(" ", 2<<20),
	} {
		if _, err := guard.ParseList([]byte(bad)); !errors.Is(err, guard.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(`{"version":1,"guards":[{"identity":"AQAAAAAAAAAAAAAAAAAAAAAAAAA=","sampled":"2026-01-01T00:00:00Z","expires":"2026-02-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := guard.ParseList(b)
		if err == nil {
			newSet(11).Load(list)
		}
		if err != nil && list != nil || len(list) > len(b) {
			t.Fatal("a list of a bad state")
		}
	})
}

// A clock that is set wrong costs no guard: its consensus is not live by that clock.
func TestWrongClock(t *testing.T) {
	c := newClient(t, 300, nil)
	c.confirm(c.candidates()[0])
	before, primaries := c.List(), c.Primaries()
	for _, wrong := range []time.Time{start.AddDate(10, 0, 0), start.AddDate(-10, 0, 0), start.AddDate(0, 6, 0)} {
		c.Update(networkAt(start, 300, without(primaries[1])), nil, wrong)
		c.Configure(guard.Settings{}, wrong)
		for _, id := range primaries {
			c.Failed(id, wrong)
		}
		c.Candidates(wrong, false)
		if !slices.Equal(c.List(), before) {
			t.Fatalf("at %v: %d guards of %d are left, or others", wrong, len(c.List()), len(before))
		}
	}
	c.Update(networkAt(start, 300, without(primaries[1])), nil, start.Add(time.Hour))
	if slices.Equal(c.List(), before) {
		t.Error("a live consensus changes nothing")
	}
}
