package heal

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// count is how many probes there were, up to the meeting and others.
func (w *world) count() (full, looks int) {
	for _, p := range w.probes {
		if p.Full {
			full++
		} else {
			looks++
		}
	}
	return full, looks
}

// meets has clients come for so long.
func (w *world) meets(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.s.Met(w.now)
		w.obey()
		w.run(10 * time.Second)
	}
}

// While clients come each directory that is gone is noticed within a minute of being gone, though
// the others work, no client is met any more, and one that is gone answers nothing for ten seconds.
func TestDirectoryGoneWithinAMinute(t *testing.T) {
	for _, gone := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(gone), func(t *testing.T) {
			most := time.Duration(0)
			for seed := range uint64(200) {
				w := newWorld(t)
				w.s.rand = rand.New(rand.NewPCG(seed, 11))
				rng := rand.New(rand.NewPCG(seed, 12))
				w.waits = 10 * time.Second
				w.up()
				w.meets(time.Minute + time.Duration(seed)*time.Second)
				w.run(time.Duration(rng.Int64N(int64(10 * time.Second))))
				for _, i := range rng.Perm(6)[:gone] {
					w.unreached[w.f.Directories[i]] = true
				}
				began := w.now
				w.run(2 * time.Minute)
				first := time.Time{}
				for _, at := range w.failures {
					if at.After(began) {
						first = at
						break
					}
				}
				if first.IsZero() {
					t.Fatalf("seed %d: never noticed", seed)
				}
				most = max(most, first.Sub(began))
				if len(w.made) > 0 {
					t.Errorf("seed %d: made %v", seed, w.made)
				}
			}
			t.Logf("noticed after %v at most", most)
			if most > time.Minute {
				t.Errorf("noticed after %v", most)
			}
		})
	}
}

// What looks cost: six circuits a period where clients come, else one beside the four of the probe
// up to the meeting.
func TestCostOfLooks(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.probes = nil
	w.meets(time.Hour)
	if full, looks := w.count(); full > 0 || looks < 480 || looks > 560 {
		t.Errorf("where clients come: %d probes up to the meeting, %d looks in an hour", full, looks)
	}
	w.run(3 * period)
	w.probes = nil
	w.run(time.Hour)
	if full, looks := w.count(); full < 78 || full > 100 || looks > full*5/4 {
		t.Errorf("where none comes: %d probes up to the meeting, %d looks in an hour", full, looks)
	}
}

// There are no looks where they would be of no use: in trouble, at what another node publishes,
// where probes wait for their turn, and where the period is short.
func TestNoLooks(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world)
		most   int
	}{
		"in trouble": {func(w *world) { w.crowded = true }, 0},
		"elsewhere":  {func(w *world) { w.f.Elsewhere = true; w.look() }, 0},
		"slow":       {func(w *world) { w.takes = 25 * time.Second }, 0},
		"short":      {func(w *world) { w.s.SetPeriod(5*time.Second, w.now) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.up()
			tt.change(w)
			w.run(5 * time.Minute)
			w.probes = nil
			w.run(time.Hour)
			if full, looks := w.count(); looks > tt.most || full < 40 {
				t.Errorf("%d probes up to the meeting, %d looks", full, looks)
			}
		})
	}
}

// A directory that is away for long is asked more and more seldom, and one that has come back
// without the descriptor is found.
func TestAwayForLong(t *testing.T) {
	w := newWorld(t)
	w.up()
	d := dir(3)
	w.unreached[d] = true
	w.run(5 * time.Minute)
	asked := func() (n int) {
		for _, p := range w.probes {
			if p.Target.Directory == d {
				n++
			}
		}
		w.probes = nil
		return n
	}
	if n := asked(); n < 2 || n > 5 {
		t.Errorf("asked %d times in the first minutes", n)
	}
	w.run(30 * time.Minute)
	asked()
	w.run(4 * time.Hour)
	if n := asked(); n < 10 || n > 15 {
		t.Errorf("asked %d times in four hours", n)
	}
	w.expect()
	delete(w.unreached, d)
	w.badDir[d] = Directory
	w.cures[Republish] = true
	w.run(20 * time.Minute)
	w.expect("found not-stored at directory directory 3", "healing republish 0", "verified", "healed of not-stored after 1")
}

// Directories that are known to be away, and still are, are no reason to doubt the network, in
// whatever order they are asked; when all are away that is one.
func TestKnownAway(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(t)
		w.s.rand = rand.New(rand.NewPCG(seed, 13))
		w.up()
		for n := byte(1); n <= 3; n++ {
			w.unreached[dir(n)] = true
		}
		w.run(3 * time.Minute) // perhaps all three in a row: that may be the network
		w.story = nil
		w.run(4 * time.Hour)
		w.expect()
		w.verdict(Up)
		for n := byte(4); n <= 6; n++ {
			w.unreached[dir(n)] = true
		}
		w.run(5 * time.Minute)
		w.expect("doubted connections")
	}
}

// One that is looked into and cannot be reached any more is not asked without end.
func TestAwayInTrouble(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.badDir[dir(3)] = Directory
	for w.s.trouble == nil {
		w.run(time.Second)
	}
	w.unreached[dir(3)] = true
	w.probes = nil
	w.run(10 * time.Minute)
	if n := len(w.probes); n > 120 {
		t.Errorf("%d probes in ten minutes", n)
	}
}

// Clients who are met make probes cheaper: the descriptor is looked at only.
func TestClients(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.probes = nil
	for range 60 {
		w.s.Met(w.now)
		w.obey()
		w.run(10 * time.Second)
	}
	for _, p := range w.probes {
		if p.Full {
			t.Fatalf("a whole probe, where clients are met: %+v", p)
		}
	}
	w.expect()
	w.verdict(Up)
	// And they are proof enough.
	cold := newWorld(t)
	cold.takes = time.Minute
	cold.s.Met(cold.now)
	cold.obey()
	cold.expect("verified")
}

// A shorter period is in force at once: the next probe up to the meeting is not that of the old one.
func TestShorterPeriodAtOnce(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.s.SetPeriod(time.Hour, w.now)
	w.s.Ask(w.now)
	w.obey()
	w.run(time.Minute)
	w.s.SetPeriod(period, w.now)
	w.probes = nil
	w.run(2 * period)
	if full, _ := w.count(); full == 0 {
		t.Error("no probe up to the meeting in two of the new periods")
	}
}

// What is unpublished while a step waits for its budget does not wake the judge again and again.
func TestUnpublishedWaitsForTheBudget(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.f.Published = false
	w.look()
	w.run(6 * time.Hour)
}
