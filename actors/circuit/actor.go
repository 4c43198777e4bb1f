package circuit

import (
	"crypto/rand"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/connection"
	"chive/actors/connections"
	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/conflux"
)

// Options is what a circuit actor is made of.
type Options struct {
	ID          string // actor id in events
	Path        []circuit.Hop
	Window      int // param circwindow
	Flow        circuit.FlowParams
	Purpose     chivev1.Purpose
	Connections *actor.PID
	// BuildTimeout is how long it may take from its CREATE on; CloseTimeout, at least
	// that, how long a later one is built on to measure it.
	BuildTimeout, CloseTimeout time.Duration
	Heard                      *atomic.Int64 // when cells arrived last, in Unix nanoseconds; nil: nobody asks
	Recorder                   *messages.Recorder
	Now                        func() time.Time
	Limits                     *limits.Limits // nil: none
	Onion                      *Onion         // nil: it is not for an onion service
	Totals                     *Totals        // nil: nobody counts
	Leg                        *Leg           // nil: it is a circuit of its own
}

// Leg says of which conflux set a circuit is to be a leg. The set is its parent.
type Leg struct {
	Set    string // actor id in events
	Number int    // among those of the set
}

type (
	// Attach gives the circuit a stream to carry. Only an open circuit is given
	// any; one that closes meanwhile hands it back, and for one that is gone Lost is
	// called, in any goroutine.
	Attach struct {
		Spec *stream.Spec
		Lost func()
	}
	// BuildTimeout changes how long the circuit may take to open; one that is open
	// has nothing to change.
	BuildTimeout struct{ Limit, Close time.Duration }
	// Measure tells a circuit that it will carry nothing: it ends when it is built,
	// or at CloseTimeout.
	Measure struct{}
	// Close asks the circuit to end.
	Close struct{ Outcome chivev1.Outcome }

	// Opened tells the parent that streams can be attached.
	Opened struct {
		ID     string
		Took   time.Duration    // from its CREATE
		Format cell.RelayFormat // of its last hop; not of a set
	}
	// Slow tells the parent that the circuit is later than BuildTimeout; it is
	// built on. FirstHop says that its guard has answered.
	Slow struct {
		ID       string
		FirstHop bool
	}
	// Measured tells the parent how long a circuit took that was told Measure;
	// Gone follows.
	Measured struct {
		ID   string
		Took time.Duration
	}
	// StreamBack gives the parent a stream that another circuit should carry.
	StreamBack struct {
		ID   string
		Spec *stream.Spec
	}
	// StreamDone tells the parent that one stream less is on the circuit.
	StreamDone struct {
		ID   string
		Spec *stream.Spec
	}
	// Tired tells the parent to attach no more streams: one got no answer, a conflux
	// set has lost a leg, or the circuit is over and waits for its streams.
	Tired struct{ ID string }
	// Gone tells the parent that the circuit is over; the actor stops. Dialled
	// says that the connection to the first hop was tried and failed.
	Gone struct {
		ID      string
		Outcome chivev1.Outcome
		Err     error
		WasOpen bool
		Dialled bool
		Hops    int  // that had answered
		Use     Use  // of one that was open
		Silent  bool // the connection was not lost, but the guard said nothing any more
		// Unacknowledged: what a leg carried may be lost with it.
		Unacknowledged bool
		Cause          string // id of the last event about it
	}

	buildTimeout struct{}
)

// Use says what came of the streams on a circuit, as tor/pathbias counts it.
type Use uint8

// The uses.
const (
	Unused     Use = iota
	Answered       // the far end answered the last stream that wanted an answer
	Unanswered     // it did not, nor a probe, or with words that a tampered cell would bring about
)

// lane is the circuit's side of one stream.
type lane struct {
	pid     *actor.PID
	spec    *stream.Spec
	pending []*block.Block // data the windows did not let go yet; at most the stream's credit
	finish  *finishing     // END when pending is empty; nil: its actor is not done
	sent    time.Time      // when data of it went last; zero: never
	reason  cell.EndReason // of that, to a client of ours
	blocked bool
	there   bool // the far end is
}

