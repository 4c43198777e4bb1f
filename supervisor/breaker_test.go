package supervisor_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/supervisor"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The wait never leaves [Min·(1-Jitter), Max], jitter included.
func TestBackoffStaysInItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := time.Duration(rapid.IntRange(1, 1e9).Draw(t, "min"))
		b := supervisor.Backoff{
			Min: low, Max: low * time.Duration(rapid.IntRange(1, 1000).Draw(t, "max")),
			Factor: rapid.Float64Range(1, 10).Draw(t, "factor"), Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		d := b.Delay(rapid.IntRange(1, 10_000).Draw(t, "failures"), rng)
		if d <= 0 && b.Min > 16 || d > b.Max {
			t.Fatalf("%v: %v", b, d)
		}
	})
}

func TestBackoffGrows(t *testing.T) {
	b := supervisor.Backoff{Min: time.Second, Max: 30 * time.Second, Factor: 2}
	rng := rand.New(rand.NewPCG(1, 1))
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if got := b.Delay(i+1, rng); got != want*time.Second {
			t.Errorf("after %d failures %v, want %v", i+1, got, want*time.Second)
		}
	}
}

// closed → open after failures in a row → half-open with one probe → closed or
// open again; a permit of an earlier state changes nothing.
func TestBreakerStates(t *testing.T) {
	b := supervisor.NewBreaker(supervisor.BreakerConfig{Failures: 3, OpenFor: time.Second, Probes: 1})
	var late supervisor.Permit
	for range 3 {
		p, ok := b.Acquire(start)
		if !ok {
			t.Fatal("closed, and refuses")
		}
		if late == (supervisor.Permit{}) {
			late, _ = b.Acquire(start)
		}
		b.Failure(p, start)
	}
	if b.State(start) != supervisor.Open {
		t.Fatalf("after three failures %v", b.State(start))
	}
	if _, ok := b.Acquire(start); ok {
		t.Error("open, and allows")
	}
	b.Success(late, start)
	if b.State(start) != supervisor.Open {
		t.Error("a late result closed it")
	}
	later := start.Add(time.Second)
	probe, ok := b.Acquire(later)
	if !ok {
		t.Fatal("no probe after a second")
	}
	if _, ok := b.Acquire(later); ok {
		t.Error("two probes when told one")
	}
	b.Cancel(probe)
	if probe, ok = b.Acquire(later); !ok {
		t.Fatal("a cancelled probe wedged it")
	}
	b.Success(probe, later)
	if b.State(later) != supervisor.Closed {
		t.Errorf("after a good probe %v", b.State(later))
	}
}

// Failures that are not in a row do not add up.
func TestSuccessResetsTheCount(t *testing.T) {
	b := supervisor.NewBreaker(supervisor.BreakerConfig{Failures: 3, MinRequests: 1_000_000})
	for i := range 1000 {
		p, ok := b.Acquire(start)
		if !ok {
			t.Fatalf("opened after %d", i)
		}
		if i%3 == 2 {
			b.Success(p, start)
		} else {
			b.Failure(p, start)
		}
	}
}
