package share

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"chive/tor/onion/descriptor"
	"chive/tor/onion/host"
)

const (
	// MaxName is the length of a node's name in bytes, at most.
	MaxName = 64
	// MaxValue bounds a sealed value, in bytes.
	MaxValue = 16 << 10
	// MaxMembers is how many nodes share one service at most; others are not listened to.
	MaxMembers = 64
)

// ErrValue: what was stored cannot be used.
var ErrValue = errors.New("shared onion service: not a value")

// Instance names one run of a node's part; it is random.
type Instance [8]byte

// Lease is the value of the lease.
type Lease struct {
	Epoch    uint64 // grows with each holder
	Sequence uint64 // grows with each renewal
	Holder   string // the node
	Instance Instance
	// Ceiling is the end of the times that revisions of this epoch and all before may
	// follow from, in seconds of the Unix epoch.
	Ceiling uint64
	Time    time.Time // by the holder's clock
	Heir    Heir      // zero: none
}

// Heir is whom a holder that leaves gives the lease to: a run of a node's part that has
// just written its entry of that number. Another run cannot take it, nor this one later.
type Heir struct {
	Node     string // "": nobody
	Instance Instance
	Beat     uint64 // Member.Sequence
}

// same: is it the same write?
func (l *Lease) same(o *Lease) bool {
	return l.Epoch == o.Epoch && l.Sequence == o.Sequence && l.Instance == o.Instance
}

// Member is a node's entry.
type Member struct {
	Node     string
	Instance Instance
	Sequence uint64 // grows with each entry of an instance
	// Used is the latest second that a revision of the node's followed from.
	Used uint64
	// Stored is likewise of the descriptor that all directories have; 0: none.
	Stored uint64
	Time   time.Time           // by the node's clock
	Points []host.ForeignPoint // established; at most descriptor.MaxIntroPoints
}

const (
	kindLease  = 'L'
	kindMember = 'M'
)

func appendHead(b []byte, kind byte, name string, i Instance, numbers ...uint64) []byte {
	b = append(b, kind, byte(len(name)))
	b = append(append(b, name...), i[:]...)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// unix is a time in whole seconds; what is before 1970 counts as that.
func unix(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) }

func (l *Lease) append(b []byte) []byte {
	b = appendHead(b, kindLease, l.Holder, l.Instance, unix(l.Time), l.Epoch, l.Sequence, l.Ceiling)
	b = append(append(b, byte(len(l.Heir.Node))), l.Heir.Node...)
	return binary.BigEndian.AppendUint64(append(b, l.Heir.Instance[:]...), l.Heir.Beat)
}

func (m *Member) append(b []byte) ([]byte, error) {
	if len(m.Points) > descriptor.MaxIntroPoints {
		return nil, fmt.Errorf("%w: %d introduction points", ErrValue, len(m.Points))
	}
	b = appendHead(b, kindMember, m.Node, m.Instance, unix(m.Time), m.Sequence, m.Used, m.Stored)
	b = append(b, byte(len(m.Points)))
	for i := range m.Points {
		at := len(b)
		var err error
		if b, err = m.Points[i].AppendBinary(append(b, 0)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrValue, err)
		}
		n := len(b) - at - 1
		if n > host.MaxForeignPoint-1 {
			return nil, fmt.Errorf("%w: an introduction point of %d bytes", ErrValue, n)
		}
		b[at] = byte(n)
	}
	return b, nil
}

// reader takes a value apart. After the first thing that is missing all is empty.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.bad, r.rest = true, nil
		return make([]byte, n)
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() int      { return int(r.take(1)[0]) }
func (r *reader) number() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// count reads how many of something follow.
func (r *reader) count(most int) int {
	n := r.byte()
	if n > most {
		r.bad = true
		return 0
	}
	return n
}

// maxTime is the last second that is believed to be one: 9999.
const maxTime = 253402300799

func (r *reader) time() time.Time {
	n := r.number()
	r.bad = r.bad || n > maxTime
	return time.Unix(int64(min(n, maxTime)), 0).UTC()
}

func (r *reader) head(kind byte) (name string, i Instance, at time.Time) {
	r.bad = r.bad || r.byte() != int(kind)
	name = string(r.take(r.count(MaxName)))
	return name, Instance(r.take(len(i))), r.time()
}

func parseLease(b []byte) (l Lease, err error) {
	r := &reader{rest: b}
	l.Holder, l.Instance, l.Time = r.head(kindLease)
	l.Epoch, l.Sequence, l.Ceiling = r.number(), r.number(), r.number()
	l.Heir.Node = string(r.take(r.count(MaxName)))
	l.Heir.Instance, l.Heir.Beat = Instance(r.take(len(l.Instance))), r.number()
	if r.bad || len(r.rest) > 0 || l.Holder == "" || l.Ceiling > maxTime || l.Epoch == 0 || l.Epoch > maxEpoch {
		return Lease{}, fmt.Errorf("%w: lease", ErrValue)
	}
	return l, nil
}

// maxEpoch leaves room to grow.
const maxEpoch = 1 << 62

func parseMember(b []byte) (m Member, err error) {
	r := &reader{rest: b}
	m.Node, m.Instance, m.Time = r.head(kindMember)
	m.Sequence, m.Used, m.Stored = r.number(), r.number(), r.number()
	for range r.count(descriptor.MaxIntroPoints) {
		var p host.ForeignPoint
		if err := p.UnmarshalBinary(r.take(r.byte())); err != nil {
			return Member{}, fmt.Errorf("%w: %w", ErrValue, err)
		}
		m.Points = append(m.Points, p)
	}
	if r.bad || len(r.rest) > 0 || m.Node == "" || m.Used > maxTime || m.Stored > maxTime {
		return Member{}, fmt.Errorf("%w: member", ErrValue)
	}
	return m, nil
}
