package ingress

import (
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/socks"
)

// Program takes the requests of the program that the node runs in: they come as calls, and
// no socket is bound. Rules, limits, isolation and events are as a listener's; its
// streams name no listener.
type Program struct{ l *listener }

// NewProgram makes it of Options without Bind and OnOpen.
func NewProgram(o Options) *Program {
	p := &Program{&listener{o: o}}
	p.l.id.Store(new(string))
	return p
}

// AskKind is what a program wants.
type AskKind uint8

// The kinds.
const (
	AskConnect AskKind = iota // a stream to Host and Port
	AskResolve                // the addresses of Host
	AskReverse                // the names of Host, an address
)

// Ask is a request of the program.
type Ask struct {
	ID         string // of the stream, as messages.RandomID gives it
	Kind       AskKind
	Host       string // a name or an IP literal
	Port       uint16 // to connect to
	IPv4, IPv6 bool   // what an exit may use
	// Viewed requests share circuits only with those of the same View, and others only with
	// others.
	Viewed bool
	View   string
	Conn   stream.Conn  // the node's end of AskConnect; nil for the others
	Tell   func(Answer) // called exactly once, from any goroutine; it must be quick

	told atomic.Bool
}

// Answer is what becomes of an Ask. With OUTCOME_OK of AskConnect the stream is there.
type Answer struct {
	Outcome chivev1.Outcome
	Addrs   []netip.Addr
	Names   []string
}

func (q *Ask) tell(a Answer) {
	if !q.told.Swap(true) {
		q.Tell(a)
	}
}

// Refuse answers a request that nobody heard of.
func (q *Ask) Refuse(o chivev1.Outcome) {
	if q.Conn != nil {
		_ = q.Conn.Close() // nothing was said on it
	}
	q.tell(Answer{Outcome: o})
}

// Serve answers a request, or sees to it that a stream does. It does not wait.
func (p *Program) Serve(root *actor.RootContext, q *Ask) {
	rules := p.l.o.Rules.Load()
	a, out := askedByProgram(rules, q)
	if a == nil {
		id := q.ID
		if id == "" {
			id = messages.RandomID()
		}
		p.l.turnedAway(id, out)
		q.Refuse(out)
		return
	}
	conn := q.Conn
	if conn == nil {
		conn = &answerConn{write: func([]byte) error { return nil }, close: func() {}}
	}
	p.l.serve(root, rules, a, conn, nil, netip.AddrPort{})
}

func askedByProgram(rules *Rules, q *Ask) (*asked, chivev1.Outcome) {
	host, isIP, err := socks.ParseHost(q.Host)
	switch {
	case errors.Is(err, socks.ErrOnionAddress), errors.Is(err, socks.ErrOnionV2):
		return nil, chivev1.Outcome_OUTCOME_ONION_ADDRESS
	case err != nil, q.Kind == AskReverse && !isIP, q.Kind == AskConnect && q.Port == 0:
		return nil, chivev1.Outcome_OUTCOME_REFUSED
	}
	a := &asked{
		id: q.ID, protocol: "program connect", auth: []string{"none", ""},
		host: host, port: q.Port, resolve: q.Kind == AskResolve, reverse: q.Kind == AskReverse,
		family: familyOf(rules.Port),
	}
	a.family.v4, a.family.v6 = a.family.v4 && q.IPv4, a.family.v6 && q.IPv6
	if q.Kind != AskConnect {
		a.protocol, a.port = "program resolve", 0
	}
	if isIP {
		a.addr, _ = netip.ParseAddr(host) // it is canonical
	}
	if q.Viewed {
		a.auth = []string{"view", q.View}
		a.named, a.user = true, q.View
	}
	a.filter = &answers{family: a.family, rejectInternal: rules.RejectAnswers}
	a.front = &frontProgram{answers: a.filter, q: q}
	return a, chivev1.Outcome_OUTCOME_OK
}

// frontProgram tells a program what becomes of its request. On the stream itself
// nothing is said.
type frontProgram struct {
	*answers
	q *Ask
}

func (f *frontProgram) Connected(netip.Addr) []byte {
	f.q.tell(Answer{Outcome: chivev1.Outcome_OUTCOME_OK})
	return nil
}

func (f *frontProgram) Refused(o chivev1.Outcome) []byte {
	f.q.tell(Answer{Outcome: o})
	return nil
}

// Resolved tells all that may be told, each once.
func (f *frontProgram) Resolved(all []cell.Answer) ([]byte, chivev1.Outcome) {
	told := Answer{Outcome: chivev1.Outcome_OUTCOME_OK}
	for _, a := range all {
		one := []cell.Answer{a}
		if f.q.Kind == AskReverse {
			if name, ok := f.name(one); ok {
				told.Names = append(told.Names, name)
			}
		} else if addr, ok := f.address(one); ok {
			told.Addrs = append(told.Addrs, addr)
		}
	}
	if len(told.Names) == 0 && len(told.Addrs) == 0 {
		told.Outcome = chivev1.Outcome_OUTCOME_RESOLVE_FAILED
	}
	f.q.tell(told)
	return nil, told.Outcome
}
