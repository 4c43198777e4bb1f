package heal

import (
	"testing"
	"time"
)

// A service that is flooded is not up for who cannot pay, or is held back: that is told, and
// nothing is done to it, wherever on its way a visit notices.
func TestFloodedIsLetBe(t *testing.T) {
	for _, at := range []Stage{Point, Introduce, Meeting} {
		w := newWorld(t)
		w.up()
		w.fails = func(r *Result) bool {
			if !r.Full {
				return false
			}
			r.Stage, r.Answer, r.Crowded = at, at == Introduce, true
			return true
		}
		w.run(30 * time.Minute)
		w.expect("found overload at " + at.String())
		if len(w.made) != 0 {
			t.Errorf("at %v: %v", at, w.made)
		}
		w.fails = nil
		w.run(5 * time.Minute)
		w.expect("verified", "healed of overload after 0")
	}
}
