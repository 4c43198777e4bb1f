package share

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"chive/tor/onion/host"
)

// The nodes of one service and the store between them, on simulated time: messages are
// late, lost or answered in vain, nodes stop, sleep and start anew, clocks are wrong and
// set, and somebody without the key writes what he likes.

type step struct {
	at  time.Duration
	n   int
	run func()
}

type agenda []step

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(step)) }
func (a *agenda) Pop() any {
	x := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return x
}

// entry is what is stored as the lease after a write.
type entry struct {
	revision uint64
	lease    *Lease // nil: rubbish, or deleted
}

type world struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Duration // real
	steps   int
	agenda  agenda
	nodes   []*simNode
	last    uint64  // number of the last write, of any key
	entries []entry // all that ever were the lease
	sent    []Lease // all that were to be, stored or not
	members map[string]Member
	log     []string
	failed  bool

	calm      bool // nothing is lost or late any more
	foreigner bool // somebody without the key is about
	forged    bool // and has written
	epochs    []uint64
	publisher uint64 // epoch of the last upload
	stamp     uint64 // the highest of all uploads
	before    uint64 // likewise, of epochs before the last
	uploads   int
	takes     int
	heirs     int // leases that were taken by who was to have them
}

type simNode struct {
	w        *world
	name     string
	m        *Machine
	rate     float64       // of its monotonic clock
	mono     time.Duration // at since
	since    time.Duration
	wall     time.Duration // offset of the other clock
	stopped  bool          // SIGSTOP
	asleep   bool          // the monotonic clock stands still
	cut      bool          // no way to the store
	held     []func()      // what comes meanwhile
	role     Role
	until    time.Time     // of role, by the wall clock
	base     time.Duration // what the clocks were apart by then
	used     uint64
	points   []host.ForeignPoint
	tickAt   time.Duration
	instance byte
	parted   func() // what follows when it has left
}

// call bounds a request, by the node's clock.
const call = 3500 * time.Millisecond

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (n *simNode) clock() Moment {
	mono := n.mono
	if !n.asleep {
		mono += time.Duration(float64(n.w.now-n.since) * n.rate)
	}
	return Moment{Mono: mono, Wall: epoch.Add(n.w.now + n.wall)}
}

func (w *world) after(d time.Duration, run func()) {
	w.steps++
	heap.Push(&w.agenda, step{w.now + d, w.steps, run})
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8.3f  ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	if !w.failed {
		w.failed = true
		w.t.Errorf(format+"\n%s", append(args, strings.Join(w.log, "\n"))...)
	}
}

// to has a node do something, when it runs.
func (n *simNode) to(f func()) {
	if n.stopped || n.asleep {
		n.held = append(n.held, f)
		return
	}
	f()
	n.perform()
}

func (n *simNode) start() {
	n.instance++
	n.role, n.until, n.used = Role{}, time.Time{}, 0
	n.m = New(n.name, Instance{n.name[0], n.instance}, Standard, n.clock())
	n.perform()
	m := n.m
	n.w.after(n.w.between(0, 5*time.Second), func() {
		n.to(func() {
			if n.m == m {
				m.SetOwn(Own{Points: n.points, Used: n.used, Stored: n.used}, n.clock())
			}
		})
	})
}

func (w *world) between(a, b time.Duration) time.Duration { return a + rand64(w.rng, b-a) }

func rand64(rng *rand.Rand, n time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(n) + 1))
}

func (n *simNode) perform() {
	for commands := n.m.Take(); len(commands) > 0; commands = n.m.Take() {
		for _, c := range commands {
			n.do(c)
		}
	}
	next := n.m.Next()
	if n.m.gone || next == 0 {
		return
	}
	at := n.w.now + max(time.Duration(float64(next-n.clock().Mono)/n.rate), 0) + time.Microsecond
	if n.tickAt > n.w.now && n.tickAt <= at {
		return
	}
	n.tickAt = at
	n.w.after(at-n.w.now, func() {
		if n.tickAt == n.w.now {
			n.tickAt = 0
			n.to(func() { n.m.Tick(n.clock()) })
		}
	})
}

