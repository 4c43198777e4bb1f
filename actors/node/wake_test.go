package node

import (
	"testing"
	"time"

	"chive/tor/guard"
)

// Sleep and a clock that is set are told apart.
func TestClockSet(t *testing.T) {
	const hour, look = time.Hour, 2 * time.Second
	for name, tt := range map[string]struct {
		wall, boot time.Duration // passed
		booted     bool          // there is such a clock
		want       bool
	}{
		"nothing":                   {look, look, true, false},
		"slept":                     {hour, hour, true, false},
		"set forward":               {hour, look, true, true},
		"set back":                  {look - hour, look, true, true},
		"slept, and set":            {2 * hour, hour, true, true},
		"slept, without that clock": {hour, 0, false, false},
		"set back, likewise":        {look - hour, 0, false, true},
	} {
		var w wake
		wall, boot := time.Unix(1_700_000_000, 0), time.Duration(0)
		if tt.booted {
			boot = 100 * hour
		}
		w.set(wall, boot)
		w.see(time.Unix(1, 0), wall, "a")
		if tt.booted {
			boot += tt.boot
		}
		w.set(wall.Add(tt.wall), boot)
		if w.clock != tt.want {
			t.Errorf("%s: %v", name, w.clock)
		}
	}
}

func TestWake(t *testing.T) {
	type step struct {
		mono, wall time.Duration // passed since the step before
		addresses  string
		want       guard.Reason
	}
	const s = time.Second
	for name, steps := range map[string][]step{
		"nothing happens":                    {{2 * s, 2 * s, "a", ""}, {2 * s, 2 * s, "a", ""}},
		"the timer is late":                  {{9 * s, 9 * s, "a", ""}},
		"the machine slept":                  {{2 * s, 3600 * s, "a", guard.Woken}},
		"the clock was set back":             {{2 * s, -3600 * s, "a", guard.Woken}},
		"the process was stopped":            {{60 * s, 60 * s, "a", guard.Woken}},
		"another network":                    {{2 * s, 2 * s, "b", guard.NetChanged}},
		"no network is nothing to try":       {{2 * s, 2 * s, "", ""}, {2 * s, 2 * s, "b", guard.NetChanged}},
		"it comes back with its old address": {{2 * s, 2 * s, "", ""}, {2 * s, 2 * s, "a", guard.NetChanged}},
		"not twice in 5 s, but later": {
			{2 * s, 2 * s, "b", guard.NetChanged}, {2 * s, 2 * s, "c", ""}, {2 * s, 2 * s, "c", ""}, {2 * s, 2 * s, "c", guard.NetChanged},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var w wake
			now, wall := time.Unix(1_800_000_000, 0), time.Unix(1_700_000_000, 0)
			w.see(now, wall, "a")
			for i, x := range steps {
				now, wall = now.Add(x.mono), wall.Add(x.wall)
				if got := w.see(now, wall, x.addresses); got != x.want {
					t.Errorf("step %d: %q, want %q", i, got, x.want)
				}
			}
		})
	}
}
