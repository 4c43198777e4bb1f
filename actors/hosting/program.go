package hosting

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/supervisor"
	"chive/tor/onion"
)

// Accept takes a client's stream to a port; circuit is the id, in events, of the circuit that
// it came on, whose streams are all of one client. It does not wait.
type Accept func(circuit string, port uint16) (stream.Conn, error)

// Own is a service of the program that the node runs in: its streams go to the program, and
// no change of the configuration concerns it.
type Own struct {
	// Service says how it is hosted. Its ports have no targets; without a Dir nothing of it
	// is written anywhere.
	Service config.OnionService
	Key     *onion.SecretKey // without a Dir
	Address onion.Address
	Accept  Accept
	// Forget: when it is over, so is its memory. For a key that nobody else has.
	Forget bool

	program *Program // since Add

	mu      sync.Mutex
	allowed [][32]byte // those who alone may find it, beside those of the folder; none: everybody, unless it names some
	fresh   bool       // allowed is other than the actor knows
	state   Status
	changed chan struct{} // closed, and another put in its place, when the state is another
	leaving bool          // it is to end
	over    chan struct{} // closed: it has
}

// Status is what the service is doing, and a channel that is closed when that changes.
func (p *Own) Status() (Status, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.changed
}

// Over is closed when the service has ended and nothing of it is left but streams.
func (p *Own) Over() <-chan struct{} { return p.over }

func (p *Own) tell(s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = *s
	close(p.changed)
	p.changed = make(chan struct{})
}

// Allow has those alone find the service, beside those of its folder, or everybody if
// there are none at all. Before Add it says how the service begins; after, Look makes it known.
func (p *Own) Allow(clients [][32]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed, p.fresh = slices.Clone(clients), true
}

// clients are those of Allow.
func (p *Own) clients() [][32]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allowed
}

// takeFresh says, once, that Allow was called.
func (p *Own) takeFresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.fresh
	p.fresh = false
	return fresh
}

func (p *Own) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// serve is where a stream of a client goes; nil, and it is refused, when the service is to
// end. If the program has begun it anew the stream goes there: who was met keeps his circuit
// for a while, and does not know.
func (p *Own) serve(circuit string, port uint16) stream.Dial {
	if p.isLeaving() {
		if p = p.heir(port); p == nil {
			return nil
		}
	}
	return func(context.Context) (stream.Conn, error) { return p.Accept(circuit, port) }
}

// heir is the service that was begun anew with the address, if everybody may find it.
func (p *Own) heir(port uint16) *Own {
	for _, q := range p.program.all() {
		if q.Address == p.Address && !q.isLeaving() && q.Service.Dir == "" && len(q.clients()) == 0 &&
			slices.ContainsFunc(q.Service.Ports, func(o config.OnionPort) bool { return o.Port == port }) {
			return q
		}
	}
	return nil
}

// Program is what the program hosts, of one node. It outlives the actor, which looks at it
// when it starts and when it is told Look.
type Program struct {
	mu     sync.Mutex
	own    []*Own // those that are leaving too
	closed bool
}

// Look has the actor look at what the program hosts.
type Look struct{}

var (
	// ErrTaken: a service of this process has the address already.
	ErrTaken = errors.New("an onion service of this address is hosted by this process already")
	// ErrMany: the program hosts as many as it may.
	ErrMany = errors.New("too many onion services")
	// ErrOver: the node has ended.
	ErrOver = errors.New("the node has ended")
)

// Add puts a service among those of the program; Look makes it known. Errors: ErrTaken,
// ErrMany, ErrOver.
func (o *Program) Add(p *Own) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return ErrOver
	case len(o.own) >= config.MaxOnionServices:
		return ErrMany
	case !memories.claim(p.Address):
		return ErrTaken
	}
	p.program = o
	p.over, p.changed = make(chan struct{}), make(chan struct{})
	p.state = Status{Dir: p.Service.Dir, Address: p.Address.Host(), State: "starting", Ports: ports(&p.Service)}
	o.own = append(o.own, p)
	return nil
}

