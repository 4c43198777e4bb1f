package circuit

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/conflux"
)

// A conflux set is a circuit to its parent and to its streams, which it carries over its
// legs. Those are circuit actors and its children; it tells what comes from them to the
// state machine of tor/conflux and does what that says.
//
//	launched ── as many legs as wanted are linked ──► open ──► closing ──► gone
//	    │ a leg is gone: another, a few times          │ a leg is gone      ▲
//	    │                                              │ that was in use     │
//	    └──────────────────────────────────────────────┴─────────────────────┘
//
// A set is gone when its streams are and its legs are. Its parent chooses their paths.

// SetOptions is what the actor of a conflux set is made of.
type SetOptions struct {
	Options // of the set; no path, connections and timeouts
	Conflux conflux.Config
	Legs    []Options // of the first legs; Leg is set here

	legProps func(Options) *actor.Props // Props, but in tests
}

type (
	// AddLeg is the parent's answer to LegWanted; NoLeg says that there is none.
	AddLeg struct{ Options Options }
	NoLeg  struct{}
	// LinkLeg lets a leg that has opened be linked: its guard may be used.
	LinkLeg struct{ ID string }
	// ToLeg passes a message on to a leg.
	ToLeg struct {
		ID      string
		Message any
	}
	// LegWanted asks the parent for another leg. What else a leg tells its parent, the
	// set passes on to its own.
	LegWanted struct{ ID string }

	linkTimeout struct{ leg int }
	overloaded  struct{}
)

// setLeg is what a set knows of a leg.
type setLeg struct {
	id     string
	number int
	pid    *actor.PID
	timer  *kernel.Timer // LINKED must come before
	opened bool
	format cell.RelayFormat
	lost   bool // it is not of the set any more
	failed bool // its actor panicked
	gone   bool
	sent   int          // DATA messages
	out    *block.Block // messages of this turn
	ofSet  bool         // some of those have a place in the set's sequence
	used   time.Time    // when such went last; zero: never
}

// setActor is a circuit actor whose core has no hops.
type setActor struct {
	circuitActor
	conflux conflux.Config
	props   func(Options) *actor.Props // of a leg
	first   []Options
	flux    *conflux.Set
	legs    []*setLeg // by number
	alive   int       // legs that are not gone
	last    *setLeg   // that the last DATA went over
	root    *actor.RootContext
	failed  error // of a message that could not be routed
	held    heldMessages
	moved   bool // something that waited had its turn in this turn
}

// SetProps makes the actor of a conflux set.
func SetProps(o SetOptions) *actor.Props {
	return kernel.Props(func() actor.Actor {
		s := &setActor{
			circuitActor: *newCircuit(o.Options),
			conflux:      o.Conflux, props: Props, first: o.Legs,
		}
		if o.legProps != nil {
			s.props = o.legProps
		}
		s.set = s
		s.out = &block.Block{} // stays empty
		return s
	})
}

// Receive is the actor's table of messages.
func (s *setActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *block.Block:
		if m.Kind == block.MessagesIn {
			s.messages(ctx, m)
		} else {
			s.block(ctx, m)
		}
	case *stream.Consumed:
		s.consumed(m)
	case *LegStatus:
		s.observe(ctx, m)
	case *Attach:
		s.attachTo(ctx, m.Spec)
	case *stream.Finish:
		s.streamFinished(ctx, m)
	case *laneShed:
		s.shedLane(m)
	case *mayGoOn:
		s.pacing = nil
		s.unblock(ctx)
		s.flush()
	case *actor.Started:
		s.start(ctx)
	case *AddLeg:
		s.addLeg(ctx, m.Options)
	case *NoLeg:
		s.endSet(ctx, chivev1.Outcome_OUTCOME_NO_PATH, nil)
	case *LinkLeg:
		s.link(ctx, m.ID)
	case *ToLeg:
		s.toLeg(ctx, m)
	case *Opened:
		s.legOpened(ctx, m)
	case *LegSilent:
		s.legSilent(ctx, m)
	case *Slow, *Measured:
		ctx.Send(ctx.Parent(), m)
	case *linkTimeout:
		s.giveUp(ctx, s.legs[m.leg], chivev1.Outcome_OUTCOME_TIMEOUT)
	case *Gone:
		s.legGone(ctx, m)
	case *Close:
		if !s.stays(ctx, m.Outcome) {
			s.endSet(ctx, m.Outcome, nil)
		}
	case *overloaded:
		s.endSet(ctx, chivev1.Outcome_OUTCOME_OVERLOADED, nil)
	case *kernel.ChildFailed:
		s.childFailed(ctx, m)
	case *actor.Terminated:
		s.terminated(ctx, m.Who)
	case *actor.Stopping:
		s.stoppingSet(ctx)
	}
	if s.failed != nil {
		s.endSet(ctx, ofConflux(s.failed), s.failed)
	}
}

