package heal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const period = 40 * time.Second

// world is a service, its network and a clock.
type world struct {
	t   *testing.T
	s   *Service
	now time.Time
	f   Facts

	nextPoint uint64
	badPoint  map[uint64]Stage   // fails there
	badDir    map[[32]byte]Stage // Directory: has none; Descriptor: an old one
	unlisted  bool               // no descriptor lists its points, but others'
	unreached map[[32]byte]bool  // directories that are away
	offline   bool
	crowded   bool
	notMet    bool
	fails     func(*Result) bool // in what other ways; nil: none
	cures     map[Step]bool      // what makes everything well
	takes     time.Duration      // a probe
	waits     time.Duration      // one of a directory that is away; 0: no longer than others
	failures  []time.Time        // the ends of those that failed
	flying    *Probe
	ends      time.Time

	probes []Probe
	made   []Do
	story  []string // events
}

func dir(n byte) [32]byte { return [32]byte{n} }

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: epoch, nextPoint: 4, badPoint: map[uint64]Stage{}, badDir: map[[32]byte]Stage{}, unreached: map[[32]byte]bool{},
		cures: map[Step]bool{}, takes: 2 * time.Second,
		f: Facts{Live: true, Published: true, Points: []uint64{1, 2, 3}, Directories: [][32]byte{dir(1), dir(2), dir(3), dir(4), dir(5), dir(6)}},
	}
	w.s = New(period, rand.New(rand.NewPCG(1, 2)), w.now)
	w.look()
	return w
}

func (w *world) look() {
	w.s.Look(w.f, w.now)
	w.obey()
}

func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for turns := 0; ; turns++ {
		if turns > 10_000 {
			w.t.Fatal("never at rest")
		}
		at := end
		next := w.s.Next()
		if w.flying != nil && w.ends.Before(at) {
			at = w.ends
		}
		if !next.IsZero() && next.Before(at) {
			at = next
		}
		if at.After(w.now) {
			w.now = at
		}
		switch {
		case w.flying != nil && !w.ends.After(w.now):
			p := *w.flying
			w.flying = nil
			r := w.visit(p)
			if !r.OK {
				w.failures = append(w.failures, w.now)
			}
			w.s.Probed(r, w.now)
		case !next.IsZero() && !next.After(w.now):
			w.s.Tick(w.now)
			if n := w.s.Next(); !n.IsZero() && !n.After(w.now) && len(w.s.out) == 0 {
				w.t.Fatalf("wakes at once again: %+v", w.s)
			}
		case w.now.Equal(end):
			return
		}
		w.obey()
	}
}

// visit is what a probe finds.
func (w *world) visit(p Probe) Result {
	r := Result{ID: p.ID, Full: p.Full, Reached: !w.offline, Stage: Directory, Tried: Target{Directory: p.Target.Directory}}
	if w.offline || w.unreached[p.Target.Directory] {
		return r
	}
	r.Answer = true
	if r.Tried.Point = p.Target.Point; w.fails != nil && w.fails(&r) {
		return r
	}
	r.Tried.Point = 0
	if at := w.badDir[p.Target.Directory]; at != 0 {
		r.Stage = at
		return r
	}
	r.Stage = Descriptor
	if !p.Full {
		r.OK = true
		return r
	}
	r.Tried.Point = p.Target.Point
	if w.unlisted { // it gives way to another
		r.Tried.Point = 0
	}
	if at := w.badPoint[r.Tried.Point]; at != 0 {
		r.Stage, r.Answer = at, at == Introduce
		return r
	}
	r.Stage = Meeting
	r.Arrived, r.Crowded = true, w.crowded
	r.OK = !w.notMet && !w.crowded
	return r
}

func (w *world) obey() {
	for _, c := range w.s.Take() {
		switch c := c.(type) {
		case Probe:
			if w.flying != nil {
				w.t.Fatal("two probes at a time")
			}
			w.probes = append(w.probes, c)
			w.flying, w.ends = &c, w.now.Add(w.takes)
			if w.unreached[c.Target.Directory] {
				w.ends = w.now.Add(max(w.takes, w.waits))
			}
		case Do:
			w.made = append(w.made, c)
			w.do(c)
		case Told:
			w.story = append(w.story, tell(c.Event))
		}
	}
}

func tell(e Event) string {
	switch e := e.(type) {
	case Verified:
		return "verified"
	case Doubted:
		return "doubted " + e.Cause.String()
	case Found:
		out := fmt.Sprintf("found %v at %v", e.Cause, e.Stage)
		if e.Target.Point != 0 {
			out += fmt.Sprintf(" point %d", e.Target.Point)
		} else if e.Target != (Target{}) {
			out += fmt.Sprintf(" directory %d", e.Target.Directory[0])
		}
		return out
	case Healing:
		return fmt.Sprintf("healing %v %d", e.Step, e.Point)
	case Healed:
		return fmt.Sprintf("healed of %v after %d", e.Cause, e.Steps)
	}
	return "?"
}

