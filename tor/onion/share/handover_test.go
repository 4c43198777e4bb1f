package share

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chive/tor/onion/host"
)

var points = []host.ForeignPoint{{AuthKey: [32]byte{8}}}

func (r *rig) sleep(d time.Duration) {
	r.now = Moment{r.now.Mono + d, r.now.Wall.Add(d)}
	r.m.Tick(r.now)
	r.take()
}

func (r *rig) parted() bool { return slices.Contains(r.out, Command(Parted{})) }

// leaves has a holder leave, of whom another was heard with its entry 7.
func leaves(t *testing.T) *rig {
	r := newRig(t, "a")
	r.hold()
	r.m.MemberHeard(Member{Node: "b", Instance: Instance{4}, Sequence: 6, Used: 9, Points: points}, r.now)
	r.sleep(time.Second)
	r.m.Leave(r.now)
	r.take()
	if r.m.Role().Publish || r.m.Holds(r.now) || !slices.Contains(r.out, Command(Withdraw{})) || r.parted() || r.writing() {
		t.Fatalf("%+v", r.out)
	}
	r.m.MemberHeard(Member{Node: "b", Instance: Instance{4}, Sequence: 7, Used: 9, Points: points}, r.now)
	r.take()
	return r
}

func TestHolderNamesAnHeir(t *testing.T) {
	r := leaves(t)
	r.want(Lost{1, GivenBack})
	want := Heir{"b", Instance{4}, 7}
	if !r.writing() || r.last.Lease.Heir != want || r.last.Expect != 10 || r.last.Lease.Epoch != 1 {
		t.Fatalf("%+v", r.last)
	}
	ceiling := r.last.Lease.Ceiling
	r.wrote(11, nil)
	r.m.MemberHeard(Member{Node: "b", Instance: Instance{4}, Sequence: 8, Stored: ceiling, Used: ceiling + 1, Points: points}, r.now)
	if r.take(); r.parted() {
		t.Error("its introduction points are ended before they are out of the descriptor")
	}
	r.m.MemberHeard(Member{Node: "b", Instance: Instance{4}, Sequence: 9, Stored: ceiling + 1, Used: ceiling + 1, Points: points}, r.now)
	if r.take(); !r.parted() {
		t.Error("they are kept although nobody is told of them any more")
	}
	if r.pass(3*Standard.Wait, nil, 11); r.writing() {
		t.Error("it takes part again")
	}
}

// One that has little time renews the lease before it names an heir.
func TestHeirNeedsTime(t *testing.T) {
	r := newRig(t, "a")
	r.hold()
	r.sleep(Standard.Renew)
	r.wrote(0, errTimeout) // of the renewal
	r.sleep(Standard.Lease - Standard.Renew - Standard.Heir)
	r.wrote(0, errTimeout)
	sequence := r.last.Lease.Sequence
	r.m.MemberHeard(Member{Node: "b", Instance: Instance{4}, Sequence: 7, Points: points}, r.now)
	r.m.Leave(r.now)
	r.sleep(again)
	if !r.writing() || r.last.Lease.Heir != (Heir{}) || r.last.Lease.Sequence <= sequence {
		t.Fatalf("%+v", r.last)
	}
	r.wrote(12, nil)
	if !r.writing() || r.last.Lease.Heir.Node != "b" || r.last.Expect != 12 {
		t.Errorf("%+v", r.last)
	}
}

