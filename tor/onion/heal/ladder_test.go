package heal

import (
	"math/rand/v2"
	"testing"
	"time"
)

// longestStill is how long no step is made at most, and how often each is.
func (w *world) longestStill(d time.Duration) (still time.Duration, made [len(budgets)]int) {
	last, seen := w.now, len(w.made)
	for end := w.now.Add(d); w.now.Before(end); {
		w.run(5 * time.Second)
		if still = max(still, w.now.Sub(last)); len(w.made) > seen {
			last = w.now
		}
		for ; seen < len(w.made); seen++ {
			made[w.made[seen].Step]++
		}
	}
	return still, made
}

// What nothing helped against is not left alone because the last step has no budget for an hour:
// the others have their turn again, at growing intervals.
func TestLadderGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks func(*world)
		most   time.Duration
	}{
		"directories":         {func(w *world) { w.mean(6, Directory) }, 20 * time.Minute},
		"introduction points": {func(w *world) { w.allPoints(Introduce) }, 12 * time.Minute},
		"relays":              {func(w *world) { w.allPoints(Point); w.f.Down = w.f.Points; w.look() }, 20 * time.Minute},
		"rendezvous points":   {func(w *world) { w.notMet = true }, 12 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(2) {
				w := newWorld(t)
				w.s.rand = rand.New(rand.NewPCG(seed, 17))
				w.up()
				tt.breaks(w)
				still, made := w.longestStill(4 * time.Hour)
				if still > tt.most {
					t.Errorf("seed %d: no step for %v, made %v", seed, still, made)
				}
				for s := NewCircuits; s <= Rebuild; s++ {
					if made[s] > 5*budgets[s] {
						t.Errorf("seed %d: %v is made %d times in four hours", seed, s, made[s])
					}
				}
			}
		})
	}
}

// What a mild step would mend after the others were of no use is mended before the hour is over.
func TestMendedLate(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks func(*world)
		cured  Step
	}{
		"directories that start a second time": {func(w *world) {
			for _, d := range w.f.Directories {
				w.badDir[d] = Directory
			}
		}, Republish},
		"introduction points": {func(w *world) { w.allPoints(Introduce) }, NewCircuits},
		"new ones":            {func(w *world) { w.allPoints(Meeting) }, Rotate},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.up()
			tt.breaks(w)
			w.run(10 * time.Minute)
			w.verdict(Broken)
			w.cures[tt.cured] = true
			w.run(25 * time.Minute)
			w.verdict(Up)
		})
	}
}

// An introduction point that would be replaced, were there a budget for it, has its circuit made
// anew meanwhile.
func TestPointWithoutBudget(t *testing.T) {
	w := newWorld(t)
	w.up()
	for range budgets[Rotate] {
		w.s.budget.spend(Rotate, w.now)
	}
	w.badPoint[2] = Introduce
	w.run(2 * time.Minute)
	w.verdict(Impaired)
	w.cures[NewCircuits] = true
	w.run(10 * time.Minute)
	w.verdict(Up)
}
