// Package pace says how many circuits may be built at once through one guard.
//
// A guard answers one handshake after the other: beyond some number, more at once
// make each slower and none sooner, until they time out. The window grows by one
// for every window of circuits that were built quickly (additive increase) and
// shrinks by a part when they take much longer than the quickest (multiplicative
// decrease), at most once in the time that a circuit takes.
//
// It says when a circuit is launched, never through which guard: the guard was
// chosen before it is asked, and what has no room waits for this guard.
package pace

import "time"

const (
	// Least is how many circuits may always be built at once: a guard can make us
	// slow, but not stop us, which it could do by being silent anyway.
	Least = 4
	// quick and slow are multiples of the shortest time seen; between them the
	// window stays.
	quick, slow = 5, 10
	// grace is added to both, so that jitter on a near guard counts for nothing.
	grace  = 50 * time.Millisecond
	onSlow = 0.9
	onLate = 0.7
	// memory is of how many circuits the time between two is the average.
	memory = 8
	// drift lets the shortest time rise, a thousandth a circuit, when the network
	// becomes slower for good.
	drift = 1.001
)

// Window is one guard's. The zero value lets through whatever the limit allows.
type Window struct {
	size     float64 // 0: not known yet: the limit
	shortest time.Duration
	shrunk   time.Time
	opened   time.Time
	apart    time.Duration // between two circuits that opened while others were being built
}

// Room says whether one more circuit may be built beside so many, where limit is
// the most that the user wants.
func (w *Window) Room(building, limit int) bool { return building < w.Size(limit) }

// Size is how many may be built at once.
func (w *Window) Size(limit int) int {
	if w.size == 0 {
		return limit
	}
	return min(max(int(w.size), Least), limit)
}

// Built tells that a circuit was built, beside so many others when it was.
func (w *Window) Built(took time.Duration, building, limit int, now time.Time) {
	if took <= 0 {
		return
	}
	w.know(limit)
	if gap := now.Sub(w.opened); building > 1 && gap < took { // both were being built at once
		if w.apart == 0 {
			w.apart = gap
		}
		w.apart += (gap - w.apart) / memory
	}
	w.opened = now
	if w.shortest = time.Duration(float64(w.shortest) * drift); w.shortest == 0 || took < w.shortest {
		w.shortest = took
	}
	switch {
	case took > slow*w.shortest+grace:
		w.shrink(onSlow, took, now)
	case took <= quick*w.shortest+grace && 2*building >= int(w.size): // it is used, so it may grow
		w.size = min(w.size+1/w.size, float64(limit))
	}
}

// Late tells that a circuit was not built in its time.
func (w *Window) Late(limit int, inTime time.Duration, now time.Time) {
	w.know(limit)
	w.shrink(onLate, inTime, now)
}

// Queue is how long a circuit waits for so many others before the guard comes to
// it. That time is of our own making: no circuit is late for it.
func (w *Window) Queue(building int) time.Duration { return time.Duration(building) * w.apart }

func (w *Window) know(limit int) {
	if w.size == 0 || w.size > float64(limit) {
		w.size = float64(limit)
	}
}

func (w *Window) shrink(by float64, pause time.Duration, now time.Time) {
	if !w.shrunk.IsZero() && now.Sub(w.shrunk) < pause {
		return
	}
	w.size, w.shrunk = max(w.size*by, Least), now
}