// Without somebody to inherit it the lease ends by itself.
func TestNoHeir(t *testing.T) {
	r := newRig(t, "a")
	r.hold()
	r.m.MemberHeard(Member{Node: "b", Instance: Instance{4}, Sequence: 6, Points: points}, r.now)
	r.sleep(time.Second)
	r.m.Leave(r.now)
	for end := r.now.Mono + heirTime; r.now.Mono < end; r.sleep(100 * time.Millisecond) {
		if r.take(); r.writing() {
			if r.last.Lease.Heir.Node != "" {
				t.Fatalf("it names an heir that it heard a second ago: %+v", r.last)
			}
			r.wrote(r.last.Expect+1, nil)
		}
	}
	r.want(Lost{1, GivenBack})
	if r.m.held || r.parted() {
		t.Errorf("%+v", r.out)
	}
	r.sleep(partTime)
	if !r.parted() {
		t.Error("it waits for ever for others")
	}
	alone := newRig(t, "a")
	alone.hold()
	alone.m.Leave(alone.now)
	if alone.take(); !alone.parted() {
		t.Error("one that is alone waits for others")
	}
}

// A node that does not publish waits for a descriptor without its points, too.
func TestMemberParts(t *testing.T) {
	r := newRig(t, "a")
	b := Member{Node: "b", Instance: Instance{4}, Sequence: 6, Used: 50, Stored: 50, Points: points}
	r.m.MemberHeard(b, r.now)
	r.m.Leave(r.now)
	if r.take(); r.parted() {
		t.Error("at once")
	}
	b.Sequence, b.Used = 7, 51
	r.m.MemberHeard(b, r.now)
	if r.take(); r.parted() {
		t.Error("the directories have not got it")
	}
	b.Sequence, b.Stored = 8, 51
	r.m.MemberHeard(b, r.now)
	if r.take(); !r.parted() {
		t.Error("never")
	}
}

// A node without introduction points has nothing that clients could miss: one that never had
// any, or whose last ones are out of the descriptor already. A lease is handed over first.
func TestBareNodeParts(t *testing.T) {
	newcomer := func() *rig {
		r := &rig{t: t, now: Moment{Mono: time.Hour, Wall: epoch}}
		r.m = New("a", Instance{'a'}, Standard, r.now)
		return r
	}
	b := Member{Node: "b", Instance: Instance{4}, Sequence: 6, Used: 50, Stored: 50, Points: points}
	r := newcomer()
	r.m.MemberHeard(b, r.now)
	r.m.Leave(r.now)
	if r.take(); !r.parted() || !slices.Contains(r.out, Command(Withdraw{})) {
		t.Errorf("one that never had any waits: %+v", r.out)
	}
	for name, c := range map[string]struct {
		stored, used uint64 // b's, when it leaves
		own          uint64 // likewise its own Stored
		waits        bool
	}{
		"they are listed":            {stored: 50, used: 50, waits: true},
		"they are about not to be":   {stored: 50, used: 51, waits: true},
		"b lists them no more":       {stored: 51, used: 51},
		"it listed them itself":      {stored: 50, used: 50, own: 50, waits: true},
		"it listed them itself once": {stored: 50, used: 50, own: 51},
	} {
		r := newRig(t, "a")
		r.m.MemberHeard(b, r.now)
		r.m.SetOwn(Own{Used: 40}, r.now)
		b2 := b
		b2.Sequence, b2.Stored, b2.Used = 7, c.stored, c.used
		r.sleep(time.Second)
		r.m.MemberHeard(b2, r.now)
		r.m.SetOwn(Own{Used: max(c.own, 40), Stored: c.own}, r.now)
		r.m.Leave(r.now)
		if r.take(); r.parted() == c.waits {
			t.Errorf("%s: parted %v", name, r.parted())
		}
		r.sleep(partTime)
		if c.waits && !r.parted() {
			t.Errorf("%s: it waits for ever", name)
		}
	}
	r = newRig(t, "a")
	r.hold()
	r.m.MemberHeard(b, r.now)
	r.m.SetOwn(Own{}, r.now)
	r.sleep(time.Second)
	b.Sequence, b.Stored = 7, 1<<40
	r.m.MemberHeard(b, r.now)
	r.m.Leave(r.now)
	b.Sequence = 8
	r.m.MemberHeard(b, r.now)
	if r.take(); !r.writing() || r.last.Lease.Heir.Node != "b" || r.parted() {
		t.Fatalf("the lease is not handed over first: %+v", r.out)
	}
	if r.wrote(11, nil); !r.parted() {
		t.Errorf("it waits: %+v", r.out)
	}
}

