package hosting

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/config"
	"chive/messages/chivev1"
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

// line is where circuits wait that are not begun: so many are built at a time.
type line struct {
	each time.Duration // that one takes
	most int
	free time.Time // when the next is begun
}

// takes says when a circuit is begun, and how long it takes from now on.
func (w *world) takes(ctx actor.Context, m *circuits.Open) time.Duration {
	begun := &circuits.Building{Token: m.Token}
	if l := w.line; l != nil {
		now := time.Now()
		if l.free.Before(now) {
			l.free = now
		}
		l.free = l.free.Add(l.each / time.Duration(l.most))
		kernel.After(ctx.ActorSystem(), m.Owner, l.free.Sub(now), begun)
		return l.free.Sub(now) + l.each
	}
	if m.Purpose == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION || m.Purpose == chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY {
		ctx.Send(m.Owner, begun)
	}
	return 200 * time.Millisecond
}

// Where circuits take long, and not all can be built at once, two hundred services take minutes
// to publish. None of them is broken for that: to have them begin anew would make it longer.
func TestManyBeginSlowly(t *testing.T) {
	const services = 200
	inWorld(t, services, 10*time.Minute, nil, func(w *world) {
		w.set(func() { w.line = &line{each: 1500 * time.Millisecond, most: 24} })
		w.run(10 * time.Minute)
		broken, steps := 0, 0
		w.set(func() {
			for _, e := range w.log {
				switch {
				case e.GetHostingBroken() != nil:
					broken++
				case e.GetHostingHealing() != nil:
					steps++
				}
			}
		})
		if n := w.everywhere(); n != services || broken > services/20 || steps > services/5 {
			t.Errorf("%d are published, %d were told broken, %d steps were made", n, broken, steps)
		}
		t.Logf("%d of %d were told broken, %d steps", broken, services, steps)
	})
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
