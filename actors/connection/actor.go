package connection

import (
	"context"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
	padding "chive/tor/padding/link"
)

// Options is what a connection actor is made of.
type Options struct {
	ID       string // actor id in events
	Name     string // of the relay in those of its supervision
	Target   Target
	Purpose  chivev1.Purpose
	Attempt  uint32 // dials of this relay in a row, from 1
	Dialer   Dialer
	Recorder *messages.Recorder
	Now      func() time.Time
	Limit    time.Duration  // for the whole of dialling and handshakes; 0: dialTimeout
	Down     *limits.Bucket // for what the relay sends once the link is open; nil: no limit
	Padding  padding.Policy // until a Pad
	HalfLife time.Duration  // of what counts against a circuit when cells wait, until a Favour
}

// Messages to the parent, and Close from it; Pad and Favour are others.
type (
	// Up says that the link can be used.
	Up struct {
		ID   string
		Link *Link
	}
	// Down says that the connection is over; the actor stops.
	Down struct {
		ID      string
		Outcome chivev1.Outcome
		Err     error
		WasUp   bool
		Cause   string // id of the event that says so
	}
	// Favour changes how soon it is forgotten what circuits have sent: while cells wait, the
	// circuit that has sent the least goes first (tor/priority).
	Favour struct{ HalfLife time.Duration }
	// Close asks the connection to end, with the outcome to report.
	Close struct{ Outcome chivev1.Outcome }
)

// What the actor's goroutines tell it.
type (
	dialDone struct {
		res dialled
		err error
	}
	pumpDone struct{ err error }
)

// Drop implements kernel.Droppable: the actor ended while it was dialled.
func (m *dialDone) Drop() {
	if m.res.conn != nil {
		_ = m.res.records.Close() // nobody has used it
	}
}

type connection struct {
	o       Options
	started time.Time
	opened  time.Time
	cancel  context.CancelFunc // ends the dialling
	link    *Link
	over    bool
	cause   string // event id that later events follow from

	padding  *padding.Machine // nil until the link is open
	padTimer *kernel.Timer
	ear      ear
}

// Props makes a connection actor; its parent gets Up and Down.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return &connection{o: o} })
}

// Receive is the actor's table of messages.
func (c *connection) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		c.start(ctx)
	case *dialDone:
		c.dialDone(ctx, m)
	case *pumpDone:
		c.end(ctx, pumpOutcome(m.err), m.err)
	case *Doubt:
		c.doubt()
	case *listen:
		c.listen(ctx)
	case *padNow:
		c.padNow(ctx)
	case *Pad:
		c.pad(ctx, m.Policy)
	case *Favour:
		c.favour(m.HalfLife)
	case *Close:
		c.end(ctx, m.Outcome, nil)
	case *actor.Stopping:
		c.end(ctx, chivev1.Outcome_OUTCOME_SHUTDOWN, nil)
	}
}

func (c *connection) start(ctx actor.Context) {
	c.started = c.o.Now()
	at, _ := c.o.Dialer.Address(c.o.Target) // else the dial says so
	c.cause = c.emit(messages.Event(chivev1.Kind_KIND_CONNECTION, c.o.ID, &chivev1.ConnectionDialled{
		Purpose: c.o.Purpose, Attempt: c.o.Attempt,
		Relay: c.o.Target.RSA[:], Address: at.String(),
	}))
	limit := dialTimeout
	if c.o.Limit > 0 {
		limit = min(limit, c.o.Limit)
	}
	dialCtx, cancel := context.WithTimeout(context.Background(), limit)
	c.cancel = cancel
	root, self := ctx.ActorSystem().Root, ctx.Self()
	kernel.Go("connection dial", func() {
		res, err := c.o.Dialer.dial(dialCtx, c.o.Target, c.o.Now)
		root.Send(self, &dialDone{res, err})
	}, func(p *kernel.Panic) { root.Send(self, &dialDone{err: p}) })
}

func (c *connection) dialDone(ctx actor.Context, m *dialDone) {
	c.cancel()
	if m.err != nil {
		c.end(ctx, outcome.FromDial(m.err), m.err)
		return
	}
	if c.over {
		m.Drop() // nobody wants it any more
		return
	}
	c.opened = c.o.Now()
	root, self := ctx.ActorSystem().Root, ctx.Self()
	link := newLink(c.o.ID, m.res, root, c.opened)
	link.favour(c.o.HalfLife)
	c.link = link
	c.cause = c.emit(messages.Event(chivev1.Kind_KIND_CONNECTION, c.o.ID, &chivev1.ConnectionOpened{
		LinkVersion: uint32(m.res.peer.Version), Took: messages.Took(c.opened.Sub(c.started)),
		ClockSkew: messages.Skew(m.res.peer.Skew),
	}))
	failed := func(p *kernel.Panic) { root.Send(self, &pumpDone{p}) }
	conn, carry, records := m.res.conn, m.res.carry, m.res.records
	records.limit, records.stop, link.owner = c.o.Down, link.done, self
	records.writeAtOnce()
	kernel.Go("connection reader", func() { root.Send(self, &pumpDone{link.read(conn, records, carry)}) }, failed)
	kernel.Go("connection writer", func() { root.Send(self, &pumpDone{link.write()}) }, failed)
	c.beginPadding(ctx)
	ctx.Send(ctx.Parent(), &Up{ID: c.o.ID, Link: link})
}

// end is the only way out: once, whatever came first.
func (c *connection) end(ctx actor.Context, out chivev1.Outcome, err error) {
	if c.over {
		return
	}
	c.over = true
	c.padTimer.Stop()
	c.ear.timer.Stop()
	if c.cancel != nil {
		c.cancel()
	}
	var said string
	if c.link == nil {
		said = c.emit(messages.Event(chivev1.Kind_KIND_CONNECTION, c.o.ID, &chivev1.ConnectionFailed{
			Outcome: out, Took: messages.Took(c.o.Now().Sub(c.started)),
		}))
	} else {
		circuits := c.link.Shut(out)
		sent, received := c.link.Padding()
		said = c.emit(messages.Event(chivev1.Kind_KIND_CONNECTION, c.o.ID, &chivev1.ConnectionClosed{
			Outcome: out, Lived: messages.Took(c.o.Now().Sub(c.opened)), Circuits: circuits,
			PaddingSent: messages.Cells(sent), PaddingReceived: messages.Cells(received),
		}))
	}
	if p := ctx.Parent(); p != nil {
		ctx.Send(p, &Down{ID: c.o.ID, Outcome: out, Err: err, WasUp: c.link != nil, Cause: said})
	}
	ctx.Stop(ctx.Self())
}

func (c *connection) favour(halfLife time.Duration) {
	if c.o.HalfLife = halfLife; c.link != nil {
		c.link.favour(halfLife)
	}
}

func (c *connection) emit(e *chivev1.Envelope) string {
	return c.o.Recorder.Emit(messages.Because(e, c.cause, ""))
}

func pumpOutcome(err error) chivev1.Outcome {
	var p *kernel.Panic
	switch {
	case errors.As(err, &p):
		return chivev1.Outcome_OUTCOME_INTERNAL
	case errors.Is(err, errProtocol):
		return chivev1.Outcome_OUTCOME_LINK_PROTOCOL
	default:
		return chivev1.Outcome_OUTCOME_CONNECTION_LOST
	}
}
