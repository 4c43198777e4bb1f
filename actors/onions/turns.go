package onions

import (
	"context"
	"slices"
	"sync"
)

// Turns has one search for a proof of work at a time: it is all the CPU's that it gets. The
// least effort is first, and of equal efforts who asked first. How long a search takes is
// exponentially distributed, and so has no memory: one that gave its turn away after a while
// has lost nothing, and needs as long again as any of its effort, on average.
type Turns struct {
	mu      sync.Mutex
	taken   bool
	asked   uint64 // ever
	waiting []*turn
}

type turn struct {
	effort uint32
	number uint64 // the order of who asked
	now    chan struct{}
}

// turn is the place of a search, for all of its turns.
func (t *Turns) turn(effort uint32) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	return &turn{effort, t.asked, make(chan struct{}, 1)}
}

// take waits for a turn. false: the context has ended, and there is none.
func (t *Turns) take(ctx context.Context, w *turn) bool {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return true
	}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.now:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.mu.Unlock()
		return false
	}
	t.mu.Unlock()
	<-w.now // it was given just now
	t.give()
	return false
}

// give ends a turn.
func (t *Turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken = len(t.waiting) > 0; !t.taken {
		return
	}
	first := 0
	for i, w := range t.waiting {
		if f := t.waiting[first]; w.effort < f.effort || w.effort == f.effort && w.number < f.number {
			first = i
		}
	}
	next := t.waiting[first]
	t.waiting = slices.Delete(t.waiting, first, first+1)
	next.now <- struct{}{}
}
