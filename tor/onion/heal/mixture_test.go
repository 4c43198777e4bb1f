package heal

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever comes together, and however it changes: the service is told to be broken only if
// something is, is up when all is well, and no introduction point is given up for directories.
func TestAnyMixture(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t)
		w.s.rand = rand.New(rand.NewPCG(seed, 21))
		rng := rand.New(rand.NewPCG(seed, 22))
		w.cures[Republish] = seed%2 == 0
		w.up()
		points := seed%3 == 0 // they fail, too
		for range 12 {
			clear(w.badDir)
			clear(w.unreached)
			clear(w.badPoint)
			gives := 0
			for _, d := range w.f.Directories {
				switch rng.IntN(4) {
				case 0:
					w.badDir[d] = Directory
				case 1:
					w.badDir[d] = Descriptor
				case 2:
					w.unreached[d] = true
				default:
					gives++
				}
			}
			if points && rng.IntN(2) == 0 {
				w.badPoint[w.f.Points[rng.IntN(3)]] = []Stage{Point, Introduce, Meeting}[rng.IntN(3)]
			}
			w.f.Down = nil
			if points && rng.IntN(3) == 0 {
				w.f.Down = slices.Clone(w.f.Points[:1])
			}
			w.look()
			w.story, w.made = nil, nil
			w.pass(time.Duration(1+rng.IntN(40))*time.Minute, rng.IntN(2) == 0, func() {})
			for _, line := range w.story {
				if strings.HasPrefix(line, "found not-stored") && !strings.Contains(line, " directory ") == (gives > 0) && !w.cures[Republish] {
					t.Errorf("seed %d: %d directories give it, told %q", seed, gives, w.story)
				}
			}
			if i := slices.IndexFunc(w.made, func(d Do) bool { return d.Step != Republish }); i >= 0 && !points {
				t.Errorf("seed %d: made %v", seed, w.made)
			}
		}
		clear(w.badDir)
		clear(w.unreached)
		clear(w.badPoint)
		w.f.Down = nil
		w.look()
		w.run(30 * time.Minute)
		if w.verdict(Up); t.Failed() {
			t.Fatalf("seed %d: %+v", seed, w.s)
		}
	}
}

// When the directories that are there lost it and one that was away comes back with it, that is
// enough, be there a budget for steps or not.
func TestBackWithIt(t *testing.T) {
	w := newWorld(t)
	w.up()
	for n := byte(1); n <= 5; n++ {
		w.badDir[dir(n)] = Directory
	}
	w.unreached[dir(6)] = true
	w.run(10 * time.Minute)
	w.verdict(Broken)
	for range budgets[Republish] {
		w.s.budget.spend(Republish, w.now)
	}
	clear(w.unreached)
	w.run(15 * time.Minute)
	if v := w.s.Status().Verdict; v != Impaired && v != Up {
		t.Errorf("it is %v, told %q", v, w.story)
	}
}

// Trouble that turns out to be another has that one's steps.
func TestTurns(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.mean(6, Directory)
	w.run(5 * time.Minute)
	w.verdict(Broken)
	// No directory takes it, for there is no introduction point to list.
	w.made, w.f.Published, w.f.Down = nil, false, slices.Clone(w.f.Points)
	w.look()
	w.run(10 * time.Minute)
	if !slices.Contains(w.made, Do{Step: Rotate}) {
		t.Errorf("made %v", w.made)
	}
	// They are there, and directories give what they take; but the points forget it.
	w.fails, w.f.Published = nil, true
	w.allPoints(Introduce)
	w.look()
	w.made, w.story = nil, nil
	w.cures[Rebuild] = true
	w.run(25 * time.Minute)
	w.verdict(Up)
	if !slices.Contains(w.made, Do{Step: Rebuild}) {
		t.Errorf("made %v, told %q", w.made, w.story)
	}
}
