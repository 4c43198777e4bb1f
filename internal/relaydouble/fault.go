package relaydouble

import "sync"

// Point is a place in the protocol where a Fault can strike. Unless said
// otherwise the fault acts before the relay's own handling.
type Point int

// The points, in the order in which a well-behaved session passes them.
const (
	AtAccept    Point = iota // TCP is accepted, TLS not yet begun
	AtTLS                    // TLS is up, nothing has been read
	AtVersions               // the client's VERSIONS is read, ours not yet sent
	AtLinked                 // the client's NETINFO is read: the link is open
	AtCreate                 // CREATE_FAST or CREATE2 came
	AtGrant                  // the message of an ntor-v3 answer is made (Moment.Reply)
	AtCreated                // the reply is made (Moment.Reply) and about to be sent
	AtExtend                 // EXTEND2 came; Moment.Hop is the hop that was asked
	AtExtended               // the reply is made (Moment.Reply) and about to be sent
	AtBegin                  // BEGIN or BEGIN_DIR came; Moment.Stream is new
	AtResolve                // RESOLVE came; Moment.Stream is new
	AtConnected              // CONNECTED is about to be sent
	AtDataIn                 // a DATA cell came (Moment.Data)
	AtDataOut                // a DATA cell is about to be sent (Moment.Data)
	AtSendmeIn               // a circuit-level SENDME came
	AtSendmeOut              // a circuit-level SENDME is about to be sent (Moment.Tag)
	AtEndIn                  // an END came
	AtDestroyIn              // a DESTROY came
	AtRelayOut               // any relay cell is about to be encrypted (Moment.BadDigest)
	points
)

// Fault runs Do when the relay passes the point At.
type Fault struct {
	Name  string               // key in Seen.Faults; empty is not counted
	At    Point                // where
	Nth   int                  // on the Nth passage only, 1 being the first, over the whole relay; 0: on each
	After bool                 // run Do after the relay's own handling instead of before it
	If    func(m *Moment) bool // passages that count; nil: all
	Do    Action               // what
}

// Action is what a Fault does. It returns whether the relay shall go on with what it
// was about to do; the result of an action that runs after that is ignored. It must
// not block: the circuit is locked while it runs.
type Action func(m *Moment) (goOn bool)

// Moment is the relay's state at a Point. Fields that the point does not have are
// nil or zero.
type Moment struct {
	Relay   *Relay
	Conn    *Conn
	Circuit *Circuit
	Stream  *Stream
	Hop     int    // index on the circuit, 0 being where it enters
	Reply   []byte // AtGrant, AtCreated, AtExtended: the handshake reply; may be replaced
	Tag     []byte // AtSendmeOut: the tag; may be changed in place
	Data    []byte // AtDataIn, AtDataOut: the payload; may be replaced

	BadDigest bool // AtRelayOut: set to send the cell with a wrong digest
}

// script holds the faults by point.
type script struct {
	mu     sync.Mutex
	faults [points][]*armed
}

type armed struct {
	Fault
	passed int
}

func newScript(faults []Fault) *script {
	s := new(script)
	for _, f := range faults {
		s.faults[f.At] = append(s.faults[f.At], &armed{Fault: f})
	}
	return s
}

// has tells whether a point has faults at all, so that the hot path can pass by.
func (s *script) has(at Point) bool { return len(s.faults[at]) != 0 }

// due returns the faults that strike at this passage, counting it.
func (s *script) due(at Point, m *Moment) []*armed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []*armed
	for _, f := range s.faults[at] {
		if f.If != nil && !f.If(m) {
			continue
		}
		f.passed++
		if f.Nth == 0 || f.Nth == f.passed {
			due = append(due, f)
		}
	}
	return due
}

// pass runs a point: the faults due, and between those before and those after it
// the relay's own handling.
func (r *Relay) pass(at Point, m Moment, handle func(*Moment)) {
	m.Relay = r
	if !r.script.has(at) {
		handle(&m)
		return
	}
	due := r.script.due(at, &m)
	goOn := true
	for _, f := range due {
		if !f.After {
			r.fired(f)
			goOn = f.Do(&m) && goOn
		}
	}
	if goOn {
		handle(&m)
	}
	for _, f := range due {
		if f.After {
			r.fired(f)
			f.Do(&m)
		}
	}
}

func (r *Relay) fired(f *armed) {
	if f.Name != "" {
		r.seen.update(func(s *Seen) { s.Faults[f.Name]++ })
	}
}