// do plays the host.
func (w *world) do(c Do) {
	if w.cures[c.Step] {
		clear(w.badPoint)
		clear(w.badDir)
		w.notMet = false
	}
	if c.Step == Rotate || c.Step == Rebuild {
		for i, p := range w.f.Points {
			if c.Point == 0 || c.Point == p {
				w.f.Points[i] = w.nextPoint
				w.nextPoint++
			}
		}
		w.f.Down = nil
		w.f.Points = slices.Clone(w.f.Points)
	}
	w.s.Look(w.f, w.now)
	if c.Step == Republish {
		w.s.Shaken(Changed, w.now)
	}
}

// up brings it to be verified.
func (w *world) up() {
	w.t.Helper()
	w.run(10 * time.Second)
	w.expect("verified")
}

// expect compares the events since the last time, and forgets them.
func (w *world) expect(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.story, "; "); got != strings.Join(want, "; ") {
		w.t.Errorf("told %q,\nwant %q", got, strings.Join(want, "; "))
	}
	w.story = nil
}

func (w *world) verdict(want Verdict) {
	w.t.Helper()
	if got := w.s.Status().Verdict; got != want {
		w.t.Errorf("it is %v, want %v", got, want)
	}
}

// A service that works is verified soon after it is published and each period then, with a look
// at a directory between, and a few probes cover every introduction point and directory.
func TestWorks(t *testing.T) {
	w := newWorld(t)
	w.up()
	if first := w.probes[0]; first.Why != Published || !first.Full {
		t.Errorf("the first probe is %+v", first)
	}
	w.run(time.Hour)
	w.expect()
	if full, looks := w.count(); full < 78 || full > 100 || looks < 78 || looks > 110 {
		t.Errorf("%d probes up to the meeting and %d looks in an hour", full, looks)
	}
	for i := 0; i+6 <= len(w.probes); i++ {
		points, dirs := map[uint64]bool{}, map[[32]byte]bool{}
		for _, p := range w.probes[i : i+6] {
			points[p.Target.Point] = true
			dirs[p.Target.Directory] = true
		}
		if len(points) != 3 || len(dirs) != 6 {
			t.Fatalf("six probes cover %d introduction points and %d directories", len(points), len(dirs))
		}
	}
}

// What is wrong, what does about it, and what is told: the ladder in a table.
func TestLadder(t *testing.T) {
	all := func(w *world, at Stage) {
		for p := range uint64(100) {
			w.badPoint[p] = at
		}
	}
	for name, tt := range map[string]struct {
		breaks func(*world)
		cured  Step
		want   []string
	}{
		"introduction points forgot it": {
			func(w *world) { all(w, Introduce) }, NewCircuits,
			[]string{"found point-unreachable at introduce", "healing new-circuits 0", "verified", "healed of point-unreachable after 1"},
		},
		"until they are others": {
			func(w *world) { all(w, Meeting) }, Rotate,
			[]string{
				"found point-unreachable at meeting", "healing new-circuits 0", "healing republish 0", "healing rotate 0", "verified",
				"healed of point-unreachable after 3",
			},
		},
		"until all is": {
			func(w *world) { all(w, Introduce) }, Rebuild,
			[]string{
				"found point-unreachable at introduce", "healing new-circuits 0", "healing republish 0", "healing rotate 0", "healing rebuild 0",
				"verified", "healed of point-unreachable after 4",
			},
		},
		"relays are gone": {
			func(w *world) { all(w, Point); w.f.Down = []uint64{1, 2, 3}; w.look() }, Rotate,
			[]string{"found relay-gone at point", "healing rotate 0", "verified", "healed of relay-gone after 1"},
		},
		"no directory has it": {
			func(w *world) {
				for _, d := range w.f.Directories {
					w.badDir[d] = Directory
				}
			}, Republish,
			[]string{"found not-stored at directory", "healing republish 0", "verified", "healed of not-stored after 1"},
		},
		"rendezvous points are not reached": {
			func(w *world) { w.notMet = true }, NewCircuits,
			[]string{"found rendezvous at meeting", "healing new-circuits 0", "verified", "healed of rendezvous after 1"},
		},
		"one introduction point": {
			func(w *world) { w.badPoint[2] = Introduce }, NewCircuits,
			[]string{"found point-unreachable at introduce point 2", "healing new-circuits 2", "verified", "healed of point-unreachable after 1"},
		},
		"one introduction point for good": {
			func(w *world) { w.badPoint[2] = Introduce }, Rebuild,
			[]string{
				"found point-unreachable at introduce point 2", "healing new-circuits 2", "healing rotate 2", "verified",
				"healed of point-unreachable after 2",
			},
		},
		"one relay": {
			func(w *world) { w.badPoint[2] = Point; w.f.Down = []uint64{2}; w.look() }, Rebuild,
			[]string{"found relay-gone at point point 2", "healing rotate 2", "verified", "healed of relay-gone after 1"},
		},
		"one introduction point is not reached": {
			func(w *world) { w.badPoint[2] = Point }, NewCircuits,
			[]string{"found point-unreachable at point point 2", "healing new-circuits 2", "verified", "healed of point-unreachable after 1"},
		},
		"one directory lost it": {
			func(w *world) { w.badDir[dir(3)] = Directory }, Republish,
			[]string{"found not-stored at directory directory 3", "healing republish 0", "verified", "healed of not-stored after 1"},
		},
		"one directory gives an old one, for ever": {
			func(w *world) { w.badDir[dir(3)] = Descriptor }, Rebuild,
			[]string{"found not-stored at descriptor directory 3", "healing republish 0", "healing republish 0", "verified"},
		},
		"one directory is away": {func(w *world) { w.unreached[dir(3)] = true }, Rebuild, nil},
		"no directory is reached": {
			func(w *world) {
				for _, d := range w.f.Directories {
					w.unreached[d] = true
				}
			}, Rebuild,
			[]string{"doubted connections"},
		},
		"overloaded": {func(w *world) { w.crowded = true }, Rebuild, []string{"found overload at meeting"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.up()
			w.cures[tt.cured] = true
			tt.breaks(w)
			w.run(20 * time.Minute)
			w.expect(tt.want...)
			if want := tt.want; len(want) > 0 && strings.HasPrefix(want[len(want)-1], "healed") {
				w.verdict(Up)
			}
		})
	}
}

