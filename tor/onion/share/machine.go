package share

import (
	"errors"
	"slices"
	"time"

	"chive/tor/onion/host"
)

// Timing is how fast the nodes of a service react; all of them go by the same.
type Timing struct {
	Beat  time.Duration // between two entries of a member
	Alive time.Duration // a member is gone when nothing was heard for so long
	Renew time.Duration // between two renewals of the lease
	Lease time.Duration // how long a renewal holds, from before it was sent
	Wait  time.Duration // how long others see no renewal before one takes the lease
	Step  time.Duration // how much later than the one before it each member tries
	Poll  time.Duration // how often the lease is read unasked
	Look  time.Duration // how often all entries are
	Heir  time.Duration // how long after the entry that it is named by an heir may take the lease
}

// Standard is what nodes go by. A holder that dies is noticed within Wait, as are its
// points. Lease and Wait leave room for clocks of which one runs by a third faster.
var Standard = Timing{
	Beat: 2 * time.Second, Alive: 10 * time.Second, Renew: 1500 * time.Millisecond, Lease: 5 * time.Second, Wait: 7 * time.Second,
	Step: 300 * time.Millisecond, Poll: time.Second, Look: 15 * time.Second, Heir: 2 * time.Second,
}

const (
	// Reserve is how many seconds for revisions a lease has beyond the present.
	Reserve = 60
	// jump is by how much the two clocks of a machine may come apart while a lease is held.
	jump = time.Second
	// again is how long after a request without an answer the next is made, lost after how
	// long there is none.
	again = 300 * time.Millisecond
	lost  = 4 * time.Second
	// fresh: whoever wrote an entry so lately is there, be its lease not renewed.
	fresh = 3 * time.Second
	// idle is how long a holder without introduction points keeps the lease when others
	// have some.
	idle = 20 * time.Second
)

// ErrConflict: what was stored is not what the writer had seen.
var ErrConflict = errors.New("shared onion service: another wrote meanwhile")

// Moment is one time on both clocks of a machine.
type Moment struct {
	Mono time.Duration // of the clock that only runs
	Wall time.Time     // of the one that is set
}

// offset is what stays the same while neither clock is set or stands still.
func (m Moment) offset() time.Duration {
	return m.Wall.Sub(time.Unix(0, 0)) - m.Mono
}

// Own is what the node itself brings.
type Own struct {
	Points []host.ForeignPoint // established
	Used   uint64              // the latest second that a revision of this node's followed from
	Stored uint64              // likewise of a descriptor that all directories have
}

// Role is what the node may do.
type Role struct {
	Publish bool
	Epoch   uint64        // of the lease: the node's own, or the last that was seen
	Holder  string        // who publishes, as far as is known; "": nobody
	Until   time.Duration // by Mono; nothing is published from then on
	// Revisions follow from times behind Floor and up to Ceiling, in seconds.
	Floor, Ceiling uint64
	Others         []Point // of the other nodes that are there, in a fixed order
}

// Point is another node's introduction point.
type Point struct {
	Node  string
	Point host.ForeignPoint
}

// Command is something to do.
type Command interface{ command() }

type (
	// WriteLease stores a lease if the last number at its key is Expect (0: there is
	// nothing); then [Machine.Wrote].
	WriteLease struct {
		ID     uint64
		Lease  Lease
		Expect uint64
	}
	// WriteMember stores the node's entry; nobody needs to know when.
	WriteMember struct{ Member Member }
	// Withdraw takes the node's entry away.
	Withdraw struct{}
	// ReadLease asks for the lease; then [Machine.LeaseRead] or [Machine.ReadFailed].
	ReadLease struct{}
	// ReadMembers asks for the entries of all members; then [Machine.MemberRead] for each.
	ReadMembers struct{}
	// Parted says that the node may end its introduction points: it has left, and they are
	// in the descriptor no more, or that was waited for long enough.
	Parted struct{}
	// SetRole is what the node may do from now on.
	SetRole struct{ Role Role }
	// Told is a fact for who watches.
	Told struct{ Event Event }
)

