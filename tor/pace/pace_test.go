package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

const limit = 32

var start = time.Unix(1_000_000, 0)

func TestAllIsAllowedUntilItIsTooMuch(t *testing.T) {
	var w Window
	if !w.Room(limit-1, limit) || w.Room(limit, limit) {
		t.Fatal(w.Size(limit))
	}
	w.Built(100*time.Millisecond, 1, limit, start)
	if w.Size(limit) != limit {
		t.Fatal(w.Size(limit))
	}
	for i := range 100 {
		w.Built(2*time.Second, limit, limit, start.Add(time.Duration(2*i)*time.Second))
	}
	if w.Size(limit) != Least {
		t.Fatalf("%d at once though each takes twenty times as long", w.Size(limit))
	}
}

// One burst of late circuits is one sign, not fifty.
func TestShrinksOnceInTheTimeOfACircuit(t *testing.T) {
	var w Window
	w.Built(time.Second, 1, limit, start)
	for range 50 {
		w.Late(limit, time.Second, start)
	}
	if got := w.Size(limit); got != limit*7/10 {
		t.Fatal(got)
	}
}

func TestGrowsOnlyWhenItIsUsed(t *testing.T) {
	var w Window
	for i := range 20 {
		w.Late(limit, time.Second, start.Add(time.Duration(i)*time.Second))
	}
	for range 1000 {
		w.Built(100*time.Millisecond, 1, limit, start)
	}
	if got := w.Size(limit); got != Least {
		t.Fatalf("grew to %d without need", got)
	}
	for range 1000 {
		w.Built(100*time.Millisecond, w.Size(limit), limit, start)
	}
	if got := w.Size(limit); got != limit {
		t.Fatal(got)
	}
}

// A guard that builds so many a second, one after the other: the window finds a
// size at which circuits take a few times as long as one alone, and the guard is
// never idle.
func TestFindsTheGuardsPace(t *testing.T) {
	const each, far = 10 * time.Millisecond, 40 * time.Millisecond
	var w Window
	now, free := start, start
	var inFlight []time.Time // when they end
	var took []time.Duration
	built := 0
	for range 5000 {
		for w.Room(len(inFlight), limit) {
			begin := now.Add(far / 2)
			if free.After(begin) {
				begin = free
			}
			free = begin.Add(each)
			inFlight, took = append(inFlight, free.Add(far/2)), append(took, free.Add(far/2).Sub(now))
		}
		now = inFlight[0]
		w.Built(took[0], len(inFlight), limit, now)
		inFlight, took = inFlight[1:], took[1:]
		built++
	}
	// What a circuit waits for those before it is no more than it took.
	if q := w.Queue(w.Size(limit)); q < far/2 || q > time.Duration(limit)*each+far {
		t.Errorf("a queue of %v before %d circuits", q, w.Size(limit))
	}
	if rate := float64(built) / now.Sub(start).Seconds(); rate < 95 {
		t.Errorf("%.0f circuits a second, the guard could build 100", rate)
	}
}

// Whatever happens, at least Least and at most the limit are allowed.
func TestBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w Window
	now := start
	for range 100_000 {
		most := 1 + rng.IntN(64)
		now = now.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
		if rng.IntN(4) == 0 {
			w.Late(most, time.Second, now)
		} else {
			w.Built(time.Duration(rng.IntN(5000)-10)*time.Millisecond, rng.IntN(64), most, now)
		}
		if got := w.Size(most); got < min(Least, most) || got > most {
			t.Fatal(got, most)
		}
	}
}
