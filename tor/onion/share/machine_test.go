package share

import (
	"slices"
	"testing"
	"time"

	"chive/tor/onion/host"
)

// rig is one machine with a clock that the test moves.
type rig struct {
	t    *testing.T
	m    *Machine
	now  Moment
	out  []Command
	last WriteLease
}

func newRig(t *testing.T, name string) *rig {
	r := &rig{t: t, now: Moment{Mono: time.Hour, Wall: epoch}}
	r.m = New(name, Instance{name[0]}, Standard, r.now)
	r.take()
	r.m.SetOwn(Own{Points: []host.ForeignPoint{{AuthKey: [32]byte{1}}}}, r.now)
	r.take()
	return r
}

func (r *rig) take() {
	r.out = r.m.Take()
	for _, c := range r.out {
		if w, ok := c.(WriteLease); ok {
			r.last = w
		}
	}
}

// pass lets time go by, in which the lease is read as it is.
func (r *rig) pass(d time.Duration, l *Lease, revision uint64) {
	for end := r.now.Mono + d; r.now.Mono < end; {
		r.now.Mono += 100 * time.Millisecond
		r.now.Wall = r.now.Wall.Add(100 * time.Millisecond)
		r.m.LeaseRead(l, revision, r.now)
		r.take()
		if r.writing() {
			return
		}
	}
}

func (r *rig) writing() bool {
	return slices.ContainsFunc(r.out, func(c Command) bool { _, ok := c.(WriteLease); return ok })
}

func (r *rig) wrote(revision uint64, err error) {
	r.m.Wrote(r.last.ID, revision, err, r.now)
	r.take()
}

func (r *rig) hold() {
	r.t.Helper()
	r.pass(2*Standard.Wait, nil, 0)
	r.wrote(10, nil)
	if !r.m.Holds(r.now) {
		r.t.Fatal("the lease was not taken")
	}
}

func (r *rig) told() (out []Event) {
	for _, c := range r.out {
		if t, ok := c.(Told); ok {
			out = append(out, t.Event)
		}
	}
	return out
}

func (r *rig) want(events ...Event) {
	r.t.Helper()
	if got := r.told(); !slices.Equal(got, events) {
		r.t.Errorf("told %+v, want %+v", got, events)
	}
}

func TestNobodyHeldItTakesAWait(t *testing.T) {
	r := newRig(t, "a")
	r.pass(Standard.Wait-200*time.Millisecond, nil, 0)
	if r.writing() {
		t.Fatal("taken at once: a former run of the store may have had a holder")
	}
	r.pass(time.Second, nil, 0)
	if !r.writing() || r.last.Expect != 0 || r.last.Lease.Epoch != 1 || r.last.Lease.Holder != "a" {
		t.Fatalf("%+v", r.last)
	}
}

func TestHeldByAnother(t *testing.T) {
	r := newRig(t, "b")
	for seq := range uint64(20) { // renewed all the time
		r.pass(Standard.Renew, &Lease{Epoch: 5, Sequence: seq + 1, Holder: "a", Ceiling: 7}, 100+seq)
	}
	if r.writing() {
		t.Fatal("taken from a holder who renews it")
	}
	r.pass(Standard.Wait+time.Second, &Lease{Epoch: 5, Sequence: 21, Holder: "a", Ceiling: 1 << 36}, 120)
	if !r.writing() || r.last.Expect != 120 || r.last.Lease.Epoch != 121 || r.last.Lease.Ceiling != 1<<36+Reserve {
		t.Fatalf("%+v", r.last)
	}
	sent := r.now.Mono
	r.now = Moment{sent + time.Second, r.now.Wall.Add(time.Second)}
	r.wrote(122, nil)
	r.want(Taken{121, "a"})
	role := r.m.Role()
	if !role.Publish || role.Floor != 1<<36 || role.Ceiling != 1<<36+Reserve || role.Until != sent+Standard.Lease {
		t.Errorf("%+v", role)
	}
}

