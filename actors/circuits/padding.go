package circuits

import (
	crand "crypto/rand"
	"encoding/binary"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	padding "chive/tor/padding/circuit"
)

// Circuit padding: circuits to introduction and rendezvous points have a machine, unless
// the user or the consensus says otherwise or the second hop offers none.

// paddingPolicy is what the user and the consensus say.
func (c *circuits) paddingPolicy() padding.Policy {
	return padding.Policy{
		Off: !c.o.Settings.CircuitPadding, Reduced: c.o.Settings.ReducedCircuitPadding, Params: c.network.padding,
	}
}

// paddingOf is for a circuit that is launched; nil for those that have no machines.
func (c *circuits) paddingOf(purpose chivev1.Purpose, path []torcircuit.Hop) *circuit.Padding {
	if purpose != chivev1.Purpose_PURPOSE_INTRODUCTION && purpose != chivev1.Purpose_PURPOSE_RENDEZVOUS || len(path) < padding.Hop {
		return nil
	}
	return &circuit.Padding{
		Hold: c.o.Settings.Dirtiness,
		Config: padding.Config{
			Able: path[padding.Hop-1].Padding, Policy: c.paddingPolicy(), Draw: draw, Totals: c.totals.Of,
		},
	}
}

// tellPadding has open circuits follow the policy.
func (c *circuits) tellPadding(ctx actor.Context) {
	policy := c.paddingPolicy()
	if policy == c.padding {
		return
	}
	c.padding = policy
	for _, r := range c.records {
		if r.purpose == chivev1.Purpose_PURPOSE_INTRODUCTION || r.purpose == chivev1.Purpose_PURPOSE_RENDEZVOUS {
			ctx.Send(r.pid, &circuit.PaddingPolicy{Policy: policy})
		}
	}
}

// draw is uniform from 0 up to, without, n, to within a part in 2³².
func draw(n int) int {
	var b [8]byte
	_, _ = crand.Read(b[:]) // does not fail
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}
