package circuit

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages/chivev1"
	padding "chive/tor/padding/circuit"
)

// Padding is what a circuit needs whose machines may pad.
type Padding struct {
	Config padding.Config
	// Hold is how long the circuit stays open when its owner is done with it, while a
	// machine goes on: a short life would tell what it was for.
	Hold time.Duration
}

// machines is what the core is told.
func (o *Options) machines() *padding.Config {
	if o.Padding == nil {
		return nil
	}
	return &o.Padding.Config
}

// Totals are cells that all circuits have sent, and those of them that were padding.
type Totals struct{ all, padding atomic.Uint64 }

// Of gives them as tor/padding asks.
func (t *Totals) Of() (all, padding uint64) { return t.all.Load(), t.padding.Load() }

type (
	// PaddingPolicy changes what the user and the consensus say of padding.
	PaddingPolicy struct{ Policy padding.Policy }

	padNow   struct{}
	holdOver struct{}
)

// holdAgain is how long a circuit is held again whose machine has not ended.
const holdAgain = time.Minute

// count adds what was sent since to the totals.
func (c *circuitActor) count() {
	if c.o.Totals == nil || c.core == nil {
		return
	}
	n := c.core.Counters()
	c.o.Totals.all.Add(n.Out - c.counted.Out)
	c.o.Totals.padding.Add(n.PaddingOut - c.counted.PaddingOut)
	c.counted = n
}

// pads handles what machines need.
func (c *circuitActor) pads(ctx actor.Context) {
	if c.core == nil || c.closing {
		return
	}
	switch m := ctx.Message().(type) {
	case *padNow:
		c.padTimer = nil
		c.reserve()
		c.out.Bytes = c.core.Pad(c.out.Bytes)
	case *PaddingPolicy:
		c.reserve()
		c.out.Bytes = c.core.ConfigurePadding(c.out.Bytes, m.Policy)
	case *holdOver:
		if c.core.PaddingHolds() {
			c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), holdAgain, &holdOver{})
			return
		}
		c.end(ctx, chivev1.Outcome_OUTCOME_IDLE, nil)
		return
	}
	c.flush()
}

// padLater has the padding go out that is due.
func (c *circuitActor) padLater(ctx actor.Context) {
	if c.o.Padding == nil || c.core == nil || c.closing || c.padTimer != nil {
		return
	}
	if in, ok := c.core.PaddingDue(); ok {
		c.padTimer = kernel.After(ctx.ActorSystem(), ctx.Self(), in, &padNow{})
	}
}

// close ends the circuit as it was asked to, or holds or probes it before.
func (c *circuitActor) close(ctx actor.Context, why chivev1.Outcome) {
	switch {
	case why != chivev1.Outcome_OUTCOME_IDLE || c.closing:
	case c.held:
		return
	case c.core != nil && c.core.PaddingHolds():
		c.held = true
		c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), c.o.Padding.Hold, &holdOver{})
		return
	case c.mustProbe(why) && c.sendProbe(ctx):
		return
	}
	c.end(ctx, why, nil)
}