func (WriteLease) command()  {}
func (WriteMember) command() {}
func (Withdraw) command()    {}
func (Parted) command()      {}
func (ReadLease) command()   {}
func (ReadMembers) command() {}
func (SetRole) command()     {}
func (Told) command()        {}

// Event is a fact.
type Event interface{ event() }

// Why a lease was lost.
const (
	NotRenewed = "not-renewed" // in time
	Doubt      = "clock"       // the machine slept, or its clock was set
	Replaced   = "replaced"    // another holds it, or what was stored is no lease
	GivenBack  = "given-back"  // the node stops sharing, or has no introduction points
)

type (
	// Taken: the node holds the lease.
	Taken struct {
		Epoch uint64
		From  string // who held it before; "": nobody
	}
	// Lost: it does not hold it any more.
	Lost struct {
		Epoch  uint64
		Reason string
	}
	// Refused: another was quicker.
	Refused struct{ Epoch uint64 }
	// Changed: another node holds it; "": nobody.
	Changed struct {
		Epoch  uint64
		Holder string
	}
	// Members: so many other nodes are there, with so many introduction points.
	Members struct{ Nodes, Points int }
)

func (Taken) event()   {}
func (Lost) event()    {}
func (Refused) event() {}
func (Changed) event() {}
func (Members) event() {}

// stored is the last lease that was read.
type stored struct {
	known    bool
	revision uint64
	lease    *Lease // nil: none, or none that is believed
	refused  bool   // it is a lease, and an old one
	at       time.Duration
	lower    time.Duration // since when only lower numbers are read; 0: not so
}

// write is a request under way.
type write struct {
	id     uint64
	lease  Lease
	expect uint64
	sent   Moment
	floor  uint64
	taking bool
}

// Machine is one node's part in one service.
type Machine struct {
	node     string
	instance Instance
	t        Timing
	own      Own
	parting  parting
	gone     bool // it has left, and everything is said
	now      Moment

	seen       stored
	topEpoch   uint64 // what is known of all epochs
	topSeq     uint64 // in that
	topCeiling uint64
	holder     string // as told last

	held      bool
	epoch     uint64
	seq       uint64 // of the last write that was begun
	rev       uint64 // of the last that was stored
	floor     uint64
	ceiling   uint64 // of the last that was stored
	until     time.Duration
	base      time.Duration // offset of the clocks when that was sent
	mine      uint64        // the number of our last write, as the store answered it
	dry       time.Duration // since when there are no points; 0: there are
	had       bool          // there were
	bare      uint64        // then: descriptors for later seconds are without them
	pending   *write        // nil: none
	retry     time.Duration // not before
	writes    uint64        // so far
	beats     uint64        // entries so far
	sent      []beat        // the last of them
	beatAt    time.Duration // the next
	renewAt   time.Duration // likewise
	pollAt    time.Duration // likewise
	lookAt    time.Duration // likewise
	reading   bool          // the lease
	unread    bool          // something was written meanwhile
	writtenAt time.Duration // when that was heard
	readAt    time.Duration // when reading began
	members   map[string]*neighbour

	listed   []Point       // of those that are there
	listedTo time.Duration // until then, if nothing is heard
	stale    bool          // something was

	role Role
	told Members
	wake time.Duration
	out  []Command
}

// New makes a node's part. instance is random.
func New(node string, instance Instance, t Timing, now Moment) *Machine {
	m := &Machine{node: node, instance: instance, t: t, now: now, members: map[string]*neighbour{}}
	m.settle(now)
	return m
}

// Take gives the commands that are due, and forgets them.
func (m *Machine) Take() []Command {
	out := m.out
	m.out = nil
	return out
}