func (s *setActor) start(ctx actor.Context) {
	s.started, s.root = s.o.Now(), ctx.ActorSystem().Root
	var err error
	if s.flux, err = conflux.New(s.conflux); err == nil {
		s.core, err = circuit.Over(s, s.o.Flow, func() time.Duration { return s.o.Now().Sub(s.started) }, rand.Reader)
	}
	if err != nil {
		s.flux = nil
		s.endSet(ctx, chivev1.Outcome_OUTCOME_INTERNAL, err)
		return
	}
	self := ctx.Self()
	s.held.shed = func() { s.root.Send(self, &overloaded{}) }
	block.Join(&s.held)
	s.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, s.o.ID, &chivev1.CircuitSetLaunched{
		Purpose: s.o.Purpose, Legs: uint32(s.conflux.Params.Legs),
	}))
	for _, o := range s.first {
		s.addLeg(ctx, o)
	}
	s.first = nil
}

// addLeg launches a leg, if the set still wants one.
func (s *setActor) addLeg(ctx actor.Context, o Options) {
	number, ok := 0, false
	if !s.closing {
		number, ok = s.flux.Launch()
	}
	if !ok { // its parent counts it already
		ctx.Send(ctx.Parent(), &Gone{ID: o.ID, Outcome: chivev1.Outcome_OUTCOME_REPLACED})
		return
	}
	o.Leg = &Leg{Set: s.o.ID, Number: number}
	s.legs = append(s.legs, &setLeg{id: o.ID, number: number, pid: ctx.Spawn(s.props(o))})
	s.alive++
}

// drop lets go of messages that were not sent.
func (l *setLeg) drop() {
	if l.out != nil {
		l.out.Free()
		l.out = nil
	}
}

func (s *setActor) leg(id string) *setLeg {
	for _, l := range s.legs {
		if l.id == id && !l.gone {
			return l
		}
	}
	return nil
}

// toLeg passes a message on. A leg that is to be measured or closed is not of the set any
// more.
func (s *setActor) toLeg(ctx actor.Context, m *ToLeg) {
	l := s.leg(m.ID)
	if l == nil {
		return
	}
	ctx.Send(l.pid, m.Message)
	switch to := m.Message.(type) {
	case *Measure:
		s.lose(ctx, l, chivev1.Outcome_OUTCOME_TIMEOUT, false, "")
	case *Close:
		s.lose(ctx, l, to.Outcome, false, "")
	}
}

func (s *setActor) legOpened(ctx actor.Context, m *Opened) {
	if l := s.leg(m.ID); l != nil {
		l.opened, l.format = true, m.Format
	}
	ctx.Send(ctx.Parent(), m)
}

// link asks the exit to take a leg.
func (s *setActor) link(ctx actor.Context, id string) {
	l := s.leg(id)
	if l == nil || l.lost || s.closing {
		return
	}
	body, err := s.flux.Opened(nil, l.number, s.o.Now())
	if err != nil {
		s.endSet(ctx, ofConflux(err), err)
		return
	}
	s.put(l, cell.RelayConfluxLink, 0, body)
	s.flushLegs()
	l.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), s.conflux.MaxRTT, &linkTimeout{l.number})
}

// linked: the exit took a leg.
func (s *setActor) linked(ctx actor.Context, l *setLeg) {
	l.timer.Stop()
	s.put(l, cell.RelayConfluxLinkedAck, 0, nil)
	s.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, s.o.ID, &chivev1.CircuitLegLinked{
		CircuitId: l.id, RoundTrip: messages.Took(s.flux.RTT(l.number)),
	}))
	if s.flux.State() != conflux.Ready {
		return
	}
	s.opened = s.o.Now()
	s.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, s.o.ID, &chivev1.CircuitSetLinked{
		Legs: uint32(s.flux.Linked()), Took: messages.Took(s.opened.Sub(s.started)),
	}))
	ctx.Send(ctx.Parent(), &Opened{ID: s.o.ID, Took: s.opened.Sub(s.started)})
}

// giveUp ends a leg that answers too late.
func (s *setActor) giveUp(ctx actor.Context, l *setLeg, why chivev1.Outcome) {
	if l.lost || s.closing {
		return
	}
	ctx.Send(l.pid, &Close{Outcome: why})
	s.lose(ctx, l, why, false, "")
}

func (s *setActor) legGone(ctx actor.Context, m *Gone) {
	l := s.leg(m.ID)
	if l == nil {
		return
	}
	l.gone = true
	s.alive--
	ctx.Send(ctx.Parent(), m)
	s.lose(ctx, l, m.Outcome, m.Unacknowledged || s.recent(l), m.Cause)
	s.maybeGone(ctx)
}