func (n *simNode) do(c Command) {
	w := n.w
	switch c := c.(type) {
	case SetRole:
		n.role, n.until, n.base = c.Role, n.clock().Wall.Add(c.Role.Until-n.clock().Mono), n.clock().offset()
		w.alone(n)
	case Told:
		w.note("%s %T %+v", n.name, c.Event, c.Event)
		if taken, ok := c.Event.(Taken); ok {
			w.takes++
			if last := len(w.epochs); last > 0 && w.epochs[last-1] >= taken.Epoch {
				w.fail("epoch %d after %d", taken.Epoch, w.epochs[last-1])
			}
			w.epochs = append(w.epochs, taken.Epoch)
		}
	case WriteLease:
		n.writeLease(c)
	case WriteMember:
		n.send(func() {
			w.last++
			w.members[n.name] = c.Member
			for _, o := range w.nodes {
				if o != n {
					o.hear(func() { o.m.MemberHeard(c.Member, o.clock()) })
				}
			}
		}, nil)
	case Parted:
		w.note("%s has left", n.name)
		n.parted()
	case Withdraw:
		n.send(func() {
			delete(w.members, n.name)
			for _, o := range w.nodes {
				o.hear(func() { o.m.MemberGone(n.name, o.clock()) })
			}
		}, nil)
	case ReadLease:
		n.readLease()
	case ReadMembers:
		n.send(func() {
			for _, e := range w.members {
				n.hear(func() { n.m.MemberRead(e, n.clock()) })
			}
		}, nil)
	}
}

// send brings something to the store; lost is called after the time that a request may
// take when it did not come, or no answer did.
func (n *simNode) send(arrive func(), lost func()) {
	w := n.w
	switch {
	case n.cut && w.rng.IntN(4) == 0: // it waits in the client's buffer
		w.after(w.between(0, time.Minute), arrive)
	case n.cut || w.lost():
	default:
		w.after(w.between(0, 200*time.Millisecond)+w.late(), arrive)
	}
	if lost != nil {
		m := n.m
		w.after(call, func() {
			n.to(func() {
				if n.m == m {
					lost()
				}
			})
		})
	}
}

func (w *world) lost() bool { return !w.calm && w.rng.IntN(30) == 0 }

func (w *world) late() time.Duration {
	if !w.calm && w.rng.IntN(20) == 0 {
		return w.between(0, 8*time.Second)
	}
	return 0
}

// hear brings something to the node.
func (n *simNode) hear(f func()) {
	w := n.w
	if n.m == nil || n.cut || w.lost() {
		return
	}
	m := n.m
	w.after(w.between(0, 50*time.Millisecond)+w.late(), func() {
		n.to(func() {
			if n.m == m {
				f()
			}
		})
	})
}

func (w *world) current() entry {
	if len(w.entries) == 0 {
		return entry{}
	}
	return w.entries[len(w.entries)-1]
}

func (w *world) put(l *Lease) uint64 {
	w.last++
	w.entries = append(w.entries, entry{w.last, l})
	for _, o := range w.nodes {
		o.hear(func() { o.m.Written(o.clock()) })
	}
	return w.last
}

var errTimeout = errors.New("no answer")

func (n *simNode) writeLease(c WriteLease) {
	w, answered := n.w, false
	w.sent = append(w.sent, c.Lease)
	if e := w.current(); c.Lease.Sequence == 1 && e.lease != nil && e.lease.Heir.Node == n.name && e.revision == c.Expect {
		w.heirs++
	}
	answer := func(revision uint64, err error) {
		n.hear(func() {
			if !answered {
				answered = true
				n.m.Wrote(c.ID, revision, err, n.clock())
			}
		})
	}
	n.send(func() {
		if w.current().revision != c.Expect {
			answer(0, ErrConflict)
			return
		}
		l := c.Lease
		answer(w.put(&l), nil)
	}, func() {
		if !answered {
			answered = true
			n.m.Wrote(c.ID, 0, errTimeout, n.clock())
		}
	})
}

