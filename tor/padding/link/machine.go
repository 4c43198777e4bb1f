package link

import "time"

// Mode is what the user says of padding.
type Mode uint8

// The modes (C tor's option ConnectionPadding).
const (
	Auto Mode = iota // with relays that take part
	Off
	On // also towards relays that don't
)

// Policy is what the user and the consensus say; connections that are open follow a
// change of it.
type Policy struct {
	Mode    Mode
	Reduced bool // the relay doesn't pad, and we do less often
	Params  Params
}

// Usage is what a connection has been used for so far; it only ever rises.
type Usage uint8

// The usages.
const (
	Unused   Usage = iota // or for circuits of one hop
	Circuits              // a circuit of several hops was begun
	Traffic               // and a relay cell has come back since
)

// leastWait bounds how often Next wants to be asked.
const leastWait = time.Second

// negotiable is the link protocol from which on relays pad (padding-spec 2.2).
const negotiable = 5

// Machine decides for one connection. It is not safe for concurrent use.
type Machine struct {
	able   bool // the relay pads unless told not to
	pads   bool // the relay pads
	policy Policy
	draw   func(n int) int
	last   time.Duration // the activity that due was drawn for
	due    time.Duration // when to pad; below last: not drawn
}

// New makes the machine of a connection that has just opened. draw gives a uniform
// random number from 0 up to, without, n > 0; nobody may be able to predict it.
func New(linkVersion uint16, draw func(n int) int) *Machine {
	able := linkVersion >= negotiable
	return &Machine{able: able, pads: able, draw: draw, due: -1}
}

// Configure sets the policy, from now on, and says what to tell the relay of it.
// Before the first call nothing is padded.
func (m *Machine) Configure(p Policy) Negotiation {
	if p != m.policy {
		m.due = -1
	}
	m.policy = p
	want := m.able && p.Mode != Off && !p.Reduced
	if want == m.pads {
		return Negotiation{}
	}
	m.pads = want
	if want {
		return Negotiation{Start, p.Params.Low, p.Params.High}
	}
	return Negotiation{Command: Stop}
}

// Next says whether to send a PADDING cell now, and when to ask again. now and last,
// the time of the last cell either way, count from when the link opened; busy says
// that cells wait to be sent. wait is 0 if there is nothing to ask for until Configure.
//
// Asked as often as it wants, it knows of each activity before the padding for it can
// be due.
func (m *Machine) Next(now, last time.Duration, used Usage, busy bool) (pad bool, wait time.Duration) {
	low, high := m.bounds()
	if high == 0 {
		return false, 0
	}
	every := max(low, leastWait)
	switch enough := used == Traffic || used == Circuits && m.policy.Params.BeforeUse; {
	case !enough, busy:
		m.due = -1
		return false, every
	case m.due < 0 || last != m.last:
		m.last, m.due = last, last+m.pause(low, high)
	}
	if now >= m.due {
		m.due = -1
		return true, every
	}
	return false, min(m.due-now, every)
}

// bounds are those of a pause; high is 0 if we don't pad.
func (m *Machine) bounds() (low, high time.Duration) {
	p := &m.policy.Params
	if m.policy.Mode == Off || m.policy.Mode == Auto && !m.able || p.High == 0 {
		return 0, 0
	}
	if m.policy.Reduced && p.ReducedLow > 0 && p.ReducedHigh > 0 {
		return max(p.Low, p.ReducedLow), max(p.High, p.ReducedHigh)
	}
	return p.Low, p.High
}

// pause draws one, in whole milliseconds: the larger of two uniform ones.
func (m *Machine) pause(low, high time.Duration) time.Duration {
	if spread := int((high - low) / time.Millisecond); spread > 0 {
		low += time.Duration(max(m.draw(spread), m.draw(spread))) * time.Millisecond
	}
	return low
}
