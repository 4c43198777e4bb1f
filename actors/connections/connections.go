// Package connections is the actor that owns all connections, one a relay. It
// dials when a circuit wants a relay, shares what is open, and decides *when*
// a relay that failed may be tried again (policy.go: backoff and breaker a
// relay, retry budget a purpose, quarantine). Which relay is wanted is never its
// business (rule 0).
//
// Of the connections to one relay at most one takes new circuits; others are
// there for those they have (sweep.go), be it that they are too old, were made
// with another source address, or are one circuit's alone (Settings.Separate).
//
// Messages it understands: Want (answered with Ready or Failed, once),
// Configure, Network, Forgive, Close. From its children: connection.Up, connection.Silent,
// connection.Down, kernel.ChildFailed.
package connections

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/supervisor/retry"
	padding "chive/tor/padding/link"
	"chive/tor/priority"
	"chive/tor/upstream"
)

const (
	// idleLimit is how long a connection without circuits is kept, and as much as half
	// of it longer, drawn for each; half of that with reduced padding, which is there
	// to save (padding-spec 2.5).
	idleLimit = 3 * time.Minute
	// graceTime is how long a link that was just handed out may be without a
	// circuit before it counts as idle.
	graceTime = 2 * time.Second
	// sweepEvery is how often idle and old connections are looked for.
	sweepEvery = 5 * time.Second
	// sweepSoon is how often while connections wait for their last circuit.
	sweepSoon = time.Second
)

// Options is what the actor is made of.
type Options struct {
	Dialer   connection.Dialer
	Recorder *messages.Recorder
	Now      func() time.Time
	Rand     *rand.Rand     // for jitter; used by this actor only
	Settings Settings       // until a Configure
	Limits   *limits.Limits // nil: none
	Kept     Keeper         // nil: breakers are those of this boot only
	// Unreachable hears of each outgoing connection that was tried and failed, before
	// those who wanted it do, and also if nobody waits for it any more. It must not wait.
	// nil: nobody does.
	Unreachable func(relay [20]byte, out chivev1.Outcome)
	// Proxy hears of the proxy that connections go through, each time it fails and when it
	// works again. It must not wait. nil: nobody does.
	Proxy func(ProxyChanged)
}

// Keeper keeps breakers that are not closed over restarts. Its methods return at once.
type Keeper interface {
	// Breaker is what a relay's was, if it was not closed.
	Breaker(relay [20]byte) (retry.Snapshot, bool)
	KeepBreaker(relay [20]byte, s retry.Snapshot)
}

// Settings is what the configuration says about connections. The zero value
// shares one a relay and keeps it as long as it is used.
type Settings struct {
	Separate bool          // each circuit has a connection of its own (EnableConnectionPooling 0)
	MaxIdle  int           // connections without circuits that are kept; see LimitIdle
	MaxLife  time.Duration // an older one takes no new circuits; 0: no limit
	// LimitIdle makes MaxIdle count.
	LimitIdle bool
	// Padding of connections, and whether it is reduced.
	Padding        padding.Mode
	ReducedPadding bool
	// BreakerFailures in a row open a relay's breaker, for BreakerOpenFor; 0: as
	// the strategy says.
	BreakerFailures int
	BreakerOpenFor  time.Duration
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
		Cause   string // id of the event that says why; "" if there is none
	}
	// Configure changes the settings, at once. Connections that another Dialer
	// made take no new circuits.
	Configure struct {
		Settings Settings
		Dialer   connection.Dialer
	}
	// Network tells what the consensus says of padding, and how soon it is forgotten what
	// circuits have sent. Until then it is the default.
	Network struct {
		Padding  padding.Params
		HalfLife time.Duration
	}
	// Forgive forgets failures: relays may be tried at once.
	Forgive struct {
		Relays [][20]byte // nil: every relay, and what was counted
		// Renew: the machine's way to the network is another one. Connections that are
		// open take no new circuits, and those that are being made are made anew.
		Renew bool
	}
	// Close ends all connections; Closed is sent when none is left.
	Close struct{ Reply *actor.PID }
	// Closed answers Close.
	Closed struct{}
	sweep  struct{}
)