// One introduction point and one directory that are of no use are not the whole service, in
// whatever order they are found.
func TestTwoTroubles(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t)
		w.s.rand = rand.New(rand.NewPCG(seed, 5))
		w.up()
		w.cures[NewCircuits], w.cures[Republish] = true, true
		w.badPoint[2], w.badDir[dir(3)] = Introduce, Directory
		w.run(20 * time.Minute)
		w.verdict(Up)
		if len(w.made) != 1 {
			t.Errorf("seed %d: made %v", seed, w.made)
		}
		for _, line := range w.story {
			if strings.HasPrefix(line, "found") && !strings.HasSuffix(line, "point 2") && !strings.HasSuffix(line, "directory 3") {
				t.Errorf("seed %d: %s", seed, line)
			}
		}
	}
}

// Whatever breaks for everybody is found within a minute, if probes take two seconds.
func TestFoundWithinAMinute(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(t)
		w.s.rand = rand.New(rand.NewPCG(seed, 3))
		w.up()
		w.run(time.Duration(seed) * 7 * time.Second)
		w.expect()
		for p := range uint64(100) {
			w.badPoint[p] = Introduce
		}
		began := w.now
		for len(w.story) == 0 && w.now.Sub(began) < time.Minute {
			w.run(time.Second)
		}
		if len(w.story) == 0 {
			t.Errorf("seed %d: not found within a minute", seed)
		}
	}
}

// Without a network nothing is said of the service and nothing done to it; when it is back
// the service is looked at.
func TestOffline(t *testing.T) {
	for name, tt := range map[string]struct {
		off, on func(*world)
		want    string
	}{
		"no circuit":   {func(w *world) { w.offline = true }, func(w *world) { w.offline = false }, "doubted connections"},
		"known":        {func(w *world) { w.f.Away = Offline; w.look() }, func(w *world) { w.f.Away = 0; w.look() }, "doubted offline"},
		"no consensus": {func(w *world) { w.f.Live = false; w.look() }, func(w *world) { w.f.Live = true; w.look() }, "doubted consensus"},
		"no clients":   {func(w *world) { w.f.NoClients = true; w.look() }, func(w *world) { w.f.NoClients = false; w.look() }, "doubted no-clients"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.up()
			tt.off(w)
			w.run(30 * time.Minute)
			w.expect(tt.want)
			w.verdict(Unverified)
			if len(w.made) > 0 {
				t.Errorf("steps without a network: %v", w.made)
			}
			tt.on(w)
			w.run(time.Minute)
			w.expect("verified")
			w.verdict(Up)
		})
	}
}

// In the midst of trouble the network goes away: the ladder waits, and what was found
// before is told anew.
func TestOfflineInTrouble(t *testing.T) {
	w := newWorld(t)
	w.up()
	for p := range uint64(100) {
		w.badPoint[p] = Introduce
	}
	w.run(time.Minute)
	made := len(w.made)
	if made == 0 {
		t.Fatal("nothing is done")
	}
	w.offline = true
	w.run(10 * time.Minute)
	if len(w.made) > made+1 {
		t.Errorf("%d steps without a network", len(w.made)-made)
	}
	w.verdict(Unverified)
	clear(w.badPoint)
	w.offline = false
	w.story = nil
	w.run(2 * time.Minute)
	if last := w.story[len(w.story)-1]; !strings.HasPrefix(last, "healed") {
		t.Errorf("told %q", w.story)
	}
}

