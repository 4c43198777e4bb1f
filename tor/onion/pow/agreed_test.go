package pow

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Hosts that share a key offer the same seeds at the same time, and accept each other's,
// be their clocks some minutes apart when the seed changes.
func TestAgreedSeeds(t *testing.T) {
	key := SeedKey{1}
	a, b := NewAgreedGate(key, start), NewAgreedGate(key, start.Add(-time.Second))
	solver := NewSolver(memory(t))
	if other := NewAgreedGate(SeedKey{2}, start); other.Params(0).Seed == a.Params(0).Seed || other.NextRotation().Equal(a.NextRotation()) {
		t.Error("another key gives the same")
	}
	if s := fmt.Sprintf("%v %x", key, key); s != "[redacted] [redacted]" {
		t.Error(s)
	}
	for range 3 {
		if a.Params(0) != b.Params(0) {
			t.Fatalf("%v, %v", a.Params(0), b.Params(0))
		}
		end := a.NextRotation()
		before := solved(t, solver, a.Params(0).Seed, 1)
		if rotated, err := a.Rotate(end.Add(-time.Second)); rotated || err != nil {
			t.Fatalf("rotated %v, %v", rotated, err)
		}
		// a is of the next turn, b is not.
		if rotated, err := a.Rotate(end); !rotated || err != nil || !a.NextRotation().Equal(end.Add(turnLength)) {
			t.Fatalf("rotated %v, %v", rotated, err)
		}
		after := solved(t, solver, a.Params(0).Seed, 2)
		for name, err := range map[string]error{
			"the next seed's, early": b.Verify([32]byte{}, &after), "the last seed's, late": a.Verify([32]byte{}, &before),
			"the present one's": a.Verify([32]byte{}, &after),
		} {
			if err != nil {
				t.Errorf("a proof that is %s: %v", name, err)
			}
		}
		if err := b.Verify([32]byte{}, &after); !errors.Is(err, ErrReplay) {
			t.Errorf("once more: %v", err)
		}
		_, _ = b.Rotate(end) // an agreed seed cannot fail
		if err := b.Verify([32]byte{}, &after); !errors.Is(err, ErrReplay) {
			t.Errorf("once more, when its turn came: %v", err)
		}
	}
	// Who slept for days has nothing of what was.
	first := solved(t, solver, a.Params(0).Seed, 3)
	_, _ = a.Rotate(a.NextRotation().Add(48 * time.Hour))
	if err := a.Verify([32]byte{}, &first); !errors.Is(err, ErrSeed) {
		t.Errorf("a proof of days ago: %v", err)
	}
}
