package heal

import (
	"slices"
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

// What another node was just told to list is not missed.
func TestElsewhereIsGivenTime(t *testing.T) {
	for name, c := range map[string]struct {
		listed bool // in the end
		want   []string
	}{
		"it lists them": {true, []string{"verified"}},
		"it does not":   {false, []string{"verified", "found not-stored at directory"}},
	} {
		w := newWorld(t)
		w.f.Elsewhere = true
		w.look()
		w.run(5 * time.Minute)
		w.f.Points, w.f.Published, w.f.Settling = []uint64{1, 2, 4}, false, true
		w.look()
		w.run(2 * period) // a visit is due meanwhile
		w.f.Published, w.f.Settling = c.listed, false
		w.look()
		w.run(2 * period)
		if !slices.Equal(w.story, c.want) {
			t.Errorf("%s: %q", name, w.story)
		}
	}
}

// An introduction point that no descriptor lists, as those of a node that is drained, does not
// keep the judge busy: a visit that another node's leads to the service says that no client is
// sent there, and ends what was wrong with it.
func TestUnlistedPoint(t *testing.T) {
	w := newWorld(t)
	w.f.Elsewhere = true
	w.look()
	w.run(5 * time.Minute)
	w.badPoint[2] = Meeting
	for w.s.Status().Verdict != Impaired {
		w.run(time.Second)
	}
	w.unlisted, w.made = true, nil // the node is drained
	w.run(time.Minute)
	if v := w.s.Status().Verdict; v != Up || len(w.made) > 0 {
		t.Errorf("it stays %v, made %v", v, w.made)
	}
	for name, down := range map[string][]uint64{"none": nil, "one": w.f.Points[1:2], "all": w.f.Points} {
		w.f.Down, w.probes = down, nil
		w.look()
		w.run(10 * period)
		if n := len(w.probes); n > 10*4/3+2+len(down) || n < 5 || w.s.Status().Verdict != Up || len(w.made) > 0 {
			t.Errorf("%s is down: %d visits in ten periods, %v, made %v", name, n, w.s.Status().Verdict, w.made)
		}
	}
	w.unlisted, w.f.Down = false, nil // it takes part again, and mends its points
	w.look()
	w.cures[NewCircuits] = true
	w.run(10 * time.Minute)
	if v := w.s.Status().Verdict; v != Up || len(w.badPoint) > 0 {
		t.Errorf("%v, %v", v, w.badPoint)
	}
}