func TestRightEnds(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(r *rig)
		why     string
	}{
		"no answer": {func(r *rig) {
			r.now.Mono += Standard.Lease
			r.now.Wall = r.now.Wall.Add(Standard.Lease)
			r.m.Tick(r.now)
		}, NotRenewed},
		"it slept":            {func(r *rig) { r.now.Wall = r.now.Wall.Add(time.Minute); r.m.Tick(r.now) }, Doubt},
		"the clock was set":   {func(r *rig) { r.now.Wall = r.now.Wall.Add(-time.Hour); r.m.Tick(r.now) }, Doubt},
		"another has it":      {func(r *rig) { r.m.LeaseRead(&Lease{Epoch: 12, Sequence: 1, Holder: "z"}, 12, r.now) }, Replaced},
		"rubbish was written": {func(r *rig) { r.m.LeaseRead(nil, 12, r.now) }, Replaced},
		"its own was stored again": {func(r *rig) {
			l := r.last.Lease
			r.m.LeaseRead(&l, 12, r.now)
		}, Replaced},
		"it stops": {func(r *rig) { r.m.Leave(r.now) }, GivenBack},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a")
			r.hold()
			at := r.now
			c.happens(r)
			r.take()
			if r.m.Holds(r.now) || r.m.Role().Publish {
				t.Error("it publishes on")
			}
			if got := r.told(); len(got) == 0 || got[0] != (Lost{1, c.why}) {
				t.Errorf("told %+v", got)
			}
			if c.why == Doubt || c.why == NotRenewed {
				r.pass(again, nil, 10)
			}
			if (c.why == Doubt || c.why == NotRenewed) && r.last.Lease.Epoch == 1 {
				t.Errorf("nobody else can have the entry, and it is not taken again: %+v", r.last)
			}
			if c.why == Replaced {
				r.pass(Standard.Wait-time.Second-(r.now.Mono-at.Mono), nil, 12)
				if r.writing() {
					t.Error("taken again at once")
				}
			}
		})
	}
}

// What looks like an entry of the node's own may have been stored again over another's.
func TestOwnEntryWithoutAnAnswer(t *testing.T) {
	r := newRig(t, "a")
	r.pass(2*Standard.Wait, nil, 0)
	mine := r.last.Lease
	r.wrote(0, errTimeout)
	r.pass(Standard.Wait-time.Second, &mine, 10)
	if r.writing() {
		t.Error("taken at once")
	}
}

func TestLateAnswer(t *testing.T) {
	r := newRig(t, "a")
	r.hold()
	first := r.now.Mono
	r.pass(2*Standard.Renew, nil, 10) // reads nothing new
	if r.last.Expect != 10 || r.last.Lease.Sequence != 2 || r.last.Lease.Epoch != 1 {
		t.Fatalf("%+v", r.last)
	}
	sent := r.now.Mono
	r.now.Mono += 2 * time.Second
	r.now.Wall = r.now.Wall.Add(2 * time.Second)
	r.wrote(11, nil)
	if until := r.m.Role().Until; until != sent+Standard.Lease || sent-first < Standard.Renew {
		t.Errorf("the right lasts %v from when it was asked for", until-sent)
	}
	r.pass(2*Standard.Renew, nil, 11)
	r.now.Mono += 2 * Standard.Lease // the process was stopped
	r.now.Wall = r.now.Wall.Add(2 * Standard.Lease)
	if r.m.Holds(r.now) {
		t.Error("it may publish before it has looked")
	}
	r.wrote(12, nil)
	for _, e := range r.told() {
		if _, ok := e.(Taken); ok {
			t.Error("taken by an answer that is older than a lease")
		}
	}
	if r.m.Holds(r.now) {
		t.Error("held by an answer that is older than a lease")
	}
}

func TestRankDecidesWhoTries(t *testing.T) {
	r := newRig(t, "c")
	for name, points := range map[string]int{"a": 1, "b": 0, "d": 1} {
		r.m.MemberHeard(Member{Node: name, Sequence: 1, Points: make([]host.ForeignPoint, points)}, r.now)
	}
	if got := r.m.rank(); got != 1 {
		t.Errorf("%d members with points come before c, want 1", got)
	}
}

func TestMembers(t *testing.T) {
	r := newRig(t, "a")
	r.m.SetOwn(Own{}, r.now) // it takes no lease
	point := func(n byte) []host.ForeignPoint { return []host.ForeignPoint{{AuthKey: [32]byte{9, n}}} }
	hear := func(e Member) { r.m.MemberHeard(e, r.now); r.take() }
	hear(Member{Node: "b", Instance: Instance{1}, Sequence: 4, Time: epoch, Points: point(1)})
	r.want(Members{1, 1})
	if o := r.m.Role().Others; len(o) != 1 || o[0] != (Point{"b", point(1)[0]}) {
		t.Errorf("%+v", o)
	}
	for name, e := range map[string]Member{
		"its own name":            {Node: "a", Instance: Instance{7}, Sequence: 9, Points: point(2)},
		"what was before":         {Node: "b", Instance: Instance{1}, Sequence: 4, Time: epoch.Add(time.Hour), Points: point(2)},
		"an older run's":          {Node: "b", Instance: Instance{2}, Sequence: 9, Time: epoch.Add(-time.Second), Points: point(2)},
		"the same run, an entry ": {Node: "b", Instance: Instance{1}, Sequence: 3, Time: epoch, Points: point(2)},
	} {
		if hear(e); len(r.m.Role().Others) != 1 || r.m.Role().Others[0].Point != point(1)[0] {
			t.Errorf("%s counts", name)
		}
	}
	hear(Member{Node: "b", Instance: Instance{3}, Sequence: 1, Time: epoch.Add(time.Second), Points: point(3)})
	if r.m.Role().Others[0].Point != point(3)[0] {
		t.Error("a new run does not count")
	}
	hear(Member{Node: "b", Instance: Instance{1}, Sequence: 99, Time: epoch.Add(time.Minute), Points: point(1)})
	if r.m.Role().Others[0].Point != point(3)[0] {
		t.Error("a run that has ended counts again")
	}
	r.pass(Standard.Alive, nil, 0)
	if len(r.m.Role().Others) != 0 {
		t.Error("a node that is not heard is there")
	}
	// What is stored of one that is not heard counts for a moment only.
	r.m.MemberRead(Member{Node: "c", Sequence: 1, Points: point(5)}, r.now)
	if len(r.m.Role().Others) != 1 {
		t.Error("it does not count at all")
	}
	r.pass(2*Standard.Beat, nil, 0)
	if len(r.m.Role().Others) != 0 {
		t.Error("it counts for long")
	}
	for i := range 2 * MaxMembers {
		hear(Member{Node: "x" + string(rune('A'+i)), Sequence: 1})
	}
	if len(r.m.members) > MaxMembers {
		t.Errorf("%d members are kept", len(r.m.members))
	}
}

