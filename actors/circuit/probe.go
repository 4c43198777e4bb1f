package circuit

import (
	"crypto/rand"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
)

type probeTimeout struct{}

// answered takes the reason with which the far end ended a stream. Two are what an exit
// says when it cannot make sense of a cell, which a guard may have changed on the way; one
// says nothing (C tor counts them likewise).
func (c *circuitActor) answered(reason cell.EndReason) {
	switch reason {
	case cell.EndTorProtocol, cell.EndDestroy:
		c.answer = Unanswered
	case cell.EndInternal:
	default:
		c.answer = Answered
	}
}

// use is what came of the streams, for one that was open.
func (c *circuitActor) use() Use {
	switch {
	case !c.dirty:
		return Unused
	case c.answer == Answered:
		return Answered
	default:
		return Unanswered
	}
}

// mustProbe: a circuit ends on which a stream waited for an answer in vain. Was it the
// target's silence, or does somebody on the path drop the cells? Asked only at the end,
// so that nobody can tell the probe from a stream before all are over (path-spec §7.3).
func (c *circuitActor) mustProbe(why chivev1.Outcome) bool {
	return why == chivev1.Outcome_OUTCOME_IDLE && c.dirty && c.o.Purpose == chivev1.Purpose_PURPOSE_GENERAL && c.answer == Unused && c.probe == 0 && !c.closing &&
		c.link != nil && len(c.actors) == 0 && len(c.lanes) == 0 && c.core.State() == circuit.Open
}

// sendProbe opens a stream to an address that is nowhere. The exit refuses, and any answer
// will do: it shows that cells arrive whole, both ways.
func (c *circuitActor) sendProbe(ctx actor.Context) bool {
	var nowhere [3]byte
	if _, err := rand.Read(nowhere[:]); err != nil {
		return false
	}
	c.reserve()
	var err error
	c.out.Bytes, c.probe, err = c.core.Begin(c.out.Bytes, fmt.Sprintf("0.%d.%d.%d:25", nowhere[0], nowhere[1], nowhere[2]), 0)
	if err != nil {
		return false
	}
	c.flush()
	c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), c.o.CloseTimeout, &probeTimeout{})
	return true
}
