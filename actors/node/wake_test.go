package node

import (
	"testing"
	"time"

	"chive/tor/guard"
)

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
