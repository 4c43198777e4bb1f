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

// A flood that was taken for bad introduction points as it began is one from when it is known; and
// what is still wrong when it is over is seen to.
func TestFloodIsKnownLate(t *testing.T) {
	w := newWorld(t)
	w.up()
	crowded := false
	w.fails = func(r *Result) bool {
		if !r.Full {
			return false
		}
		r.Stage, r.Answer, r.Crowded = Introduce, true, crowded
		return true
	}
	w.run(3 * time.Minute)
	if w.s.trouble == nil || w.s.trouble.wrong == Overload || len(w.made) == 0 {
		t.Fatalf("%+v, made %v", w.s.trouble, w.made)
	}
	crowded = true
	w.run(5 * time.Minute)
	if s := w.s.Status(); s.Verdict != Broken || s.Cause != Overload {
		t.Fatalf("%+v", s)
	}
	made := len(w.made)
	if w.run(30 * time.Minute); len(w.made) != made {
		t.Errorf("done to a service that is flooded: %v", w.made[made:])
	}
	crowded = false
	if w.run(30 * time.Minute); len(w.made) == made {
		t.Error("nothing is done once the flood is over")
	}
	w.fails = nil
	w.run(10 * time.Minute)
	w.verdict(Up)
}
