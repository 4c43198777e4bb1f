package hosting

import (
	"strings"
	"testing"
	"time"

	"chive/actors/circuit"
	"chive/config"
	torcircuit "chive/tor/circuit"
)

// A flood of which not all can even be read is no introduction point's fault: who floods a
// service must not have it give up those it has, and the operator hears of it.
func TestFloodBeyondReading(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(40 * time.Second)
		w.events()
		w.set(func() { w.flooded = true })
		w.run(10 * time.Minute)
		if got := w.events(); got != "broken overload" {
			t.Errorf("told %q", got)
		}
		if s := w.status(); s.Refused == 0 || s.Introductions < s.Refused || s.Counts().Rejected["crowded"] != s.Refused {
			t.Errorf("refused %d of %d, counted %v", s.Refused, s.Introductions, s.Counts().Rejected)
		}
		w.set(func() { w.flooded = false })
		w.run(3 * time.Minute)
		if got := w.events(); got != "verified, healed" {
			t.Errorf("told %q", got)
		}
	})
}

// Introduction points that were asked to hold back what comes too fast say no to the host's own
// visit as well when they do: that is what they are there for. One that says no though little
// came is of no use.
func TestFloodThatIsHeldBack(t *testing.T) {
	limits := func(s *config.OnionService) { s.IntroDoS, s.IntroDoSRate, s.IntroDoSBurst = true, 25, 200 }
	for rate, want := range map[int]string{25: "broken overload", 1: "broken point-unreachable, new-circuits, republish, rotate"} {
		inWorld(t, 1, verifyPeriod, limits, func(w *world) {
			w.run(40 * time.Second)
			w.events()
			for second := range 300 {
				if second == 20 { // sooner, a flood is not known for one
					w.set(func() { w.limited = true })
				}
				w.set(func() {
					for _, p := range w.intros {
						for range rate {
							p.counter.Add(1)
							w.system.Root.Send(p.open.Owner, &circuit.Heard{Token: p.open.Token, What: torcircuit.Introduce2, Data: []byte("garbage")})
						}
					}
				})
				w.run(time.Second)
			}
			if got := w.events(); got != want && (rate == 25 || !strings.HasPrefix(got, want)) {
				t.Errorf("%d a second: told %q", rate, got)
			}
			w.set(func() { w.limited = false })
			w.run(10 * time.Minute)
			if got := w.events(); !strings.HasSuffix(got, "verified, healed") {
				t.Errorf("%d a second: told %q in the end", rate, got)
			}
		})
	}
}
