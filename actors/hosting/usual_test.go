package hosting

import (
	"testing"
	"time"

	"chive/messages/chivev1"
	"chive/tor/onion/heal"
)

// Two of six directories are gone without a word, while every other thing works: each is
// noticed in its turn, with no more waiting than is far over the usual, and nothing is done to the
// service, for clients find it by the others.
func TestSilentDirectories(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(6 * time.Minute)
		seen, points := map[[32]byte]bool{}, map[byte]bool{}
		for _, p := range w.probes() {
			seen[[32]byte(p.GetDirectory())] = true
			if relay := p.GetRelay(); relay != nil {
				points[relay[0]] = true
			}
		}
		w.set(func() {
			w.silent = map[[32]byte]bool{}
			for d := range seen {
				if len(w.silent) < 2 && !points[d[0]] {
					w.silent[d] = true
				}
			}
		})
		w.events()
		began := time.Now()
		w.run(3 * time.Minute)
		missed := map[[32]byte]bool{}
		for _, p := range w.probes() {
			if p.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
				continue
			}
			missed[[32]byte(p.GetDirectory())] = true
			if p.GetStage() != chivev1.ProbeStage_PROBE_STAGE_DIRECTORY || p.GetTook().AsDuration() > leastFetch+time.Second {
				t.Errorf("missed as %v", p)
			}
		}
		first := time.Time{}
		w.set(func() {
			for _, e := range w.log {
				if p := e.GetHostingProbed(); first.IsZero() && p != nil && p.GetOutcome() != chivev1.Outcome_OUTCOME_OK {
					first = e.GetTime().AsTime()
				}
			}
		})
		t.Logf("%d of %d are silent, the first was missed after %v", len(missed), len(seen), first.Sub(began))
		if len(seen) != 6 || len(missed) != len(w.silent) {
			t.Errorf("%d directories, %d missed", len(seen), len(missed))
		}
		if got := w.events(); got != "" {
			t.Errorf("told %q", got)
		}
	})
}

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

// A network that has become slow for good is waited for again, and one that is not is not for
// directories that are away.
func TestUsualNoMore(t *testing.T) {
	var u usual
	for range usualOf {
		u.add(time.Second)
	}
	for range 5 * usualOf {
		u.miss()
		u.miss()
		u.add(time.Second)
	}
	if got := u.limit(); got != leastFetch {
		t.Errorf("%v with two of three away", got)
	}
	for range usualOf {
		u.miss()
	}
	if got := u.limit(); got != visitFetch {
		t.Errorf("%v when none answered in time", got)
	}
}

// A network in which every directory takes longer than was far over the usual is got used to.
func TestSlowDirectories(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(6 * time.Minute)
		w.set(func() { w.slow = leastFetch + 3*time.Second })
		w.run(15 * time.Minute)
		w.events()
		w.set(func() { w.log = nil })
		w.run(5 * time.Minute)
		ok := 0
		for _, p := range w.probes() {
			if p.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
				ok++
			}
		}
		if ok == 0 {
			t.Error("no visit succeeds any more")
		}
	})
}

// A look at a directory takes a quarter of the turn of a visit that needs four circuits.
func TestGapAfter(t *testing.T) {
	full, look := gapAfter(&visit{probe: heal.Probe{Full: true}}), gapAfter(&visit{})
	if full != visitGap || look != visitGap/4 {
		t.Errorf("%v and %v", full, look)
	}
}
