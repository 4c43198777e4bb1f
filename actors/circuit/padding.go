package circuit

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/messages/chivev1"
	"chive/tor/cell"
	padding "chive/tor/padding/circuit"
)

// Totals are the cells that all circuits of the node have sent, for the network's limits
// on padding.
type Totals struct{ All, Padding atomic.Uint64 }

// Cells gives both.
func (t *Totals) Cells() (all, pad uint64) { return t.All.Load(), t.Padding.Load() }

// PadBy changes by what policy the circuit is padded.
type PadBy struct{ Policy padding.Policy }

type (
	padDue   struct{}
	lingered struct{}
)

// paddingOf is what the padding of a circuit to an onion service is made of.
func (c *circuitActor) paddingOf() *padding.Config {
	o := c.o.Onion
	if o == nil || !o.Pads {
		return nil
	}
	return &padding.Config{Able: true, Policy: o.Policy, Draw: draw, Totals: c.o.Totals.Cells}
}

// draw is what the delays of padding are drawn by: the generator of the standard library
// cannot be predicted.
func draw(n int) int { return rand.IntN(n) }

// send queues cells, and counts them.
func (c *circuitActor) send(b *block.Block) {
	if c.o.Totals != nil {
		c.o.Totals.All.Add(uint64(len(b.Bytes) / cell.FixedLen))
	}
	c.link.Send(b)
}

// armPadding sets the timer for the padding that is due, of a circuit that has any.
func (c *circuitActor) armPadding(ctx actor.Context) {
	if c.o.Onion == nil || c.core == nil || c.closing {
		return
	}
	at, due := c.core.PaddingDue()
	if due && c.padding == nil {
		c.padding = kernel.After(ctx.ActorSystem(), ctx.Self(), at-c.o.Now().Sub(c.began), &padDue{})
	}
}

func (c *circuitActor) pad(ctx actor.Context) {
	c.padding = nil
	if c.closing || c.core == nil {
		return
	}
	before := c.core.Counters().Padding
	c.reserve()
	c.out.Bytes = c.core.Pad(c.out.Bytes)
	c.flush()
	if c.o.Totals != nil {
		c.o.Totals.Padding.Add(c.core.Counters().Padding - before)
	}
	c.armPadding(ctx)
}

func (c *circuitActor) padBy(ctx actor.Context, p padding.Policy) {
	if c.closing || c.core == nil || c.o.Onion == nil {
		return
	}
	c.o.Onion.Policy = p
	c.reserve()
	c.out.Bytes = c.core.ConfigurePadding(c.out.Bytes, p)
	c.flush()
	c.armPadding(ctx)
}

// lingers keeps a circuit open that is done with what it was for, because its end would
// tell what that was; it ends as one does that was used (padding-spec §3.3.1).
func (c *circuitActor) lingers(ctx actor.Context, why chivev1.Outcome) bool {
	if why != chivev1.Outcome_OUTCOME_IDLE || c.closing || c.o.Onion == nil || c.core == nil || !c.core.PaddingHolds() {
		return false
	}
	c.timer.Stop()
	c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), max(c.o.Onion.Life, time.Second), &lingered{})
	return true
}