// Remove ends a service: from now on its streams are refused, and Look ends what is left.
func (*Program) Remove(p *Own) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
}

// Has says whether the program hosts a service of this address.
func (o *Program) Has(a onion.Address) bool {
	return slices.ContainsFunc(o.all(), func(p *Own) bool { return p.Address == a })
}

// Withdraw takes a service back that Look has not made known.
func (o *Program) Withdraw(p *Own) { o.gone(p) }

// Close ends all services, of a node whose actors are gone.
func (o *Program) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	for _, p := range o.all() {
		o.gone(p)
	}
}

func (o *Program) all() []*Own {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.own)
}

// gone: the service has ended. Its address is free from now on.
func (o *Program) gone(p *Own) {
	o.mu.Lock()
	i := slices.Index(o.own, p)
	if i >= 0 {
		o.own = slices.Delete(o.own, i, i+1)
	}
	o.mu.Unlock()
	if i >= 0 {
		memories.release(p.Address, p.Forget)
		close(p.over)
	}
}

// look has the services of the program be those that it hosts now; begins is when they begin.
func (h *hosting) look(ctx actor.Context, begins *lots) {
	for _, p := range h.o.Program.all() {
		i := slices.IndexFunc(h.entries, func(e *entry) bool { return e.own == p })
		switch leaving := p.isLeaving(); {
		case leaving && i >= 0:
			h.children.Forget(ctx, h.entries[i].id) // left is next
		case leaving:
			h.o.Program.gone(p) // it ended with an actor that was here before
		case i < 0:
			p.takeFresh()
			h.begin(ctx, p.Service, p, begins.draw())
		case p.takeFresh():
			_ = h.children.Pass(ctx, h.entries[i].id, &configured{p.Service}) // one that is started anew begins with it
		}
	}
}

// left: a service is no more. One of the program's that was to end has.
func (h *hosting) left(id string) {
	i := slices.IndexFunc(h.entries, func(e *entry) bool { return e.id == id && e.own != nil && e.own.isLeaving() })
	if i < 0 {
		return
	}
	own := h.entries[i].own
	h.entries = slices.Delete(h.entries, i, i+1)
	h.o.Program.gone(own)
}

// show has everybody see what the service is doing.
func (e *entry) show(s *Status) {
	if e.own != nil {
		if s.Address == "" {
			s.Address = e.own.Address.Host()
		}
		e.own.tell(s)
	}
	e.status.Store(s)
}

// FromProgram is Status.From of a service of the program.
const FromProgram = "program"

// FromTransient is Status.From of a service that was added for this run of the node.
const FromTransient = "transient"

// from is who says that the service is hosted.
func (e *entry) from() string {
	if e.own != nil {
		return FromProgram
	}
	if e.service.From == config.FromOperator {
		return FromTransient
	}
	return e.service.From.String()
}

// begin supervises a service, which begins after that time.
func (h *hosting) begin(ctx actor.Context, service config.OnionService, own *Own, after time.Duration) *entry {
	e := &entry{id: messages.RandomID(), service: service, own: own}
	e.first.Store(int64(after))
	e.show(&Status{ID: e.id, Dir: service.Dir, State: "starting"})
	h.entries = append(h.entries, e)
	h.children.Supervise(ctx, supervisor.Supervise{Name: e.id, Props: func() *actor.Props { return h.props(e) }})
	return e
}

// leave lets the streams of clients who were met go on to their ends.
func (a *serviceActor) leave(ctx actor.Context) {
	for token, u := range a.uses {
		if u.met {
			ctx.Send(a.h.o.Circuits, &circuits.Leave{Owner: ctx.Self(), Token: token})
		}
	}
}

// serving is how the streams of one circuit are served.
func (r *rules) serving(id string, number uint32) circuit.Serve {
	if r.own == nil {
		return r.exporting(number)
	}
	return func(port uint16, open int) circuit.Served {
		s := r.serve(port, open)
		if s.Dial != nil {
			s.Dial = r.own.serve(id, port)
		}
		return s
	}
}
