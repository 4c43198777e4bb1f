package heal

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// shortly has so much of what is tried fail on its way to the relay.
func (w *world) shortly(share float64, rng *rand.Rand) {
	w.fails = func(r *Result) bool {
		switch x := rng.Float64(); {
		case x < share/2:
			r.Stage, r.Answer, r.Tried.Point = Directory, false, 0
		case x < share:
			r.Stage, r.Answer = Point, false
		default:
			return false
		}
		r.OK, r.Short = false, true
		return true
	}
}

// A vanguard that is away ends circuits on their way: no introduction point is blamed for
// that, be its own circuit lost for the same reason, and nothing is done.
func TestShort(t *testing.T) {
	doubts := 0
	for seed := range uint64(20) {
		w := newWorld(t)
		w.up()
		w.shortly(0.44, rand.New(rand.NewPCG(seed, 7))) // two circuits, each by one of four
		for i := range 60 {
			w.f.Down = nil
			if i%2 == 0 {
				w.f.Down = []uint64{uint64(i%3) + 1}
			}
			w.look()
			w.run(time.Minute)
		}
		for _, line := range w.story {
			if line == "doubted connections" {
				doubts++
			} else if line != "verified" {
				t.Errorf("seed %d: told %q", seed, line)
			}
		}
		if len(w.made) > 0 {
			t.Errorf("seed %d: made %v", seed, w.made)
		}
	}
	t.Logf("%d doubts in 20 hours", doubts)
	if doubts > 60 {
		t.Errorf("%d doubts in 20 hours", doubts)
	}
}

// When all end so nothing can be said of the service, and directories are not given up.
func TestAllShort(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.shortly(1, rand.New(rand.NewPCG(1, 7)))
	w.run(20 * time.Minute)
	w.expect("doubted connections")
	w.verdict(Unverified)
	if len(w.made) > 0 || len(w.s.away) > 0 {
		t.Errorf("made %v, away %v", w.made, w.s.away)
	}
	if n := len(w.probes); n > 120 {
		t.Errorf("%d probes in 20 minutes", n)
	}
	w.fails = nil
	w.run(2 * time.Minute)
	w.expect("verified")
}

// In the midst of trouble it changes nothing of what was found.
func TestShortInTrouble(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.cures[Rotate] = true
	for p := range uint64(100) {
		w.badPoint[p] = Meeting
	}
	w.run(time.Minute)
	w.shortly(0.44, rand.New(rand.NewPCG(3, 7)))
	w.run(20 * time.Minute)
	w.verdict(Up)
	for _, line := range w.story {
		if strings.HasPrefix(line, "found") && line != "found point-unreachable at meeting" {
			t.Errorf("told %q", line)
		}
	}
	if last := w.made[len(w.made)-1]; last.Step != Rotate {
		t.Errorf("made %v", w.made)
	}
}

// A relay that says that it knows of no circuit is there: it is given another circuit before
// it is given up.
func TestAnswersWithoutCircuit(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.cures[NewCircuits] = true
	w.badPoint[2], w.f.Down = Introduce, []uint64{2}
	w.look()
	w.run(5 * time.Minute)
	w.expect("found point-unreachable at introduce point 2", "healing new-circuits 2", "verified", "healed of point-unreachable after 1")
}
