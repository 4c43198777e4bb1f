package heal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// mean has the first n directories take every descriptor and give none, or an old one, for good.
func (w *world) mean(n byte, at Stage) {
	w.fails = func(r *Result) bool {
		d := r.Tried.Directory[0]
		if d == 0 || d > n {
			return false
		}
		r.Stage, r.Tried.Point = at, 0
		return true
	}
}

// pass lets time go by, with a client each ten seconds or with none, and looks every second.
func (w *world) pass(d time.Duration, clients bool, look func()) {
	w.t.Helper()
	for i := range int(d / time.Second) {
		if clients && i%10 == 0 {
			w.s.Met(w.now)
			w.obey()
		}
		w.run(time.Second)
		look()
	}
}

// everyMean is each number of mean directories that leaves one which is not, with and without
// clients.
func everyMean(t *testing.T, test func(t *testing.T, w *world, n byte, clients bool)) {
	for n := range byte(6) {
		for _, clients := range []bool{false, true} {
			for _, at := range []Stage{Directory, Descriptor} {
				t.Run(fmt.Sprintf("%d at %v, clients %v", n, at, clients), func(t *testing.T) {
					for seed := range uint64(3) {
						w := newWorld(t)
						w.s.rand = rand.New(rand.NewPCG(seed, 9))
						w.up()
						w.mean(n, at)
						test(t, w, n, clients)
					}
				})
			}
		}
	}
}

// Directories that take what they do not give cost a service that works no introduction point,
// and it is not told to be broken while one gives it: clients ask the next.
func TestMeanDirectories(t *testing.T) {
	everyMean(t, func(t *testing.T, w *world, n byte, clients bool) {
		w.pass(3*time.Hour, clients, func() {
			if v := w.s.Status().Verdict; v != Up && v != Impaired {
				t.Fatalf("it is %v", v)
			}
		})
		w.verdict(Up)
		for _, m := range w.made {
			if m.Step != Republish {
				t.Fatalf("made %v", w.made)
			}
		}
		if most := 2 * int(n); len(w.made) > min(most, 4) || n > 0 && len(w.made) == 0 {
			t.Errorf("made %v in 3 hours", w.made)
		}
		for _, line := range w.story {
			if strings.HasPrefix(line, "found") && !strings.Contains(line, "directory ") {
				t.Errorf("told %q", line)
			}
		}
	})
}

// Whatever breaks beside them is found and repaired all the same.
func TestTroubleAmongMeanDirectories(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks func(*world)
		cured  Step
		most   time.Duration
	}{
		"introduction points forgot it": {func(w *world) { w.allPoints(Introduce) }, NewCircuits, 3 * time.Minute},
		"introduction points are deaf":  {func(w *world) { w.allPoints(Meeting) }, Rotate, 5 * time.Minute},
		"one introduction point":        {func(w *world) { w.badPoint[2] = Introduce }, NewCircuits, 6 * time.Minute},
		"the others lost it": {
			func(w *world) {
				for _, d := range w.f.Directories {
					w.badDir[d] = Directory
				}
			}, Republish, 3 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			everyMean(t, func(t *testing.T, w *world, _ byte, clients bool) {
				w.pass(20*time.Minute, clients, func() {})
				w.cured(tt.cured)
				tt.breaks(w)
				began, found := w.now, false
				for w.now.Sub(began) < tt.most && len(w.badPoint)+len(w.badDir) > 0 {
					w.run(time.Second)
				}
				if len(w.badPoint)+len(w.badDir) > 0 {
					t.Fatalf("not repaired after %v: told %q, made %v", tt.most, w.story, w.made)
				}
				w.run(2 * time.Minute)
				w.verdict(Up)
				for _, line := range w.story {
					found = found || strings.HasPrefix(line, "healed")
				}
				if !found {
					t.Errorf("told %q", w.story)
				}
			})
		})
	}
}

func (w *world) cured(by Step) {
	clear(w.cures)
	w.cures[by] = true
	w.story, w.made = nil, nil
}

func (w *world) allPoints(at Stage) {
	for p := range uint64(1000) {
		w.badPoint[p] = at
	}
}

// None of them gives it: then nobody reaches the service, which is told, and it is given to them
// again for as long as it takes, with nothing taken from clients who had it before.
func TestAllDirectoriesMean(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.mean(6, Directory)
	w.run(time.Minute)
	w.verdict(Broken)
	w.run(6 * time.Hour)
	w.verdict(Broken)
	for _, m := range w.made {
		if m.Step != Republish {
			t.Fatalf("made %v", w.made)
		}
	}
	if n := len(w.made); n < 12 || n > 42 {
		t.Errorf("%d steps in 6 hours", n)
	}
	w.fails = nil
	w.run(3 * time.Minute)
	w.verdict(Up)
}

// One that was let be and gives it again is asked like the others, and has it repaired when it is
// lost once more.
func TestExcuseEnds(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.mean(1, Directory)
	w.run(10 * time.Minute)
	w.expect("found not-stored at directory directory 1", "healing republish 0", "healing republish 0", "verified")
	w.fails, w.made = nil, nil
	w.run(75 * time.Minute)
	w.expect()
	w.cures[Republish] = true
	w.badDir[dir(1)] = Directory
	w.run(5 * time.Minute)
	w.expect("found not-stored at directory directory 1", "healing republish 0", "verified", "healed of not-stored after 1")
}