// The points of a holder that is no more are not in the first descriptor of the next.
func TestDeadHolderIsNotListed(t *testing.T) {
	r := newRig(t, "b")
	r.m.MemberHeard(Member{Node: "a", Sequence: 1, Points: make([]host.ForeignPoint, 2)}, r.now)
	r.m.MemberHeard(Member{Node: "c", Sequence: 1, Points: make([]host.ForeignPoint, 1)}, r.now)
	r.pass(2*Standard.Wait, &Lease{Epoch: 1, Sequence: 1, Holder: "a"}, 5)
	r.wrote(6, nil)
	if o := r.m.Role().Others; len(o) != 1 || o[0].Node != "c" || !r.m.Role().Publish {
		t.Errorf("%+v", o)
	}
}

func TestHolderWithoutPointsGivesItBack(t *testing.T) {
	r := newRig(t, "a")
	r.hold()
	r.m.SetOwn(Own{}, r.now)
	revision := uint64(10)
	for r.now.Mono < time.Hour+2*time.Minute && r.m.Role().Publish {
		r.m.MemberHeard(Member{Node: "b", Sequence: revision, Points: make([]host.ForeignPoint, 1)}, r.now)
		r.pass(Standard.Renew, nil, revision)
		if r.writing() {
			revision++
			r.wrote(revision, nil)
		}
	}
	if r.m.Role().Publish {
		t.Error("it holds the lease for minutes without a point")
	}
}

func TestLeave(t *testing.T) {
	r := newRig(t, "a")
	r.hold()
	r.m.Leave(r.now)
	r.take()
	if !slices.Contains(r.out, Command(Withdraw{})) || r.m.Role().Publish {
		t.Errorf("%+v", r.out)
	}
	r.pass(3*Standard.Wait, nil, 10)
	if r.writing() {
		t.Error("it takes part again")
	}
}

func TestStoreThatWasLost(t *testing.T) {
	r := newRig(t, "b")
	r.pass(time.Second, &Lease{Epoch: 900, Sequence: 1, Holder: "a", Ceiling: 5}, 1000)
	for began := r.now.Mono; r.last.Expect != 0 || r.last.ID == 0; { // a server that is behind, or one that lost all
		if r.pass(time.Second, nil, 0); r.writing() && r.last.Expect != 0 {
			r.wrote(0, ErrConflict)
		}
		if r.now.Mono-began > 4*Standard.Wait {
			t.Fatal("never")
		}
		if r.last.ID != 0 && r.last.Expect == 0 && r.now.Mono-began < 2*Standard.Wait {
			t.Fatal("at once")
		}
	}
	if !r.writing() || r.last.Expect != 0 || r.last.Lease.Epoch <= 900 {
		t.Fatalf("%+v", r.last)
	}
}

// A store that lost its last writes gives their numbers again.
func TestNumberGivenTwice(t *testing.T) {
	r := newRig(t, "b")
	r.pass(Standard.Wait-time.Second, &Lease{Epoch: 5, Sequence: 3, Holder: "a"}, 100)
	r.pass(Standard.Wait-time.Second, &Lease{Epoch: 200, Sequence: 1, Holder: "c"}, 100)
	if r.writing() {
		t.Error("taken from a holder who was not waited for")
	}
	r.pass(2*time.Second, &Lease{Epoch: 200, Sequence: 1, Holder: "c"}, 100)
	if !r.writing() {
		t.Error("not taken")
	}
}
