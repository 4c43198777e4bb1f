package share

import (
	"maps"
	"slices"
	"time"
)

// How a node leaves.
//
//	           withdraws its entry              another takes it, or     the points of the node
//	                                            the time is over         are listed no more
//	taking part ──────────────► has the lease ─────────► has it not ──────────────► parted
//
// A holder that leaves publishes no more, renews the lease until somebody whom it hears is
// there to inherit it, and stores one that names him: the run of a node, and the entry by
// which it was heard. The heir may take that at once, if no longer than Timing.Heir went by
// since it sent that entry. For everybody else it is a lease like any other, that is waited
// for.
//
// So what names an heir is of no use to who stores it again: the heir has seen it, or its time
// is over. And what he keeps back for a while is not either: that one is named at all says
// that the holder had the right for longer than Timing.Heir, so nobody who waited can have
// taken the lease before the heir's time is over.

const (
	// heirTime is how long a holder that leaves looks for an heir.
	heirTime = 2500 * time.Millisecond
	// recent: so lately heard nodes have most of Timing.Heir left.
	recent = 500 * time.Millisecond
	// partTime is how long a node that leaves keeps its introduction points at most.
	partTime = 8 * time.Second
	// hurry is how long after an entry another may follow that was not due.
	hurry = 200 * time.Millisecond
	// maxSent is how many of its own entries a node knows the time of.
	maxSent = 8
)

// beat is one entry of the node's own.
type beat struct {
	sequence uint64
	sent     Moment
}

// parting is the state of a node that leaves.
type parting struct {
	leaving   bool
	at        time.Duration // since when
	withdrawn bool
	mark      uint64 // descriptors for later seconds are without the node's points
	bare      bool   // it has none, so mark may be passed already
}

// Leave ends the node's part: it takes its entry away, and has another take the lease if it
// holds it. Parted is the last command.
func (m *Machine) Leave(now Moment) {
	if m.parting.leaving {
		return
	}
	m.parting = parting{leaving: true, at: now.Mono}
	switch {
	case len(m.own.Points) == 0:
		m.parting.bare, m.parting.mark = true, m.bare
	case m.held:
		m.parting.mark = m.ceiling
	default:
		m.parting.mark = m.membersUsed()
	}
	m.settle(now)
}

// membersUsed is the latest second that a revision of another member's followed from.
func (m *Machine) membersUsed() (used uint64) {
	for _, o := range m.members {
		used = max(used, o.Used)
	}
	return used
}

// handOver leaves the lease to another.
func (m *Machine) handOver() {
	if !m.parting.leaving || !m.held {
		return
	}
	if !m.othersReady() || m.due(m.parting.at+heirTime) {
		m.lose(GivenBack) // and is not renewed
		return
	}
	heir := m.heir()
	if m.pending != nil || heir.Node == "" {
		return
	}
	if m.until-m.now.Mono < m.t.Heir+jump {
		m.renewAt = min(m.renewAt, m.now.Mono)
		return
	}
	m.lose(GivenBack)
	m.renew(m.ceiling, heir)
}

// heir is who was heard since, a moment ago, and has introduction points.
func (m *Machine) heir() Heir {
	for _, name := range slices.Sorted(maps.Keys(m.members)) {
		if o := m.members[name]; len(o.Points) > 0 && o.heard >= m.parting.at && m.now.Mono-o.heard <= recent {
			return Heir{name, o.Instance, o.Sequence}
		}
	}
	return Heir{}
}

// inherits: was the entry that was read last left to this node, and is there time?
func (m *Machine) inherits() bool {
	l := m.seen.lease
	if l == nil || l.Heir.Node != m.node || l.Heir.Instance != m.instance {
		return false
	}
	i := slices.IndexFunc(m.sent, func(b beat) bool { return b.sequence == l.Heir.Beat })
	return i >= 0 && m.now.Mono < m.sent[i].sent.Mono+m.t.Heir && (m.now.offset()-m.sent[i].sent.offset()).Abs() <= jump
}

// MemberGone: a node took its entry away. If it is who publishes it looks for an heir.
func (m *Machine) MemberGone(node string, now Moment) {
	o := m.members[node]
	if o == nil || !m.alive(o) {
		return
	}
	o.heard, m.stale = now.Mono-m.t.Alive, true
	if node == m.holder {
		m.beatAt = min(m.beatAt, m.beatAt-m.t.Beat+hurry)
	}
	m.settle(now)
}

// beat says that the node is there, or is not any more.
func (m *Machine) beat() {
	if m.parting.leaving {
		if !m.parting.withdrawn {
			m.parting.withdrawn = true
			m.do(Withdraw{})
		}
		return
	}
	if !m.due(m.beatAt) {
		return
	}
	m.beats++
	m.beatAt = m.now.Mono + m.t.Beat
	m.sent = append(m.sent[max(0, len(m.sent)-maxSent+1):], beat{m.beats, m.now})
	m.do(WriteMember{Member{
		Node: m.node, Instance: m.instance, Sequence: m.beats, Used: m.own.Used, Stored: m.own.Stored, Time: m.now.Wall, Points: m.own.Points,
	}})
	m.due(m.beatAt)
}

// part ends the part of a node that leaves.
func (m *Machine) part() {
	if !m.parting.leaving || m.gone || m.held {
		return
	}
	if (m.listedStill() || m.leavesIt()) && !m.due(m.parting.at+partTime) {
		return
	}
	m.gone = true
	m.do(Parted{})
}

// listedStill: are there points of the node that clients find, and somebody who can do without?
func (m *Machine) listedStill() bool {
	p := &m.parting
	if !m.othersReady() || p.bare && (!m.had || m.own.Stored > p.mark) {
		return false
	}
	for _, o := range m.members {
		if (p.bare || m.alive(o)) && o.Stored > p.mark {
			return false
		}
	}
	return true
}

// leavesIt: is the lease that names an heir on its way?
func (m *Machine) leavesIt() bool { return m.pending != nil && m.pending.lease.Heir.Node != "" }