func (n *simNode) readLease() {
	w, answered := n.w, false
	n.send(func() {
		e := w.current()
		if len(w.entries) > 1 && w.rng.IntN(5) == 0 { // of a server that is behind
			e = w.entries[len(w.entries)-2]
		}
		n.hear(func() {
			if !answered {
				answered = true
				n.m.LeaseRead(e.lease, e.revision, n.clock())
			}
		})
	}, func() {
		if !answered {
			answered = true
			n.m.ReadFailed(n.clock())
		}
	})
}

// may is what the service's actor goes by.
func (n *simNode) may() bool {
	now := n.clock()
	return n.m != nil && n.role.Publish && now.Mono < n.role.Until && now.Wall.Before(n.until) && (now.offset()-n.base).Abs() <= jump
}

// alone: nobody else has the right to publish.
func (w *world) alone(n *simNode) {
	if !n.may() {
		return
	}
	for _, o := range w.nodes {
		if o != n && !o.asleep && o.may() {
			w.fail("%s may publish (epoch %d), and so may %s (epoch %d)", n.name, n.role.Epoch, o.name, o.role.Epoch)
		}
	}
}

// upload has a node publish if it may.
func (n *simNode) upload() {
	w := n.w
	w.after(w.between(0, 3*time.Second), n.upload)
	if n.stopped || n.asleep || !n.may() {
		return
	}
	w.alone(n)
	stamp := max(unix(n.clock().Wall), n.role.Floor+1, n.used+1)
	if stamp > n.role.Ceiling {
		return
	}
	n.used = stamp
	w.uploads++
	if n.role.Epoch < w.publisher {
		w.fail("%s publishes in epoch %d, after one in %d", n.name, n.role.Epoch, w.publisher)
	}
	if n.role.Epoch > w.publisher {
		w.publisher, w.before = n.role.Epoch, w.stamp
	}
	if stamp <= w.before && !w.forged {
		w.fail("%s publishes for second %d in epoch %d, and %d was used before", n.name, stamp, n.role.Epoch, w.before)
	}
	w.stamp = max(w.stamp, stamp)
	n.to(func() { n.m.SetOwn(Own{Points: n.points, Used: n.used, Stored: n.used}, n.clock()) })
}

// trouble has something happen, again and again.
func (w *world) trouble(until time.Duration) {
	if w.now >= until {
		return
	}
	w.after(w.between(0, 12*time.Second), func() { w.trouble(until) })
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	length := w.between(0, 40*time.Second)
	if w.rng.IntN(2) == 0 { // it is the one that matters
		for _, o := range w.nodes {
			if o.may() {
				n = o
			}
		}
	}
	switch w.rng.IntN(12) {
	case 9, 10, 11:
		if n.stopped || n.asleep || n.m.parting.leaving {
			return
		}
		w.note("-- %s leaves for %v", n.name, length)
		m := n.m
		n.parted = func() {}
		if w.rng.IntN(2) == 0 { // as soon as it may
			n.parted = func() { w.after(0, n.again(m)) }
		} else {
			w.after(length, n.again(m))
		}
		n.to(func() { n.m.Leave(n.clock()) })
	case 0, 1:
		w.note("-- %s is cut off for %v", n.name, length)
		n.cut = true
		w.after(length, func() { n.cut = false })
	case 2, 3:
		if n.stopped || n.asleep {
			return
		}
		w.note("-- %s is stopped for %v", n.name, length)
		n.stopped = true
		w.after(length, func() { n.stopped = false; n.wake() })
	case 4:
		if n.stopped || n.asleep {
			return
		}
		w.note("-- %s sleeps for %v", n.name, length)
		n.mono, n.since, n.asleep = n.clock().Mono, w.now, true
		w.after(length, func() { n.since, n.asleep = w.now, false; n.wake() })
	case 5:
		if n.asleep {
			return
		}
		n.wall = w.between(-time.Hour, time.Hour)
		w.note("-- the clock of %s is set by %v", n.name, n.wall)
	case 6:
		if n.stopped || n.asleep {
			return
		}
		w.note("-- %s is killed, and starts anew", n.name)
		n.start()
	case 7:
		w.note("-- %s has no introduction points for %v", n.name, length)
		own := func(points []host.ForeignPoint) {
			n.to(func() { n.m.SetOwn(Own{Points: points, Used: n.used, Stored: n.used}, n.clock()) })
		}
		own(nil)
		w.after(length, func() { own(n.points) })
	case 8:
		w.forge()
	}
}

