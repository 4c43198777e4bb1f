package connections

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/messages/chivev1"
)

// idler is a connection without circuits.
type idler struct {
	*conn
	since time.Time
}

// sweep closes connections that nothing uses: at once those that take no new
// circuits, the others after their time or beyond MaxIdle. What failed long ago is
// forgotten.
func (c *connections) sweep(ctx actor.Context) {
	now := c.o.Now()
	for key, e := range c.relays {
		switch {
		case e.conn != nil && e.conn.link != nil && c.old(e.conn):
			e.conn = nil
		case e.forgettable(now) && !c.connected(e):
			delete(c.relays, key)
		}
	}
	var idle []idler
	soon := false // some connection is there for its last circuits only
	for _, x := range c.conns {
		if x.link == nil {
			continue
		}
		soon = soon || !x.shared()
		since, unused := x.link.IdleSince()
		switch {
		case !unused || now.Sub(since) < graceTime:
		case !x.shared() || now.Sub(since) > c.keep(x):
			c.drop(ctx, x)
		default:
			idle = append(idle, idler{x, since})
		}
	}
	c.dropBeyond(ctx, idle)
	every := sweepEvery
	if soon || c.o.Settings.Separate {
		every = sweepSoon
	}
	c.timer.Stop()
	c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), every, &sweep{})
}

// connected: is there a connection to the relay, be it one without new circuits?
func (c *connections) connected(e *entry) bool {
	for _, x := range c.conns {
		if x.entry == e {
			return true
		}
	}
	return false
}

// dropBeyond closes those idle longest, so that MaxIdle are left.
func (c *connections) dropBeyond(ctx actor.Context, idle []idler) {
	beyond := len(idle) - c.o.Settings.MaxIdle
	if !c.o.Settings.LimitIdle || beyond <= 0 {
		return
	}
	slices.SortFunc(idle, func(a, b idler) int { return a.since.Compare(b.since) })
	for _, x := range idle[:beyond] {
		c.drop(ctx, x.conn)
	}
}

// drop closes a connection without circuits; nobody gets it any more.
func (c *connections) drop(ctx actor.Context, x *conn) {
	if x.shared() {
		x.entry.conn = nil
	}
	ctx.Send(x.pid, &connection.Close{Outcome: chivev1.Outcome_OUTCOME_IDLE})
}

// configure takes over new settings. Circuits stay where they are.
func (c *connections) configure(ctx actor.Context, m *Configure) {
	apart := m.Dialer != c.o.Dialer || m.Settings.Separate
	old := c.o.Settings
	if m.Dialer.Proxy != c.o.Dialer.Proxy {
		c.newProxy()
	}
	if m.Dialer != c.o.Dialer {
		c.tryHere() // the address to connect from may be one that is there
	}
	c.o.Settings, c.o.Dialer = m.Settings, m.Dialer
	if old.BreakerFailures != m.Settings.BreakerFailures || old.BreakerOpenFor != m.Settings.BreakerOpenFor {
		c.newBreakers()
	}
	if old.Padding != m.Settings.Padding || old.ReducedPadding != m.Settings.ReducedPadding {
		c.pad(ctx)
	}
	for _, e := range c.relays {
		if apart {
			e.conn = nil // who waits for it still gets it
		}
	}
	if c.closing == nil {
		c.sweep(ctx)
	}
}