// conn is one connection, from its dialling on.
type conn struct {
	id      string
	entry   *entry
	pid     *actor.PID
	link    *connection.Link // nil while dialling
	began   time.Time
	opened  time.Time
	idle    time.Duration // how long it is kept without circuits
	waiting []*Want
	left    bool // at a change of network: what becomes of it says nothing
	silent  bool // the relay went silent on it
	permit  retry.Permit
	via     upstream.Proxy
	over    family
	heard   func() time.Time // when the relay last sent something; nil while dialling

	answered func() bool // has it sent anything; nil while dialling
}

// shared: does the connection take new circuits?
func (x *conn) shared() bool { return x.entry.conn == x }

type connections struct {
	o          Options
	relays     map[[20]byte]*entry
	conns      map[string]*conn // by id
	budgets    *retry.Budgets[chivev1.Purpose]
	quarantine *supervisor.Quarantine
	network    Network
	proxy      proxy
	machine    machine
	bound      [families]machine // to the address to connect from
	closing    *Close
	timer      *kernel.Timer
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return newConnections(o) })
}

func newConnections(o Options) *connections {
	c := &connections{
		o: o, relays: map[[20]byte]*entry{}, conns: map[string]*conn{},
		network: Network{padding.ParamsOf(nil), priority.HalfLife(nil)},
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
	case *connection.Silent:
		c.silent(ctx, m)
	case *connection.Down:
		c.down(ctx, m)
	case *kernel.ChildFailed:
		c.childFailed(ctx, m)
	case *Forgive:
		c.forgive(ctx, m)
	case *Configure:
		c.configure(ctx, m)
	case *Network:
		c.know(ctx, m)
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
	if e.conn != nil && e.conn.link != nil && c.old(e.conn) {
		e.conn = nil
	}
	switch {
	case c.o.Settings.Separate || e.conn == nil:
		c.dial(ctx, e, w)
	case e.conn.link != nil:
		c.answer(ctx, e.conn, w)
	default:
		e.conn.waiting = append(e.conn.waiting, w)
	}
}

// old: has the connection lived too long for new circuits?
func (c *connections) old(x *conn) bool {
	limit := c.o.Settings.MaxLife
	return limit > 0 && c.o.Now().Sub(x.opened) >= limit
}

// answer gives an open link to who wants it, if the relay proved what this one
// asks for: an earlier one may have asked for less.
func (c *connections) answer(ctx actor.Context, x *conn, w *Want) {
	if w.Target.Ed25519 != ([32]byte{}) && x.link.Peer.Ed25519 != w.Target.Ed25519 {
		c.unreachable(x.entry, chivev1.Outcome_OUTCOME_RELAY_IDENTITY)
		ctx.Send(w.Reply, &Failed{
			Token: w.Token, Outcome: chivev1.Outcome_OUTCOME_RELAY_IDENTITY, Dialled: true,
			Err: errors.New("the relay proved another Ed25519 identity"),
		})
		return
	}
	ctx.Send(w.Reply, &Ready{Token: w.Token, Link: x.link})
}

func (c *connections) dial(ctx actor.Context, e *entry, w *Want) {
	relay, ok := c.o.Dialer.Address(w.Target)
	if !ok { // the options changed since it was chosen
		ctx.Send(w.Reply, &Failed{Token: w.Token, Outcome: chivev1.Outcome_OUTCOME_NO_PATH, Err: connection.ErrAddress})
		return
	}
	over := c.familyOf(relay)
	if x := c.failsHere(over); x != nil {
		c.refuseHere(ctx, w, x)
		return
	}
	if !c.admitProxy() {
		c.refuseDown(ctx, w)
		return
	}
	permit, out, err := c.admit(e, w.Purpose)
	if err != nil {
		ctx.Send(w.Reply, &Failed{Token: w.Token, Outcome: out, Err: err})
		return
	}
	e.id = messages.RandomID()
	x := &conn{id: e.id, entry: e, permit: permit, waiting: []*Want{w}, idle: c.drawIdle(), via: c.o.Dialer.Proxy, over: over}
	if c.proxy.failures > 0 {
		c.proxy.probe = x.id
	}
	x.pid = ctx.Spawn(connection.Props(connection.Options{
		ID: x.id, Name: e.name, Limit: e.limit(), Target: w.Target, Purpose: w.Purpose, Attempt: e.failures + 1,
		Dialer: c.o.Dialer, Recorder: c.o.Recorder, Now: c.o.Now, Down: c.o.Limits.Down(),
		Padding: c.padding(), HalfLife: c.network.HalfLife,
	}))
	x.began = c.o.Now()
	c.conns[x.id] = x
	if !c.o.Settings.Separate {
		e.conn = x
	}
}

func (c *connections) up(ctx actor.Context, m *connection.Up) {
	x := c.conns[m.ID]
	if x == nil {
		return
	}
	x.link, x.heard, x.answered, x.opened = m.Link, m.Link.Heard, m.Link.Answered, c.o.Now()
	x.entry.suspect, x.entry.took = false, x.opened.Sub(x.began)
	c.healthy(x.entry, x.permit)
	c.worksHere(x.over)
	c.throughProxy(x, relays, chivev1.Outcome_OUTCOME_OK, "") // whatever the relay is, the proxy works
	waiting := x.waiting
	x.waiting = nil
	for _, w := range waiting {
		c.answer(ctx, x, w)
	}
}

func (c *connections) down(ctx actor.Context, m *connection.Down) {
	x := c.conns[m.ID]
	if x == nil {
		return
	}
	if !m.WasUp && !x.left && c.fromHere(x.over, m) {
		ctx.Logger().Warn("this machine cannot make connections; they are tried on, and no relay is blamed", "reason", reason(m.Err))
	}
	delete(c.conns, m.ID)
	e := x.entry
	if x.shared() {
		e.conn = nil
	}
	if x.answered != nil && x.answered() {
		e.mute = 0
	}
	whose := nobodys
	if !m.WasUp {
		if !x.left {
			whose = c.faultOf(x, m)
		}
		c.throughProxy(x, whose, m.Outcome, m.Cause)
		c.dialFailed(x, m, whose)
	}
	if m.Outcome == chivev1.Outcome_OUTCOME_INTERNAL {
		c.quarantine.Crashed("relay", e.key, "connection/"+x.id)
	}
	for _, w := range x.waiting {
		ctx.Send(w.Reply, &Failed{
			Token: w.Token, Outcome: m.Outcome, Err: m.Err,
			Dialled: whose.ofRelay(), Cause: m.Cause,
		})
	}
	c.maybeClosed(ctx)
}

// dialFailed counts a failed outgoing connection against whom it is to be: a relay's
// breaker, and the guards, hear of the relay's failures only.
func (c *connections) dialFailed(x *conn, m *connection.Down, whose fault) {
	if whose == proxys || whose == nobodys && m.Outcome != chivev1.Outcome_OUTCOME_INTERNAL {
		x.permit.Cancel()
		return
	}
	c.failed(x.entry, x.permit, m.Outcome)
	if whose.ofRelay() {
		c.unreachable(x.entry, m.Outcome)
	}
}

func (c *connections) unreachable(e *entry, out chivev1.Outcome) {
	if c.o.Unreachable != nil {
		c.o.Unreachable([20]byte([]byte(e.key)), out)
	}
}

// childFailed handles a connection actor that panicked: its own clean-up did
// not run, so its circuits are told from here by closing it as lost.
func (c *connections) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	for _, x := range c.conns {
		if x.pid.Equal(m.PID) {
			said := c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CONNECTION, x.id, &chivev1.ActorFailed{Reason: m.Site()}))
			if x.link != nil {
				x.link.Shut(chivev1.Outcome_OUTCOME_INTERNAL)
			}
			c.down(ctx, &connection.Down{ID: x.id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL, WasUp: x.link != nil, Cause: said})
			return
		}
	}
}

func (c *connections) close(ctx actor.Context, m *Close) {
	c.closing = m
	for _, x := range c.conns {
		ctx.Send(x.pid, &connection.Close{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})
	}
	c.maybeClosed(ctx)
}

func (c *connections) maybeClosed(ctx actor.Context) {
	if c.closing != nil && len(c.conns) == 0 {
		ctx.Send(c.closing.Reply, &Closed{})
	}
}