// Next is when Tick is due, by Mono.
func (m *Machine) Next() time.Duration { return m.wake }

// Tick says that time went by.
func (m *Machine) Tick(now Moment) { m.settle(now) }

// Holds says whether the node has the right to publish.
func (m *Machine) Holds(now Moment) bool {
	return m.held && !m.parting.leaving && now.Mono < m.until && (now.offset()-m.base).Abs() <= jump
}

// Role is what the node was last told to do.
func (m *Machine) Role() Role { return m.role }

// SetOwn says what the node brings.
func (m *Machine) SetOwn(o Own, now Moment) {
	o.Used, o.Stored = max(o.Used, m.own.Used), max(o.Stored, m.own.Stored)
	if !slices.Equal(m.own.Points, o.Points) || o.Used != m.own.Used || o.Stored != m.own.Stored {
		m.beatAt = 0
	}
	m.own = o
	m.settle(now)
}

func (m *Machine) do(c Command) { m.out = append(m.out, c) }
func (m *Machine) tell(e Event) { m.do(Told{e}) }

// due reports whether a time has come, and if not has the machine look again then.
func (m *Machine) due(at time.Duration) bool {
	if at <= m.now.Mono {
		return true
	}
	if m.wake == 0 || at < m.wake {
		m.wake = at
	}
	return false
}

// settle decides all that is due.
func (m *Machine) settle(now Moment) {
	m.now, m.wake = now, 0
	m.check()
	m.read()
	m.handOver()
	m.hold()
	m.take()
	m.beat()
	m.part()
	m.review()
	m.assign()
}

// check ends a right whose time is over.
func (m *Machine) check() {
	if m.held {
		switch {
		case (m.now.offset() - m.base).Abs() > jump:
			m.lose(Doubt)
		case m.due(m.until):
			m.lose(NotRenewed)
		}
	}
	if p := m.pending; p != nil && m.due(p.sent.Mono+lost) {
		m.pending = nil
		m.askAgain()
	}
}

func (m *Machine) lose(why string) {
	m.held, m.until = false, 0
	m.tell(Lost{m.epoch, why})
}

// askAgain has the lease read, after a write of which it is not known what became.
func (m *Machine) askAgain() {
	m.retry = m.now.Mono + again
	m.unread = true
}

// hold renews the lease, or gives it back.
func (m *Machine) hold() {
	if len(m.own.Points) > 0 {
		m.dry, m.had = 0, true
	} else if m.dry == 0 {
		m.dry, m.bare = max(m.now.Mono, 1), max(m.own.Used, m.membersUsed())
	}
	if !m.held || m.pending != nil {
		return
	}
	if !m.parting.leaving && m.dry != 0 && m.othersReady() && m.due(m.dry+idle) {
		m.lose(GivenBack) // and is not renewed
		return
	}
	if !m.due(m.retry) || !m.due(m.renewAt) {
		return
	}
	m.renewAt = m.now.Mono + m.t.Renew
	m.renew(max(m.ceiling, max(unix(m.now.Wall), m.own.Used)+Reserve), Heir{})
}

func (m *Machine) renew(ceiling uint64, heir Heir) {
	m.seq++
	m.store(Lease{
		Epoch: m.epoch, Sequence: m.seq, Holder: m.node, Instance: m.instance, Time: m.now.Wall, Ceiling: ceiling, Heir: heir,
	}, m.rev, m.floor, false)
}

// store asks for a write of the lease.
func (m *Machine) store(l Lease, expect, floor uint64, taking bool) {
	m.writes++
	m.pending = &write{m.writes, l, expect, m.now, floor, taking}
	m.do(WriteLease{m.writes, l, expect})
	m.due(m.now.Mono + lost)
}

