package hosting

import (
	"testing"
	"time"

	"chive/tor/onion/heal"
)

// A directory is waited for as long as is far over the usual, within bounds, and for the longest
// until the usual is known.
func TestUsual(t *testing.T) {
	for name, tt := range map[string]struct {
		took []time.Duration
		want time.Duration
	}{
		"nothing known": {nil, visitFetch},
		"little known":  {[]time.Duration{1, 1, 1}, visitFetch},
		"quick":         {[]time.Duration{1, 1, 1, 1, 1, 1, 1, 2}, leastFetch},
		"middling":      {[]time.Duration{1, 1, 1, 4 * time.Second, 1, 1, 1, 1}, 16 * time.Second},
		"slow":          {[]time.Duration{1, 1, 1, 9 * time.Second, 1, 1, 1, 1}, visitFetch},
		"slow long ago": {[]time.Duration{9 * time.Second, 1, 1, 1, 1, 1, 1, 1, 1}, leastFetch},
	} {
		var u usual
		for _, d := range tt.took {
			u.add(d)
		}
		if got := u.limit(); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A look at a directory takes a quarter of the turn of a visit that needs four circuits.
func TestGapAfter(t *testing.T) {
	full, look := gapAfter(&visit{probe: heal.Probe{Full: true}}), gapAfter(&visit{})
	if full != visitGap || look != visitGap/4 {
		t.Errorf("%v and %v", full, look)
	}
}
