package circuits

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/messages/chivev1"
)

func (c *circuits) close(ctx actor.Context, m *Close) {
	c.closing = m
	for _, w := range c.queue {
		c.refuse(w.Spec, chivev1.Outcome_OUTCOME_SHUTDOWN)
	}
	c.queue, c.opens = nil, nil
	for _, r := range c.records {
		if r.set == nil { // a set closes its legs
			ctx.Send(r.pid, &circuit.Close{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})
		}
	}
	c.maybeClosed(ctx)
}

func (c *circuits) maybeClosed(ctx actor.Context) bool {
	if c.closing != nil && len(c.records) == 0 {
		ctx.Send(c.closing.Reply, &Closed{})
	}
	return c.closing != nil
}

// stopping ends what waits, after a panic here.
func (c *circuits) stopping() {
	c.keep()
	c.ticker.Stop()
	if c.holdOff != nil {
		c.holdOff.Stop()
	}
	for _, w := range c.queue {
		if !w.over {
			c.refuse(w.Spec, chivev1.Outcome_OUTCOME_INTERNAL)
		}
	}
	c.queue = nil
}
