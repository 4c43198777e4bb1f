package heal

import (
	"slices"
	"testing"
	"time"
)

// A machine wakes, all introduction points get circuits anew, and a descriptor is on its way that
// was made meanwhile. That is no trouble, and no introduction point is given up for it.
func TestWokenWhilePublishing(t *testing.T) {
	w := newWorld(t)
	w.run(time.Minute)
	w.s.Note(Slept, w.now)
	w.s.Shaken(Woken, w.now)
	w.f.Published, w.f.Settling, w.f.Down = false, true, slices.Clone(w.f.Points)
	w.look()
	w.run(2500 * time.Millisecond)
	w.f.Down = nil
	w.look()
	w.run(10 * time.Second)
	w.f.Published, w.f.Settling = true, false
	w.look()
	w.run(time.Minute)
	if len(w.made) != 0 || len(w.story) != 1 {
		t.Errorf("did %v, told %q", w.made, w.story)
	}
}

// Introduction points that stay without circuits, and a descriptor that no directory takes, are
// trouble as soon as they might be over.
func TestWokenAndLost(t *testing.T) {
	for name, tt := range map[string]struct {
		down bool
		want Step
	}{"introduction points": {true, Rotate}, "directories": {false, Republish}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.run(time.Minute)
			w.s.Shaken(Woken, w.now)
			w.f.Published = false
			if tt.down {
				w.f.Down = slices.Clone(w.f.Points)
			}
			w.f.Settling = !tt.down
			w.look()
			w.run(20 * time.Second)
			if !tt.down && len(w.made) != 0 {
				t.Errorf("did %v while it is published", w.made)
			}
			w.f.Settling = false
			w.look()
			w.run(10 * time.Second)
			if len(w.made) == 0 || w.made[0].Step != tt.want {
				t.Errorf("did %v, told %q", w.made, w.story)
			}
		})
	}
}