// The heir takes the lease at once, if it is the one, and in time; nobody else does.
func TestHeir(t *testing.T) {
	const ceiling = 1 << 36
	for name, c := range map[string]struct {
		heir    Heir // Beat counts from the last entry
		happens func(r *rig)
		takes   bool
	}{
		"in time":       {heir: Heir{"b", Instance{'b'}, 0}, takes: true},
		"another":       {heir: Heir{"c", Instance{'b'}, 0}},
		"a former run":  {heir: Heir{"b", Instance{9}, 0}},
		"of the future": {heir: Heir{"b", Instance{'b'}, 1}},
		"too late":      {heir: Heir{"b", Instance{'b'}, 0}, happens: func(r *rig) { r.sleep(Standard.Heir) }},
		"it slept":      {heir: Heir{"b", Instance{'b'}, 0}, happens: func(r *rig) { r.now.Wall = r.now.Wall.Add(time.Minute) }},
		"old": {heir: Heir{"b", Instance{'b'}, 0}, happens: func(r *rig) {
			r.m.LeaseRead(&Lease{Epoch: 6, Sequence: 1, Holder: "c"}, 101, r.now)
		}},
		"it leaves": {heir: Heir{"b", Instance{'b'}, 0}, happens: func(r *rig) { r.m.Leave(r.now) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "b")
			r.m.MemberHeard(Member{Node: "a", Sequence: 1, Points: points}, r.now)
			r.pass(time.Second, &Lease{Epoch: 5, Sequence: 1, Holder: "a"}, 100)
			beats := r.m.beats
			r.m.MemberGone("a", r.now)
			if r.take(); r.m.beats != beats+1 {
				t.Fatalf("%d entries follow the publisher's end", r.m.beats-beats)
			}
			c.heir.Beat += r.m.beats
			if c.happens != nil {
				c.happens(r)
				r.take()
			}
			r.m.LeaseRead(&Lease{Epoch: 5, Sequence: 2, Holder: "a", Heir: c.heir, Ceiling: ceiling}, 102, r.now)
			if r.take(); r.writing() != c.takes {
				t.Fatalf("it asks for the lease: %v", r.writing())
			}
			if !c.takes {
				return
			}
			if r.last.Expect != 102 || r.last.Lease.Epoch != 103 || r.last.Lease.Heir != (Heir{}) {
				t.Errorf("%+v", r.last)
			}
			r.wrote(103, nil)
			if role := r.m.Role(); !role.Publish || role.Floor != ceiling || len(role.Others) != 0 {
				t.Errorf("%+v", role)
			}
		})
	}
}

// A calm fleet: whoever leaves is replaced within a second.
func TestHandOverIsQuick(t *testing.T) {
	var worst time.Duration
	for seed := range uint64(50) {
		w := newWorld(t, seed, 3)
		w.calm = true
		w.begin()
		w.run(20 * time.Second)
		var first *simNode
		for _, n := range w.nodes {
			if n.may() {
				first = n
			}
		}
		if first == nil {
			t.Fatalf("nobody publishes in schedule %d", seed)
		}
		parted := false
		first.parted = func() { parted = true }
		takes, began := w.takes, w.now
		first.to(func() { first.m.Leave(first.clock()) })
		for w.takes == takes && w.now < began+10*time.Second {
			w.run(w.now + 10*time.Millisecond)
		}
		worst = max(worst, w.now-began)
		w.run(w.now + 10*time.Second)
		if w.heirs != 1 || !parted || w.failed {
			t.Fatalf("schedule %d: %d heirs, parted: %v\n%s", seed, w.heirs, parted, strings.Join(w.log, "\n"))
		}
	}
	t.Logf("messages take up to 200 ms; the next has the lease after %v at most", worst)
	if worst > 2*time.Second {
		t.Errorf("the next has the lease after %v", worst)
	}
}