type circuitActor struct {
	o       Options
	core    *circuit.Circuit
	link    *connection.Link
	set     *setActor // nil: it is no conflux set, and has a link
	started time.Time
	began   time.Time // when CREATE was sent
	resumed time.Time // when one that was built ahead was extended; zero: it was not
	slow    bool      // later than BuildTimeout
	measure bool      // carries nothing
	opened  time.Time
	timer   *kernel.Timer
	cause   string

	out     *block.Block // control cells of this turn, not sent yet
	lanes   map[cell.StreamID]*lane
	actors  map[*stream.Spec]*actor.PID // of streams that have not finished
	blocked []cell.StreamID             // lanes that wait for a window, in turn
	spare   []cell.StreamID             // the other array of blocked
	posts   []post                      // of this turn
	slots   []slot                      // of this turn
	padding *kernel.Timer               // nil: none is due
	pacing  *kernel.Timer               // until a lane may send again that its far end's rate holds back
	dirty   bool

	answer  Use           // Unused until a stream was answered, or was not
	serve   Serve         // of a circuit on which a client of ours is met
	leaving *leaving      // nil: it does not end with the last stream
	waiting *atomic.Int64 // introductions that the owner has not looked at
	dropped *atomic.Uint64

	probe cell.StreamID // of the probe that is under way; 0: none is
	stay  staying

	closing bool
	told    bool
	out0    chivev1.Outcome // why it closes
	err     error
	dialled bool
	quiet   bool // the guard went silent
}

type post struct {
	pid *actor.PID
	msg any
}

// Props makes a circuit actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor {
		return newCircuit(o)
	})
}

// Drop implements kernel.Droppable: the circuit was gone before it heard of the stream.
func (m *Attach) Drop() {
	if m.Lost != nil {
		m.Lost()
	}
}

// Receive is the actor's table of messages.
func (c *circuitActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *block.Block:
		c.block(ctx, m)
	case *stream.Consumed:
		c.consumed(m)
	case *Attach:
		c.attach(ctx, m.Spec)
	case *stream.Finish:
		c.streamFinished(ctx, m)
	case *laneShed:
		c.shedLane(m)
	case *actor.Started:
		c.start(ctx)
	case *connections.Ready:
		c.build(ctx, m.Link)
	case *connections.Failed:
		c.dialled, c.cause = m.Dialled, m.Cause
		c.end(ctx, m.Outcome, m.Err)
	case *connection.Silent:
		c.silent(ctx, m.Cause)
	case *connection.Lost:
		c.link = nil
		c.end(ctx, m.Outcome, nil)
	case *mayGoOn:
		c.pacing = nil
		c.unblock(ctx)
		c.flush()
	case *Assign:
		c.assign(ctx, m)
	case *buildTimeout:
		c.late(ctx)
	case *BuildTimeout:
		c.hurry(ctx, m)
	case *Measure:
		c.measure = true
	case *Close:
		if !c.stays(ctx, m.Outcome) && !c.lingers(ctx, m.Outcome) && (!c.mustProbe(m.Outcome) || !c.sendProbe(ctx)) {
			c.end(ctx, m.Outcome, nil)
		}
	case *probeTimeout:
		c.end(ctx, chivev1.Outcome_OUTCOME_IDLE, nil)
	case *kernel.ChildFailed:
		c.streamFailed(ctx, m)
	case *actor.Stopping:
		c.stopping(ctx)
	default:
		if !c.host(ctx) {
			c.onion(ctx)
		}
	}
	c.left(ctx)
}

func (c *circuitActor) start(ctx actor.Context) {
	c.started = c.o.Now()
	c.o.CloseTimeout = max(c.o.CloseTimeout, c.o.BuildTimeout)
	c.arm(ctx)
	first := c.o.Path[0]
	ctx.Send(c.o.Connections, &connections.Want{
		Target:  connection.Target{IPv4: first.IPv4, IPv6: first.IPv6, RSA: first.RSA, Ed25519: first.Ed25519},
		Purpose: c.o.Purpose, Reply: ctx.Self(),
	})
}

// arm sets the timer for the limit that is next: while the connection is being
// made, and for a circuit that is late, CloseTimeout.
func (c *circuitActor) arm(ctx actor.Context) {
	since, limit := c.since(), c.o.BuildTimeout
	if since.IsZero() {
		since, limit = c.started, c.o.CloseTimeout
	}
	if c.slow {
		limit = c.o.CloseTimeout
	}
	c.timer.Stop()
	c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), limit-c.o.Now().Sub(since), &buildTimeout{})
}

// late is the end of a limit.
func (c *circuitActor) late(ctx actor.Context) {
	switch {
	case c.closing || !c.opened.IsZero():
	case c.began.IsZero() || c.slow || c.o.CloseTimeout <= c.o.BuildTimeout:
		c.end(ctx, chivev1.Outcome_OUTCOME_TIMEOUT, nil)
	default:
		c.slow = true
		ctx.Send(ctx.Parent(), &Slow{ID: c.o.ID, FirstHop: c.firstHop()})
		c.arm(ctx)
	}
}

func (c *circuitActor) firstHop() bool { return c.hops() > 0 }

func (c *circuitActor) hops() int {
	if c.core == nil {
		return 0
	}
	return c.core.Hops()
}

