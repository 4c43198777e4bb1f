package heal

import (
	"testing"
	"time"
)

// A probe that is never heard of again is not waited for for ever.
func TestLostProbe(t *testing.T) {
	w := newWorld(t)
	w.run(2 * time.Second)
	w.flying = nil
	w.run(probeLimit + time.Minute)
	w.verdict(Up)
}

// Who asks is answered in the midst of anything, and after a probe that was lost.
func TestAsk(t *testing.T) {
	w := newWorld(t)
	w.up()
	for p := range uint64(100) {
		w.badPoint[p] = Introduce
	}
	asked := func() (n int) {
		for _, p := range w.probes {
			if p.Why == Asked {
				n++
			}
		}
		return n
	}
	for i := range 20 {
		w.run(7 * time.Second)
		w.s.Ask(w.now)
		w.obey()
		w.run(2 * w.takes)
		if asked() != i+1 {
			t.Fatalf("%d questions, %d probes for them", i+1, asked())
		}
	}
	w.run(time.Minute)
	n := asked()
	w.s.Ask(w.now)
	w.obey()
	w.run(w.takes) // another may come first
	if w.flying != nil && w.flying.Why == Asked {
		w.flying = nil
		w.s.Lost(w.now)
		w.obey()
	}
	w.run(10 * time.Second)
	if asked() <= n {
		t.Error("a question is lost with its probe")
	}
}
