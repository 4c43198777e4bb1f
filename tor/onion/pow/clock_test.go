package pow

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"
	"unsafe"
)

// setBy is a time whose time of day is later by d than t's, on the same monotonic clock, as
// time.Now gives it when the clock was set. (The layout is that of package time.)
func setBy(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	(*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t)).ext -= int64(d)
	return t
}

// A machine without a clock of its own has it set when the service runs already. Clients take
// no seed that is over by their clocks, so the descriptor must not say the time of day
// that was wrong; and what was drawn lives no longer and no less for it.
func TestClockIsSet(t *testing.T) {
	solver := NewSolver(memory(t))
	for _, by := range []time.Duration{72 * time.Hour, 3 * time.Hour, -3 * time.Hour} {
		begun := time.Now()
		g, err := NewGate(rand.Reader, begun)
		if err != nil {
			t.Fatal(err)
		}
		before, end := g.Params(0), g.NextRotation()
		if renewed, err := g.Rotate(begun.Add(time.Minute)); renewed || err != nil {
			t.Fatalf("%v: renewed %v, %v", by, renewed, err)
		}
		now := setBy(begun.Add(2*time.Minute), by)
		renewed, err := g.Rotate(now)
		if !renewed || err != nil {
			t.Errorf("%v: the descriptor stays: %v", by, err)
		}
		after := g.Params(0)
		if left := after.Expires.Round(0).Sub(now.Round(0)); left < 100*time.Minute || left > 120*time.Minute {
			t.Errorf("%v: the seed is offered for %v", by, left)
		}
		if after.Seed != before.Seed {
			t.Errorf("%v: another seed", by)
		}
		if renewed, _ := g.Rotate(now.Add(time.Second)); renewed {
			t.Errorf("%v: made anew twice", by)
		}
		proof := solved(t, solver, before.Seed, 1)
		if err := g.Verify([32]byte{}, &proof); err != nil {
			t.Errorf("%v: %v", by, err)
		}
		if _, err := g.Rotate(setBy(end, by)); err != nil || g.Params(0).Seed == before.Seed {
			t.Errorf("%v: it lives on, %v", by, err)
		}
		if err := g.Verify([32]byte{}, &proof); !errors.Is(err, ErrReplay) {
			t.Errorf("%v: a proof counts twice: %v", by, err)
		}
	}
}

// What hosts agree on follows from the time of day: one whose clock was ahead offers what the
// others know as soon as it is right.
func TestAgreedSeedsWhenTheClockIsSetBack(t *testing.T) {
	key := SeedKey{7}
	right := NewAgreedGate(key, start)
	for _, by := range []time.Duration{72 * time.Hour, turnLength, -72 * time.Hour} {
		g := NewAgreedGate(key, start.Add(by))
		if renewed, err := g.Rotate(start); !renewed || err != nil {
			t.Errorf("%v: %v, %v", by, renewed, err)
		}
		if g.Params(0) != right.Params(0) {
			t.Errorf("%v: it offers %v", by, g.Params(0))
		}
		if renewed, _ := g.Rotate(start.Add(time.Second)); renewed {
			t.Errorf("%v: made anew twice", by)
		}
	}
}