func (c *circuitActor) hurry(ctx actor.Context, m *BuildTimeout) {
	c.o.BuildTimeout, c.o.CloseTimeout = m.Limit, m.Close
	if !c.closing && c.opened.IsZero() {
		c.arm(ctx)
	}
}

func (c *circuitActor) build(ctx actor.Context, link *connection.Link) {
	if c.closing {
		return
	}
	id, err := link.Open(ctx.Self(), func() { c.launched(link) })
	if err != nil {
		c.end(ctx, chivev1.Outcome_OUTCOME_CONNECTION_LOST, err)
		return
	}
	c.link, c.began = link, c.o.Now()
	c.arm(ctx)
	if len(c.o.Path) > 1 {
		link.Cover()
	}
	c.core, err = circuit.NewCircuit(circuit.Config{
		ID: id, Path: c.o.Path, Window: c.o.Window, Rand: rand.Reader,
		Now: func() time.Duration { return c.o.Now().Sub(c.began) }, Linger: c.o.CloseTimeout, FlowParams: c.o.Flow,
		Leg: c.o.Leg != nil, Padding: c.paddingOf(),
	})
	if err != nil {
		link.Release(id, c.o.Now())
		c.core, c.link = nil, nil
		c.end(ctx, chivev1.Outcome_OUTCOME_INTERNAL, err)
		return
	}
	c.reserve()
	if c.out.Bytes, err = c.core.Start(c.out.Bytes); err != nil {
		c.end(ctx, outcome.FromCircuit(err), err)
		return
	}
	c.flush()
}

// launched reports that the circuit is on the link.
func (c *circuitActor) launched(link *connection.Link) {
	set := ""
	if c.o.Leg != nil {
		set = c.o.Leg.Set
	}
	path := c.relays()
	c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitLaunched{
		Purpose: c.o.Purpose, Hops: uint32(len(path)), ConnectionId: link.ID, Path: path, OneHop: len(path) == 1, SetId: set,
	}))
}

// extended and open report the milestones of building.
func (c *circuitActor) extended() {
	hop := c.core.Hops()
	facts := c.core.Facts(hop)
	c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitExtended{
		Hop: uint32(hop), Handshake: string(facts.Handshake), CongestionControl: facts.CongestionControl, Cgo: facts.CGO,
	}))
}

func (c *circuitActor) open(ctx actor.Context) {
	now := c.o.Now()
	c.extended()
	if c.measure {
		ctx.Send(ctx.Parent(), &Measured{ID: c.o.ID, Took: now.Sub(c.began)})
		c.end(ctx, chivev1.Outcome_OUTCOME_TIMEOUT, nil)
		return
	}
	c.timer.Stop()
	c.opened = now
	c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitOpened{
		Hops: uint32(c.core.Hops()), Took: messages.Took(c.opened.Sub(c.started)), CongestionControl: c.core.CongestionControl(),
		CgoHops: uint32(c.core.CGOHops()),
	}))
	if c.o.Leg != nil {
		c.reportLeg(ctx)
	}
	ctx.Send(ctx.Parent(), &Opened{ID: c.o.ID, Took: c.opened.Sub(c.since()), Format: c.core.Format()})
}

func (c *circuitActor) attach(ctx actor.Context, spec *stream.Spec) {
	if c.closing || c.core == nil || c.core.State() != circuit.Open {
		ctx.Send(ctx.Parent(), &StreamBack{ID: c.o.ID, Spec: spec})
		return
	}
	c.reserve()
	var (
		id  cell.StreamID
		err error
	)
	switch {
	case spec.Resolve:
		c.out.Bytes, id, err = c.core.Resolve(c.out.Bytes, spec.Target)
	case spec.Onion != nil:
		c.out.Bytes, id, err = c.core.BeginOnion(c.out.Bytes, spec.Port)
	case spec.Target == "":
		c.out.Bytes, id, err = c.core.BeginDir(c.out.Bytes)
	default:
		c.out.Bytes, id, err = c.core.Begin(c.out.Bytes, spec.Target, spec.Flags)
	}
	if err != nil {
		c.refuse(ctx, spec, err)
		return
	}
	if !c.dirty && users(c.o.Purpose) {
		c.dirty = true
		c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitDirtied{Isolation: spec.Isolation.Name()}))
	}
	c.carry(ctx, id, spec)
	c.flush()
}

// refuse answers a stream for which no BEGIN could be made: a target that does
// not fit one, or no free id.
func (c *circuitActor) refuse(ctx actor.Context, spec *stream.Spec, err error) {
	out := chivev1.Outcome_OUTCOME_REFUSED
	stream.Refuse(spec, out)
	c.o.Recorder.Emit(stream.EndedEvent(spec, out, c.o.Now(), 0, 0))
	ctx.Send(ctx.Parent(), &StreamDone{ID: c.o.ID, Spec: spec})
	ctx.Logger().Debug("stream refused", "circuit", c.o.ID, "err", err)
}

