package share

import (
	"maps"
	"slices"
	"time"
)

// neighbour is another member.
type neighbour struct {
	Member
	heard  time.Duration
	former []Instance // of its former runs, whose entries are old
}

// behind is how long a server may be before it has what was heard.
const behind = 2 * time.Second

// maxFormer is how many former runs are known.
const maxFormer = 8

// read asks for what is stored.
func (m *Machine) read() {
	if m.gone {
		return
	}
	if m.reading && m.due(m.readAt+lost) {
		m.reading = false
	}
	if !m.reading && (m.unread || !m.held && m.due(m.pollAt)) {
		m.reading, m.unread, m.readAt = true, false, m.now.Mono
		m.pollAt = m.now.Mono + m.t.Poll
		m.do(ReadLease{})
		m.due(m.readAt + lost)
	}
	if m.due(m.lookAt) {
		m.lookAt = m.now.Mono + m.t.Look
		m.do(ReadMembers{})
		m.due(m.lookAt)
	}
}

// Written says that somebody wrote the lease, as far as could be heard.
func (m *Machine) Written(now Moment) {
	m.unread, m.writtenAt = true, now.Mono
	m.settle(now)
}

// ReadFailed: the lease could not be read.
func (m *Machine) ReadFailed(now Moment) {
	m.reading = false
	m.settle(now)
}

// LeaseRead says what is stored as the lease: its number (0: nothing ever was), and the
// lease, nil if there is none that can be believed. A server that follows another may tell
// what was before.
func (m *Machine) LeaseRead(l *Lease, revision uint64, now Moment) {
	m.now, m.reading = now, false
	refused := false
	if m.isNews(l, revision) {
		if l != nil && (l.Epoch < m.topEpoch || l.Epoch == m.topEpoch && l.Sequence <= m.topSeq) {
			l, refused = nil, true // what was before, stored again
		}
		m.seen = stored{known: true, revision: revision, lease: l, refused: refused, at: now.Mono}
		if l != nil {
			m.note(l)
		}
		m.compare(l, revision)
	} else if now.Mono-m.writtenAt < behind { // the server has not got it
		m.pollAt = min(m.pollAt, now.Mono+again)
	}
	m.settle(now)
}

// isNews: is it what was not read yet? Lower numbers are of a server that is behind; when
// there are no others for long, what was stored is lost. So it may be that a number is given
// twice.
func (m *Machine) isNews(l *Lease, revision uint64) bool {
	s := &m.seen
	switch {
	case !s.known || revision > s.revision:
		return true
	case revision == s.revision:
		s.lower = 0
		return l != nil && (s.lease == nil || !l.same(s.lease)) && !s.refused
	case s.lower == 0:
		s.lower = max(m.now.Mono, 1)
		return false
	}
	return m.now.Mono-s.lower >= m.t.Wait
}

// compare sees whether what is stored leaves the lease with us. A write of this epoch of
// ours, of which the store has not answered, does for as long as the right lasts: it gives
// none, for somebody else may have stored it.
func (m *Machine) compare(l *Lease, revision uint64) {
	ours := l != nil && l.Instance == m.instance && l.Holder == m.node
	if m.held && revision != m.rev && !(ours && l.Epoch == m.epoch) {
		m.lose(Replaced)
	}
	if !ours {
		m.publisher(l)
	}
}

// publisher tells of another holder.
func (m *Machine) publisher(l *Lease) {
	if l != nil && l.Holder != m.holder {
		m.holder = l.Holder
		m.tell(Changed{l.Epoch, l.Holder})
	}
}

// MemberHeard takes an entry as it was written.
func (m *Machine) MemberHeard(e Member, now Moment) { m.member(e, now, now.Mono) }

// MemberRead takes one that is stored, be it by a node that is no more: unless the node is
// heard, it does not count for long.
func (m *Machine) MemberRead(e Member, now Moment) {
	m.member(e, now, now.Mono-m.t.Alive+2*m.t.Beat)
}

func (m *Machine) member(e Member, now Moment, heard time.Duration) {
	m.now = now
	o := m.members[e.Node]
	switch {
	case e.Node == m.node || o == nil && len(m.members) >= MaxMembers:
		return
	case o == nil:
		o = &neighbour{heard: heard}
		m.members[e.Node] = o
	case o.Instance == e.Instance && e.Sequence <= o.Sequence, slices.Contains(o.former, e.Instance):
		return // what was before
	case o.Instance != e.Instance && m.alive(o) && !e.Time.After(o.Time):
		return // likewise, of a run that was not seen
	case o.Instance != e.Instance:
		o.former = append(o.former, o.Instance)
		o.former = o.former[max(0, len(o.former)-maxFormer):]
	}
	m.stale = m.stale || !m.alive(o) || !slices.Equal(o.Points, e.Points)
	o.Member, o.heard = e, max(o.heard, heard)
	m.settle(now)
}

func (m *Machine) alive(o *neighbour) bool { return m.now.Mono-o.heard < m.t.Alive }

// rank is how many members that are there come before this node.
func (m *Machine) rank() (n time.Duration) {
	for name, o := range m.members {
		if name < m.node && m.alive(o) && len(o.Points) > 0 {
			n++
		}
	}
	return n
}

func (m *Machine) othersReady() bool {
	for _, o := range m.members {
		if m.alive(o) && len(o.Points) > 0 {
			return true
		}
	}
	return false
}

// review tells who is there.
func (m *Machine) review() {
	var there Members
	for name, o := range m.members {
		if !m.alive(o) {
			if m.now.Mono-o.heard > time.Hour { // its former runs are too old to be believed soon
				delete(m.members, name)
			}
			continue
		}
		m.due(o.heard + m.t.Alive)
		there.Nodes++
		there.Points += len(o.Points)
	}
	if there != m.told {
		m.told = there
		m.tell(there)
	}
}

// assign says what the node may do, if that is another thing than before.
func (m *Machine) assign() {
	r := Role{Publish: m.held && !m.parting.leaving, Epoch: m.topEpoch, Holder: m.holder}
	if r.Publish {
		r.Epoch, r.Holder, r.Until, r.Floor, r.Ceiling = m.epoch, m.node, m.until, m.floor, m.ceiling
	} else if r.Holder == m.node {
		r.Holder = ""
	}
	r.Others = m.others()
	if !r.equal(&m.role) {
		m.role = r
		m.do(SetRole{r})
	}
}

// others are the points of the other members that are there. They are gathered anew when a
// member said something new, or would be gone had it said nothing since.
func (m *Machine) others() []Point {
	if !m.stale && m.now.Mono < m.listedTo {
		return m.listed
	}
	var all []Point
	m.stale, m.listedTo = false, m.now.Mono+m.t.Alive
	for _, name := range slices.Sorted(maps.Keys(m.members)) {
		if o := m.members[name]; m.alive(o) {
			m.listedTo = min(m.listedTo, o.heard+m.t.Alive)
			for _, p := range o.Points {
				all = append(all, Point{name, p})
			}
		}
	}
	m.listed = all
	return all
}

func (r *Role) equal(o *Role) bool {
	return r.Publish == o.Publish && r.Epoch == o.Epoch && r.Holder == o.Holder && r.Until == o.Until &&
		r.Floor == o.Floor && r.Ceiling == o.Ceiling && slices.Equal(r.Others, o.Others)
}