// arrived is after what time a message counts as arrived that went over a leg which is lost
// now. SENDMEs tell it of every 31st cell only, and of none but DATA.
const arrived = time.Minute

// recent: may the exit lack what went over a leg lately? It would wait for it for ever,
// and with it all streams. (C tor takes the risk for what no SENDME is due for.)
func (s *setActor) recent(l *setLeg) bool {
	return !l.used.IsZero() && s.o.Now().Sub(l.used) < arrived
}

// lose takes a leg from the set: it gets another, goes on without it, or ends.
func (s *setActor) lose(ctx actor.Context, l *setLeg, why chivev1.Outcome, unacknowledged bool, cause string) {
	if l.lost {
		return
	}
	l.lost = true
	l.timer.Stop()
	l.drop()
	if s.closing {
		return
	}
	linked := s.flux.Leg(l.number) == conflux.LegLinked
	if cause != "" {
		s.cause = cause
	}
	s.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, s.o.ID, &chivev1.CircuitLegLost{CircuitId: l.id, Outcome: why, Linked: linked}))
	switch err := s.flux.LegClosed(l.number, unacknowledged); {
	case err != nil:
		if cause != "" {
			s.cause = cause
		}
		s.endSet(ctx, why, err)
	case s.flux.State() == conflux.Linking:
		ctx.Send(ctx.Parent(), &LegWanted{ID: s.o.ID})
	default:
		// The exit may not know yet, and answer over the leg that is gone: what is on the
		// set stays, and nothing new comes.
		ctx.Send(ctx.Parent(), &Tired{ID: s.o.ID})
		s.unblock(ctx)
		s.flush()
	}
}

// attachTo takes a stream once the set is linked.
func (s *setActor) attachTo(ctx actor.Context, spec *stream.Spec) {
	if s.closing || s.flux.State() != conflux.Ready {
		ctx.Send(ctx.Parent(), &StreamBack{ID: s.o.ID, Spec: spec})
		return
	}
	s.attach(ctx, spec)
}

// endSet ends the set and all its legs.
func (s *setActor) endSet(ctx actor.Context, out chivev1.Outcome, err error) {
	s.failed = nil
	if s.closing {
		return
	}
	if s.flux != nil {
		s.flux.Close()
		_ = s.core.Destroy(nil)
	}
	s.forgetMessages()
	for _, o := range s.first {
		ctx.Send(ctx.Parent(), &Gone{ID: o.ID, Outcome: chivev1.Outcome_OUTCOME_REPLACED})
	}
	s.first = nil
	for _, l := range s.legs {
		if !l.gone {
			ctx.Send(l.pid, &Close{Outcome: out})
		}
	}
	s.end(ctx, out, err)
}

// childFailed tells that the actor of a leg or a stream panicked. A leg is gone when it has
// cleaned up after itself (terminated).
func (s *setActor) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	for _, l := range s.legs {
		if l.gone || !l.pid.Equal(m.PID) {
			continue
		}
		s.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, l.id, &chivev1.ActorFailed{Reason: m.Site()}))
		l.failed = true
		s.lose(ctx, l, chivev1.Outcome_OUTCOME_INTERNAL, true, "")
		return
	}
	s.streamFailed(ctx, m)
}

func (s *setActor) terminated(ctx actor.Context, pid *actor.PID) {
	for _, l := range s.legs {
		if l.failed && !l.gone && l.pid.Equal(pid) {
			s.legGone(ctx, &Gone{ID: l.id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL, WasOpen: l.opened})
		}
	}
}

// stoppingSet cleans up after a panic; the legs stop by themselves.
func (s *setActor) stoppingSet(ctx actor.Context) {
	if s.told {
		return
	}
	s.forgetMessages()
	s.stopping(ctx)
}

// forgetMessages lets go of what waits, for the streams or for the legs.
func (s *setActor) forgetMessages() {
	block.Leave(&s.held)
	s.held.forget()
	for _, l := range s.legs {
		l.timer.Stop()
		l.drop()
	}
}

// ofConflux names why a set ended by itself.
func ofConflux(err error) chivev1.Outcome {
	switch {
	case errors.Is(err, conflux.ErrWaiting):
		return chivev1.Outcome_OUTCOME_OVERLOADED
	case errors.Is(err, conflux.ErrLegs): // those that failed otherwise say how
		return chivev1.Outcome_OUTCOME_TIMEOUT
	case errors.Is(err, conflux.ErrLost):
		return chivev1.Outcome_OUTCOME_CONNECTION_LOST
	case errors.Is(err, conflux.ErrUnexpected), errors.Is(err, conflux.ErrNonce), errors.Is(err, conflux.ErrSequence),
		errors.Is(err, cell.ErrTruncated), errors.Is(err, cell.ErrMalformed):
		return chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL
	default:
		return outcome.FromCircuit(err)
	}
}