func (c *circuitActor) dropLane(id cell.StreamID, l *lane, end bool) {
	l.forget()
	delete(c.lanes, id)
	// What comes of another stream of that number in this turn is for another actor.
	c.slots = slices.DeleteFunc(c.slots, func(s slot) bool { return s.id == id })
	if !end || c.closing {
		return
	}
	c.follows(l)
	c.reserve()
	// The only errors are that the stream or the circuit ended meanwhile.
	if l.served() {
		c.out.Bytes, _ = c.core.EndFor(c.out.Bytes, id, l.reason)
		return
	}
	c.out.Bytes, _ = c.core.End(c.out.Bytes, id)
}

// end begins the end: the far side and the streams are told. The circuit is
// gone when the last stream is.
func (c *circuitActor) end(ctx actor.Context, out chivev1.Outcome, err error) {
	if c.closing {
		return
	}
	c.closing = true
	c.out0, c.err = out, err
	c.timer.Stop()
	c.pacing.Stop()
	c.padding.Stop()
	c.leave()
	if len(c.actors) > 0 { // and those end when their applications have read all, perhaps much later
		ctx.Send(ctx.Parent(), &Tired{ID: c.o.ID})
	}
	for id, l := range c.lanes {
		if l.pid != nil {
			ctx.Send(l.pid, &stream.CircuitGone{Outcome: out})
			continue
		}
		c.dropLane(id, l, false)
	}
	c.maybeGone(ctx)
}

// leave sends DESTROY and gives the circuit id back.
func (c *circuitActor) leave() {
	if c.set != nil {
		return // its legs do
	}
	if c.link == nil || c.core == nil {
		if c.out != nil {
			c.out.Free()
			c.out = nil
		}
		return
	}
	c.reserve()
	c.out.Bytes = c.core.Destroy(c.out.Bytes)
	c.flush()
	c.link.Release(c.core.ID(), c.o.Now())
	c.link = nil
}

func (c *circuitActor) maybeGone(ctx actor.Context) {
	if !c.closing || len(c.actors) > 0 || c.told || c.set != nil && c.set.alive > 0 {
		return
	}
	c.tell()
	ctx.Send(ctx.Parent(), &Gone{
		ID: c.o.ID, Outcome: c.out0, Err: c.err, WasOpen: !c.opened.IsZero(), Dialled: c.dialled,
		Hops: c.hops(), Use: c.use(), Cause: c.cause, Silent: c.quiet, Unacknowledged: c.o.Leg != nil && c.core != nil && c.core.Unacknowledged(),
	})
	ctx.Stop(ctx.Self())
}

// tell emits the terminal event, if the circuit was ever launched.
func (c *circuitActor) tell() {
	c.told = true
	now := c.o.Now()
	switch {
	case c.core == nil:
	case c.opened.IsZero():
		hop := min(c.core.Hops()+1, len(c.o.Path)) // all of them, if it was only measured
		c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitFailed{
			Outcome: c.out0, Hop: uint32(hop), Took: messages.Took(now.Sub(c.started)),
		}))
	default:
		var switched conflux.Counters
		if c.set != nil {
			switched = c.set.flux.Counters()
		}
		n := c.core.Counters()
		if c.probe != 0 {
			n.Streams-- // nobody asked for that one
		}
		c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitClosed{
			Outcome: c.out0, Lived: messages.Took(now.Sub(c.opened)), Streams: n.Streams,
			CellsIn: n.In, CellsOut: n.Out, CellsDropped: n.Dropped, PaddingIn: n.PaddingIn, PaddingOut: n.Padding,
			SwitchesIn: switched.SwitchesIn, SwitchesOut: switched.SwitchesOut, MostWaiting: messages.Bytes(uint64(switched.MostHeld)),
		}))
	}
}

// stopping cleans up after a panic; a circuit that ends in order has nothing
// left to do.
func (c *circuitActor) stopping(ctx actor.Context) {
	if c.told {
		return
	}
	c.closing = true
	c.out0 = chivev1.Outcome_OUTCOME_INTERNAL
	c.timer.Stop()
	c.pacing.Stop()
	c.padding.Stop()
	c.leave()
	for _, l := range c.lanes {
		l.forget()
	}
	if c.o.Leg != nil {
		c.tell() // its set may be failing, too
	}
}

func (c *circuitActor) emit(e *chivev1.Envelope) {
	c.cause = c.o.Recorder.Emit(messages.Because(e, c.cause, ""))
}
