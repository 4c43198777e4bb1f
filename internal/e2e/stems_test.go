package e2e

import (
	"fmt"
	"sync"
	"testing"

	"chive/messages"
	"chive/messages/chivev1"
)

// purposeOf is what a circuit is for from an event on: it was launched, or built ahead and
// assigned. 0: the event is another.
func purposeOf(e *chivev1.Envelope) chivev1.Purpose {
	if a := e.GetCircuitAssigned(); a != nil {
		return a.GetPurpose()
	}
	return e.GetCircuitLaunched().GetPurpose()
}

// pathOf is the circuit's path from such an event on.
func pathOf(e *chivev1.Envelope) [][]byte {
	if a := e.GetCircuitAssigned(); a != nil {
		return a.GetPath()
	}
	return e.GetCircuitLaunched().GetPath()
}

// TestOnionStems: circuits that are built ahead, by a client of C tor's service. The shapes,
// and that each is given away once and carried nothing before, is for the invariants to say.
func TestOnionStems(t *testing.T) {
	t.Parallel()
	l := startOnionLab(t)
	c := start(t, l.Network)
	assigned := func(p chivev1.Purpose) int {
		return c.count(func(e *chivev1.Envelope) bool { return e.GetCircuitAssigned().GetPurpose() == p })
	}
	c.fetchOnion(t, "first", l.open, 1000)
	for _, p := range []chivev1.Purpose{chivev1.Purpose_PURPOSE_INTRODUCTION, chivev1.Purpose_PURPOSE_RENDEZVOUS} {
		before := assigned(p)
		for i := 0; assigned(p) == before; i++ {
			if i == 10 {
				t.Fatalf("no %s of ten began with a circuit that was built ahead", messages.PurposeName(p))
			}
			c.fetchOnion(t, fmt.Sprint(p, "-", i), l.open, 1000)
		}
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() { c.fetchOnion(t, fmt.Sprint("at once ", i), l.open, 1000) })
	}
	wg.Wait()
	c.stop()
}
