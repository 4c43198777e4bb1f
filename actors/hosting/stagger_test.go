package hosting

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chive/config"
)

// busiest is how many circuits were asked for in any one second.
func (w *world) busiest() (most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := 0
	for i, at := range w.asked {
		for at.Sub(w.asked[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func (w *world) asks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// everywhere is how many services are published for both periods.
func (w *world) everywhere() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	periods := map[string]map[uint64]bool{}
	for _, e := range w.log {
		if p := e.GetHostingPublished(); p != nil {
			if periods[e.GetActorId()] == nil {
				periods[e.GetActorId()] = map[uint64]bool{}
			}
			periods[e.GetActorId()][p.GetPeriod()] = true
		}
	}
	for _, of := range periods {
		if len(of) == 2 {
			n++
		}
	}
	return n
}

// Two hundred services of one node publish in turn: they asked for 1000 circuits within ten
// milliseconds, and for 3200 in the second after that.
func TestManyBegin(t *testing.T) {
	const services = 200
	inWorld(t, services, 0, nil, func(w *world) {
		w.run(spanOf(services-1, services).to + 5*time.Second)
		if n := w.everywhere(); n != services {
			t.Errorf("%d are published", n)
		}
		if most := w.busiest(); most > 200 || w.asks() < 21*services {
			t.Errorf("%d circuits in one second, of %d", most, w.asks())
		}
		t.Logf("at most %d of %d circuits in a second", w.busiest(), w.asks())

		// A period begins for all of them at one moment.
		w.set(func() { w.asked, w.log = nil, nil })
		w.system.Root.Send(w.hosting, hostingNetworkAt(30, time.Now().Add(24*time.Hour)))
		w.run(time.Second)
		first := w.asks()
		w.run(spanOf(services-1, services).to + 5*time.Second)
		if most := w.busiest(); first > 100 || most > 100 || w.asks() < 8*services {
			t.Errorf("%d circuits at the turn of a period, %d in one second, of %d", first, most, w.asks())
		}
		t.Logf("at most %d of %d circuits in a second at the turn of a period", w.busiest(), w.asks())
	})
}

// A lone service begins at once, and so does one that is added later, or is waited for.
func TestOneBeginsAtOnce(t *testing.T) {
	later := config.OnionService{Dir: filepath.Join(t.TempDir(), "later"), IntroductionPoints: 3, Ports: []config.OnionPort{{Port: 80}}}
	inWorld(t, 1, 0, nil, func(w *world) {
		if w.run(10 * time.Millisecond); w.asks() != 5 {
			t.Fatalf("%d circuits at once", w.asks())
		}
		w.run(10 * time.Second)
		before := w.asks()
		first := config.OnionService{Dir: w.dirs[0], IntroductionPoints: 3, Ports: later.Ports}
		w.system.Root.Send(w.hosting, &Configure{Services: []config.OnionService{first, later}})
		if w.run(10 * time.Millisecond); w.asks() != before+5 {
			t.Errorf("%d circuits at once for one that was added", w.asks()-before)
		}
	})
	inWorld(t, 100, 0, nil, func(w *world) {
		w.run(10 * time.Millisecond)
		all := w.all()
		last := slices.IndexFunc(all, func(s Status) bool { return len(s.Points) == 0 })
		if begins := all[last].Begins; !begins.After(time.Now()) || time.Until(begins) > 99*apart {
			t.Errorf("it begins in %v", time.Until(begins))
		}
		before := w.asks()
		told := make(chan error, 1)
		w.system.Root.Send(w.hosting, &Verify{Service: all[last].ID, Tell: func(_ Verification, err error) { told <- err }})
		if w.run(time.Millisecond); w.asks() < before+5 {
			t.Errorf("%d circuits for one that is waited for", w.asks()-before)
		}
		w.run(time.Minute)
		select {
		case <-told:
		default:
			t.Error("nothing was said")
		}
	})
}

// Each service has a time of its own, in bounds, whatever their number.
func TestSpans(t *testing.T) {
	for _, of := range []int{0, 1, 2, 3, 30, 200, 480, 481, 5000} {
		h := &hosting{o: Options{Rand: func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }}}
		l := h.lots(of)
		var all []time.Duration
		for range of {
			all = append(all, l.draw())
		}
		if l.draw() != 0 {
			t.Errorf("%d: one more waits", of)
		}
		slices.Sort(all)
		for place, at := range all {
			if s := spanOf(place, of); at < s.from || at > s.to || s.to > min(time.Duration(of-1)*apart, longestWait) {
				t.Errorf("%d: place %d at %v, not from %v to %v", of, place, at, s.from, s.to)
			}
		}
		for range of {
			h.entries = append(h.entries, &entry{})
		}
		h.seat()
		seen := map[span]bool{}
		for _, e := range h.entries {
			seen[*e.turn.Load()] = true
		}
		if len(seen) != of {
			t.Errorf("%d: %d places", of, len(seen))
		}
		if of == 0 {
			continue
		}
		before := h.entries[0].turn.Load()
		if h.seat(); h.entries[0].turn.Load() != before {
			t.Error("places are drawn anew, and nothing has changed")
		}
		h.entries[0] = &entry{}
		if h.seat(); h.entries[0].turn.Load() == nil {
			t.Error("one that came for another has no place")
		}
	}
}