// again starts a node's part anew after it left.
func (n *simNode) again(m *Machine) func() {
	return func() {
		if n.m == m && !n.stopped && !n.asleep {
			n.start()
		} else if n.m == m {
			n.w.after(time.Second, n.again(m))
		}
	}
}

// forge writes what somebody without the key can.
func (w *world) forge() {
	if !w.foreigner || len(w.sent) == 0 {
		return
	}
	w.forged = true
	if w.rng.IntN(2) == 0 {
		w.note("-- the lease is deleted, or overwritten with rubbish")
		w.put(nil)
		return
	}
	old := w.sent[w.rng.IntN(len(w.sent))]
	for i := len(w.sent) - 1; i >= max(0, len(w.sent)-20); i-- { // what was left to somebody is the best there is
		if w.sent[i].Heir.Node != "" && w.rng.IntN(2) == 0 {
			old = w.sent[i]
			break
		}
	}
	w.note("-- epoch %d, %d is stored again, left to %q", old.Epoch, old.Sequence, old.Heir.Node)
	w.put(&old)
}

func (n *simNode) wake() {
	held := n.held
	n.held = nil
	n.w.rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] }) // whatever comes first
	n.w.alone(n)
	for _, f := range held {
		n.to(f)
	}
	n.to(func() { n.m.Tick(n.clock()) })
}

func (w *world) run(until time.Duration) {
	for len(w.agenda) > 0 && w.agenda[0].at <= until && !w.failed {
		s := heap.Pop(&w.agenda).(step)
		w.now = s.at
		s.run()
	}
	w.now = until
}

func newWorld(t *testing.T, seed uint64, nodes int) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), members: map[string]Member{}}
	w.note("schedule %d", seed)
	for i := range nodes {
		n := &simNode{
			w: w, name: string(rune('a' + i)), rate: 0.9 + 0.2*w.rng.Float64(), mono: w.between(time.Second, time.Hour),
			wall: w.between(-time.Hour, time.Hour), points: make([]host.ForeignPoint, 3),
		}
		for j := range n.points {
			n.points[j].AuthKey = [32]byte{byte(i), byte(j)}
		}
		w.nodes = append(w.nodes, n)
	}
	return w
}

func (w *world) begin() {
	for _, n := range w.nodes {
		w.after(w.between(0, 3*time.Second), func() {
			n.start()
			n.upload()
		})
	}
	w.run(3 * time.Second)
}

func TestNeverTwoPublishers(t *testing.T) {
	schedules := uint64(1000)
	if n, err := strconv.ParseUint(os.Getenv("CHIVE_SHARE_SCHEDULES"), 10, 64); err == nil {
		schedules = n
	}
	var uploads, takes, heirs int
	for seed := range schedules {
		w := newWorld(t, seed, 2+int(seed%4))
		w.foreigner = seed%3 == 2
		w.begin()
		w.trouble(50 * time.Second)
		w.run(90 * time.Second)
		for _, n := range w.nodes {
			n.cut = false
		}
		w.calm = true
		w.run(150 * time.Second)
		holders := 0
		for _, n := range w.nodes {
			if n.m.Holds(n.clock()) {
				holders++
			}
		}
		if holders != 1 && !w.failed {
			w.fail("%d holders a minute after the trouble", holders)
		}
		uploads += w.uploads
		takes += w.takes
		heirs += w.heirs
		if w.failed {
			break
		}
	}
	if !t.Failed() && (uploads < int(schedules)*10 || takes < int(schedules)*3 || heirs < int(schedules)/5) {
		t.Errorf("%d uploads, %d leases and %d heirs in %d schedules: nothing was tried", uploads, takes, heirs, schedules)
	}
	t.Logf("%d schedules, %d uploads, %d leases, %d of them by an heir", schedules, uploads, takes, heirs)
}
