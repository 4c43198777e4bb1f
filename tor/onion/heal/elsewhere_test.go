package heal

import (
	"testing"
	"time"
)

// Another node publishes: what is wrong with the descriptors is told and left to it; a point
// of this node's is this node's to mend. Who begins or ends to publish is given time.
func TestElsewhere(t *testing.T) {
	w := newWorld(t)
	w.f.Elsewhere = true
	w.look()
	w.run(5 * time.Minute)
	if w.s.Status().Verdict != Up {
		t.Fatalf("%+v", w.s.Status())
	}
	for _, d := range w.f.Directories {
		w.badDir[d] = Directory
	}
	w.run(10 * time.Minute)
	if w.s.Status().Verdict != Broken || len(w.made) > 0 {
		t.Errorf("%+v, made %v", w.s.Status(), w.made)
	}
	clear(w.badDir)
	w.run(10 * time.Minute)
	if w.s.Status().Verdict != Up {
		t.Errorf("%+v", w.s.Status())
	}
	w.badPoint[2] = Point
	w.cures[NewCircuits] = true
	w.run(10 * time.Minute)
	if w.s.Status().Verdict != Up || len(w.made) != 1 || w.made[0] != (Do{Step: NewCircuits, Point: 2}) {
		t.Errorf("%+v, made %v", w.s.Status(), w.made)
	}
	// It takes over, and the other after it.
	for _, elsewhere := range []bool{false, true} {
		w.run(period)
		w.f.Elsewhere, w.f.Published = elsewhere, false
		w.look()
		w.run(startGrace - time.Second)
		w.f.Published = true
		w.look()
		w.run(5 * time.Minute)
		if w.s.Status().Verdict != Up || len(w.made) != 1 {
			t.Errorf("elsewhere %v: %+v, made %v", elsewhere, w.s.Status(), w.made)
		}
	}
}