// take asks for the lease when nobody can hold it.
func (m *Machine) take() {
	if m.held || m.pending != nil || m.parting.leaving || !m.seen.known || len(m.own.Points) == 0 || !m.due(m.retry) || !m.due(m.freeAt()) {
		return
	}
	m.retry = m.now.Mono + again
	floor := max(m.topCeiling, m.own.Used, m.membersUsed())
	m.seq = 1
	m.store(Lease{
		Epoch: max(m.topEpoch, m.seen.revision) + 1, Sequence: m.seq, Holder: m.node, Instance: m.instance, Time: m.now.Wall,
		Ceiling: max(floor, unix(m.now.Wall)) + Reserve,
	}, m.seen.revision, floor, true)
}

// freeAt is when nobody can hold the entry that was read last any more; at once if it is
// the node's own, by the number that the store gave it, or was left to it. That it looks like
// one of the node's is not enough: somebody may have stored it again.
func (m *Machine) freeAt() time.Duration {
	if m.inherits() {
		return m.seen.at
	}
	if l := m.seen.lease; m.mine != 0 && m.seen.revision == m.mine && l != nil && l.Instance == m.instance {
		return m.seen.at
	}
	return m.seen.at + m.t.Wait + m.rank()*m.t.Step
}

// Wrote says what became of a write: the number that it has, or an error. ErrConflict says
// that it was not stored; others leave it open.
func (m *Machine) Wrote(id, revision uint64, err error, now Moment) {
	p := m.pending
	if p == nil || p.id != id {
		return // given up
	}
	m.now = now
	m.pending = nil
	switch {
	case err == nil:
		m.put(p.lease, revision, p)
	case errors.Is(err, ErrConflict) && p.taking:
		m.tell(Refused{p.lease.Epoch})
		m.askAgain()
	default:
		m.askAgain()
	}
	m.settle(now)
}

// put: a write of ours was stored.
func (m *Machine) put(l Lease, revision uint64, p *write) {
	from := m.seen.lease
	m.note(&l)
	m.mine = revision
	if revision > m.seen.revision {
		m.seen = stored{known: true, revision: revision, lease: &l, at: m.now.Mono}
	}
	switch {
	case m.now.Mono >= p.sent.Mono+m.t.Lease || (m.now.offset()-p.sent.offset()).Abs() > jump:
		// The answer came too late: the node was stopped, or slept.
	case p.taking:
		m.begin(p, revision, from)
	case m.held && l.Epoch == m.epoch:
		m.renewed(&l, revision, p.sent)
	}
}

// begin: the lease is ours.
func (m *Machine) begin(p *write, revision uint64, before *Lease) {
	l, from, left := &p.lease, "", false
	if before != nil {
		from, left = before.Holder, before.Heir.Node != ""
	}
	m.held, m.epoch, m.rev, m.floor, m.ceiling = true, l.Epoch, revision, p.floor, l.Ceiling
	m.until, m.base = p.sent.Mono+m.t.Lease, p.sent.offset()
	m.renewAt = p.sent.Mono + m.t.Renew
	m.holder = m.node
	if o := m.members[from]; o != nil && (left || m.now.Mono-o.heard > fresh) {
		o.heard, m.stale = min(o.heard, m.now.Mono-m.t.Alive), true // whoever lost it is not there, until it is heard
	}
	m.tell(Taken{l.Epoch, from})
	m.due(m.until)
}

func (m *Machine) renewed(l *Lease, revision uint64, sent Moment) {
	m.rev, m.ceiling = revision, max(m.ceiling, l.Ceiling)
	if until := sent.Mono + m.t.Lease; until > m.until {
		m.until, m.base = until, sent.offset()
	}
}

// note keeps what was learned of all epochs.
func (m *Machine) note(l *Lease) {
	if l.Epoch > m.topEpoch {
		m.topEpoch, m.topSeq = l.Epoch, 0
	}
	if l.Epoch == m.topEpoch {
		m.topSeq = max(m.topSeq, l.Sequence)
	}
	m.topCeiling = max(m.topCeiling, l.Ceiling)
}
