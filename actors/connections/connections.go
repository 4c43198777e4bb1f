// Package connections is the actor that owns all connections, one a relay. It
// dials when a circuit wants a relay, shares what is open, and decides *when*
// a relay that failed may be tried again (policy.go: backoff and breaker a
// relay, retry budget a purpose, quarantine). Which relay is wanted is never its
// business (rule 0).
//
// Messages it understands: Want (answered with Ready or Failed, once),
// Forgive, Close. From its children: connection.Up, connection.Down,
// kernel.ChildFailed.
package connections

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/supervisor/retry"
)

// idleLimit is how long a connection without circuits is kept.
const idleLimit = 3 * time.Minute

// sweepEvery is how often idle connections are looked for.
const sweepEvery = 30 * time.Second

// Options is what the actor is made of.
type Options struct {
	Dialer   connection.Dialer
	Recorder *messages.Recorder
	Now      func() time.Time
	Rand     *rand.Rand // for jitter; used by this actor only
}

type (
	// Want asks for a link to a relay.
	Want struct {
		Target  connection.Target
		Purpose chivev1.Purpose
		Reply   *actor.PID
		Token   uint64 // given back in the answer
	}
	// Ready answers a Want: the link is open.
	Ready struct {
		Token uint64
		Link  *connection.Link
	}
	// Failed answers a Want: there is no link. Dialled says that the outgoing
	// connection was tried for this and failed: only that may count against a
	// guard.
	Failed struct {
		Token   uint64
		Outcome chivev1.Outcome
		Err     error
		Dialled bool
	}
	// Forgive forgets every failure: relays may be tried at once.
	Forgive struct{}
	// Close ends all connections; Closed is sent when none is left.
	Close struct{ Reply *actor.PID }
	// Closed answers Close.
	Closed struct{}
	sweep  struct{}
)

type connections struct {
	o          Options
	relays     map[[20]byte]*entry
	byPID      map[string]*entry
	budgets    *retry.Budgets[chivev1.Purpose]
	quarantine *supervisor.Quarantine
	closing    *Close
	timer      *kernel.Timer
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return newConnections(o) })
}

func newConnections(o Options) *connections {
	c := &connections{
		o: o, relays: map[[20]byte]*entry{}, byPID: map[string]*entry{},
		budgets: retry.NewBudgets[chivev1.Purpose](retry.BudgetConfig{Now: o.Now}),
	}
	c.quarantine = c.newQuarantine()
	return c
}

// Receive is the actor's table of messages.
func (c *connections) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), sweepEvery, &sweep{})
	case *Want:
		c.want(ctx, m)
	case *connection.Up:
		c.up(ctx, m)
	case *connection.Down:
		c.down(ctx, m)
	case *kernel.ChildFailed:
		c.childFailed(ctx, m)
	case *Forgive:
		c.forgive()
	case *sweep:
		c.sweep(ctx)
	case *Close:
		c.close(ctx, m)
	case *actor.Stopping:
		c.timer.Stop()
	}
}

func (c *connections) want(ctx actor.Context, w *Want) {
	if c.closing != nil {
		ctx.Send(w.Reply, &Failed{Token: w.Token, Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN, Err: connection.ErrClosed})
		return
	}
	e := c.relays[w.Target.RSA]
	if e == nil {
		e = c.newEntry(w.Target.RSA)
		c.relays[w.Target.RSA] = e
	}
	switch {
	case e.link != nil:
		c.answer(ctx, e, w)
	case e.pid != nil:
		e.waiting = append(e.waiting, w)
	default:
		c.dial(ctx, e, w)
	}
}

// answer gives an open link to who wants it, if the relay proved what this one
// asks for: an earlier one may have asked for less.
func (c *connections) answer(ctx actor.Context, e *entry, w *Want) {
	if w.Target.Ed25519 != ([32]byte{}) && e.link.Peer.Ed25519 != w.Target.Ed25519 {
		ctx.Send(w.Reply, &Failed{
			Token: w.Token, Outcome: chivev1.Outcome_OUTCOME_RELAY_IDENTITY, Dialled: true,
			Err: errors.New("the relay proved another Ed25519 identity"),
		})
		return
	}
	ctx.Send(w.Reply, &Ready{Token: w.Token, Link: e.link})
}

func (c *connections) dial(ctx actor.Context, e *entry, w *Want) {
	permit, out, err := c.admit(e, w.Purpose)
	if err != nil {
		ctx.Send(w.Reply, &Failed{Token: w.Token, Outcome: out, Err: err})
		return
	}
	e.permit, e.id = permit, messages.RandomID()
	e.waiting = append(e.waiting, w)
	e.pid = ctx.Spawn(connection.Props(connection.Options{
		ID: e.id, Target: w.Target, Purpose: w.Purpose, Attempt: e.failures + 1,
		Dialer: c.o.Dialer, Recorder: c.o.Recorder, Now: c.o.Now,
	}))
	c.byPID[e.id] = e
}

func (c *connections) up(ctx actor.Context, m *connection.Up) {
	e := c.byPID[m.ID]
	if e == nil {
		return
	}
	e.link = m.Link
	c.healthy(e)
	waiting := e.waiting
	e.waiting = nil
	for _, w := range waiting {
		c.answer(ctx, e, w)
	}
}

func (c *connections) down(ctx actor.Context, m *connection.Down) {
	e := c.byPID[m.ID]
	if e == nil {
		return
	}
	delete(c.byPID, m.ID)
	waiting := e.waiting
	e.pid, e.link, e.waiting = nil, nil, nil
	if !m.WasUp {
		c.failed(e, m.Outcome)
	}
	if m.Outcome == chivev1.Outcome_OUTCOME_INTERNAL {
		c.quarantine.Crashed("relay", e.key, "connection/"+e.id)
	}
	for _, w := range waiting {
		ctx.Send(w.Reply, &Failed{
			Token: w.Token, Outcome: m.Outcome, Err: m.Err,
			Dialled: !m.WasUp && m.Outcome != chivev1.Outcome_OUTCOME_SHUTDOWN,
		})
	}
	c.maybeClosed(ctx)
}

// childFailed handles a connection actor that panicked: its own clean-up did
// not run, so its circuits are told from here by closing it as lost.
func (c *connections) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	for _, e := range c.relays {
		if e.pid != nil && e.pid.Equal(m.PID) {
			c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CONNECTION, e.id, &chivev1.ActorFailed{Reason: m.Site()}))
			if e.link != nil {
				e.link.Shut(chivev1.Outcome_OUTCOME_INTERNAL)
			}
			c.down(ctx, &connection.Down{ID: e.id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL, WasUp: e.link != nil})
			return
		}
	}
}

func (c *connections) sweep(ctx actor.Context) {
	now := c.o.Now()
	for key, e := range c.relays {
		if e.link == nil {
			if e.forgettable(now) {
				delete(c.relays, key)
			}
			continue
		}
		if since, idle := e.link.IdleSince(); idle && now.Sub(since) > idleLimit {
			ctx.Send(e.pid, &connection.Close{Outcome: chivev1.Outcome_OUTCOME_IDLE})
		}
	}
	c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), sweepEvery, &sweep{})
}

func (c *connections) close(ctx actor.Context, m *Close) {
	c.closing = m
	for _, e := range c.relays {
		if e.pid != nil {
			ctx.Send(e.pid, &connection.Close{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})
		}
	}
	c.maybeClosed(ctx)
}

func (c *connections) maybeClosed(ctx actor.Context) {
	if c.closing != nil && len(c.byPID) == 0 {
		ctx.Send(c.closing.Reply, &Closed{})
	}
}
