package guard_test

import (
	"slices"
	"testing"
	"time"

	"chive/tor/guard"
	"chive/tor/netdoc"
)

const day = 24 * time.Hour

// used counts the guards that circuits, or directory requests, go through.
func (c *client) used(directory bool) int {
	seen := map[netdoc.Digest]bool{}
	for range 200 {
		if out := c.Candidates(c.now, directory); len(out) > 0 {
			seen[out[0]] = true
		}
	}
	return len(seen)
}

// What the user sets counts instead of the consensus, at once, and 0 is the consensus's.
func TestSettingsOfNumbers(t *testing.T) {
	c := newClient(t, 100, netdoc.Params{"guard-n-primary-guards": 3, "guard-n-primary-guards-to-use": 2, "guard-n-primary-dir-guards-to-use": 3})
	for _, tt := range []struct {
		settings                  guard.Settings
		primary, use, directories int
	}{
		{guard.Settings{}, 3, 2, 3},
		{guard.Settings{Use: 1}, 3, 1, 3},
		{guard.Settings{Primary: 6, Use: 4, UseDirectory: 5}, 6, 4, 5},
		{guard.Settings{Use: 7}, 3, 3, 3}, // no more than there are primary ones
		{guard.Settings{Primary: 1}, 1, 1, 1},
		{guard.Settings{Primary: 1000}, 10, 2, 3},
		{guard.Settings{}, 3, 2, 3},
	} {
		c.Configure(tt.settings, c.now)
		if p, u, d := len(c.Primaries()), c.used(false), c.used(true); p != tt.primary || u != tt.use || d != tt.directories {
			t.Errorf("%+v: %d primary guards, %d in use, %d for directories", tt.settings, p, u, d)
		}
	}
}

// With one guard in use there are others behind it, always the same: a conflux set has one for
// each of its circuits.
func TestOneGuardAndThoseBehind(t *testing.T) {
	c := newClient(t, 100, nil)
	c.Configure(guard.Settings{Use: 1}, c.now)
	for range 50 {
		if got := c.candidates(); !slices.Equal(got, c.Primaries()) {
			t.Fatalf("%v, want %v", got, c.Primaries())
		}
	}
}

// A guard that is confirmed stays primary when more are wanted, and when fewer are.
func TestSettingsKeepTheFirstGuard(t *testing.T) {
	c := newClient(t, 100, nil)
	first := c.Primaries()[0]
	c.Launched("a", first, c.now)
	c.Opened("a", c.now)
	for _, n := range []int{6, 1, 3} {
		c.Configure(guard.Settings{Primary: n}, c.now)
		if p := c.Primaries(); len(p) != n || p[0] != first {
			t.Errorf("%d primary guards: %v first", n, p[0])
		}
	}
}

// GuardLifetime counts for sampled and confirmed guards, for those that are there too.
func TestSettingsOfLifetime(t *testing.T) {
	consensus := netdoc.Params{"guard-lifetime-days": 120, "guard-confirmed-min-lifetime-days": 60}
	confirmed := func(settings guard.Settings, after time.Duration, then guard.Settings) bool {
		c := newClient(t, 100, consensus)
		c.Configure(settings, c.now)
		first := c.Primaries()[0]
		c.Launched("a", first, c.now)
		c.Opened("a", c.now)
		c.now = c.now.Add(after)
		c.Configure(then, c.now)
		for _, g := range c.List() {
			if g.Identity == first {
				return true
			}
		}
		return false
	}
	none := guard.Settings{}
	for _, tt := range []struct {
		name   string
		before guard.Settings
		days   int
		then   guard.Settings
		stays  bool
	}{
		{"as the consensus says", none, 47, none, true},
		{"as the consensus says, over", none, 61, none, false},
		{"shorter, for one that is there", none, 11, guard.Settings{Life: 10 * day}, false},
		{"shorter from the start", guard.Settings{Life: 10 * day}, 8, guard.Settings{Life: 10 * day}, true},
		{"shorter from the start, over", guard.Settings{Life: 10 * day}, 11, guard.Settings{Life: 10 * day}, false},
		{"longer, for one that is there", none, 80, guard.Settings{Life: 100 * day}, true},
		{"longer from the start", guard.Settings{Life: 200 * day}, 170, guard.Settings{Life: 200 * day}, true},
		{"longer from the start, over", guard.Settings{Life: 200 * day}, 201, guard.Settings{Life: 200 * day}, false},
		{"less than a day is none", guard.Settings{Life: time.Hour}, 47, guard.Settings{Life: time.Hour}, true},
	} {
		if got := confirmed(tt.before, time.Duration(tt.days)*day, tt.then); got != tt.stays {
			t.Errorf("%s: it stays is %v", tt.name, got)
		}
	}
}