// One failure that is none on another path changes nothing.
func TestTransient(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.badPoint[1], w.badPoint[2], w.badPoint[3] = Introduce, Introduce, Introduce
	for w.flying == nil {
		w.run(time.Second)
	}
	w.run(2 * time.Second) // it failed, and the next is under way
	clear(w.badPoint)
	w.run(10 * time.Minute)
	w.expect()
	if len(w.made) > 0 {
		t.Errorf("made %v", w.made)
	}
}

// What nothing helps against costs no more than the budgets, for a day.
func TestBudgets(t *testing.T) {
	w := newWorld(t)
	w.up()
	for p := range uint64(1000) {
		w.badPoint[p] = Introduce
	}
	var at [len(budgets)][]time.Time
	seen := 0
	for range 24 * 60 {
		w.run(time.Minute)
		for ; seen < len(w.made); seen++ {
			s := w.made[seen].Step
			at[s] = append(at[s], w.now)
		}
	}
	for s := NewCircuits; s <= Rebuild; s++ {
		for i, a := range at[s] {
			n := 0
			for _, b := range at[s][i:] {
				if b.Sub(a) < budgetTime-time.Minute {
					n++
				}
			}
			if n > budgets[s] {
				t.Errorf("%v is made %d times in an hour", s, n)
			}
		}
	}
	if len(at[Rebuild]) < 24 {
		t.Errorf("made anew %d times in a day: it gave up", len(at[Rebuild]))
	}
	w.verdict(Broken)
}

// The newest of what happened since the service was up is the cause, if it explains what
// is wrong; what is done depends on what is wrong.
func TestExplained(t *testing.T) {
	for name, tt := range map[string]struct {
		happened []Cause
		want     string
	}{
		"nothing":      {nil, "point-unreachable"},
		"slept":        {[]Cause{Disk, Slept}, "slept"},
		"newest first": {[]Cause{Slept, Clock}, "clock"},
		"unrelated":    {[]Cause{Disk, Journal, Overload}, "overload"},
		"restarted":    {[]Cause{Restarted}, "restarted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.up()
			w.cures[NewCircuits] = true
			for p := range uint64(100) {
				w.badPoint[p] = Introduce
			}
			w.run(time.Second)
			for _, c := range tt.happened {
				w.run(time.Millisecond)
				w.s.Note(c, w.now)
			}
			w.s.Shaken(Woken, w.now)
			w.obey()
			w.run(time.Minute)
			w.expect("found "+tt.want+" at introduce", "healing new-circuits 0", "verified", "healed of "+tt.want+" after 1")
		})
	}
}

// A service that never gets published is found, and steps are made.
func TestNeverPublished(t *testing.T) {
	w := newWorld(t)
	w.f = Facts{Live: true}
	w.s = New(period, rand.New(rand.NewPCG(1, 2)), w.now)
	w.look()
	w.run(90 * time.Second)
	w.expect()
	w.run(time.Minute)
	w.verdict(Broken)
	if len(w.made) == 0 || w.made[0].Step != Rotate || len(w.probes) > 0 {
		t.Errorf("steps %v, probes %v", w.made, w.probes)
	}
	w.f = Facts{Live: true, Published: true, Points: []uint64{1}, Directories: [][32]byte{dir(1)}}
	w.look()
	w.run(time.Minute)
	w.verdict(Up)
}

// An operator's question is answered though nothing else is verified.
func TestOff(t *testing.T) {
	w := newWorld(t)
	w.s = New(0, rand.New(rand.NewPCG(1, 2)), w.now)
	w.look()
	w.run(time.Hour)
	if len(w.probes) > 0 || len(w.story) > 0 {
		t.Fatalf("probes %v, %v", w.probes, w.story)
	}
	w.s.Ask(w.now)
	w.obey()
	w.run(time.Minute)
	if len(w.probes) != 1 || !w.probes[0].Full || w.probes[0].Why != Asked || w.s.Status().Verified.IsZero() {
		t.Errorf("probes %+v, %+v", w.probes, w.s.Status())
	}
	w.s.SetPeriod(period, w.now)
	w.run(time.Hour)
	if len(w.probes) < 60 {
		t.Errorf("%d probes in an hour", len(w.probes))
	}
	w.verdict(Up)
	w.s.SetPeriod(0, w.now)
	n := len(w.probes)
	w.run(time.Hour)
	if len(w.probes) > n+1 {
		t.Errorf("%d more probes", len(w.probes)-n)
	}
}
