package hosting

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Services of one node do not all begin at one moment, nor publish at one when a period turns:
// each takes some twenty circuits, and the node's own clients, its guards and the directories
// are there for others too. Among so many each has a place, drawn anew for each boot, and a
// moment in it. What begins alone begins at once; so does what is added later, and what is
// repaired. The supervising actor says when, the machines do it (host.BeginAfter, TurnAfter).

const (
	// apart is what is between two services.
	apart = 250 * time.Millisecond
	// longestWait is that of the last, however many they are.
	longestWait = 2 * time.Minute
)

// span is when one of several services takes its turn: between these two.
type span struct{ from, to time.Duration }

// spanOf is that of the place, counted from 0, among so many.
func spanOf(place, of int) span {
	width := min(time.Duration(of-1)*apart, longestWait) / time.Duration(max(of, 1))
	return span{width * time.Duration(place), width * time.Duration(place+1)}
}

// lots are drawn by services that begin together.
type lots struct {
	rng    *rand.Rand
	places []int // that are left
	of     int
}

func (h *hosting) lots(services int) *lots {
	if services < 2 {
		return &lots{}
	}
	rng := h.o.Rand()
	return &lots{rng: rng, places: rng.Perm(services), of: services}
}

// draw is after what time the next of them begins.
func (l *lots) draw() time.Duration {
	if len(l.places) == 0 {
		return 0
	}
	s := spanOf(l.places[0], l.of)
	l.places = l.places[1:]
	return s.from + time.Duration(l.rng.Int64N(int64(s.to-s.from)+1))
}

// seat gives each service its place for when a period turns. They are others whenever
// services come or go.
func (h *hosting) seat() {
	if h.seated == len(h.entries) && !slices.ContainsFunc(h.entries, func(e *entry) bool { return e.turn.Load() == nil }) {
		return
	}
	h.seated = len(h.entries)
	if h.seated == 1 {
		h.entries[0].turn.Store(&span{})
		return
	}
	for i, place := range h.o.Rand().Perm(len(h.entries)) {
		s := spanOf(place, len(h.entries))
		h.entries[i].turn.Store(&s)
	}
}

// beginInTurn has a new machine wait for the service's turn. One that was begun anew has
// waited.
func (a *serviceActor) beginInTurn() {
	a.machine.BeginAfter(time.Duration(a.e.first.Swap(0)))
}

// turnInTurn tells the machine when it is to take the turn of a period.
func (a *serviceActor) turnInTurn() {
	if s := a.e.turn.Load(); s != nil {
		a.machine.TurnAfter(s.from, s.to)
	}
}
