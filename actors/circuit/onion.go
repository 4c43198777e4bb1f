package circuit

import (
	"bytes"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/outcome"
	"chive/messages/chivev1"
	"chive/tor/circuit"
	"chive/tor/congestion"
	"chive/tor/handshake"
	"chive/tor/onion/relaymsg"
	padding "chive/tor/padding/circuit"
)

// Onion is what a circuit needs to know that is used to reach an onion service.
type Onion struct {
	Owner *actor.PID // hears of what the last hop says; nil: there is none until Assign
	Token uint64     // the owner's name for the circuit
	Flow  congestion.Params

	Pads   bool           // the second hop offers padding
	Policy padding.Policy // of it
	Life   time.Duration  // of a circuit that was used
}

type (
	// Establish has the last hop wait for a service. Heard answers.
	Establish struct{ Cookie relaymsg.Cookie }
	// Introduce has the last hop pass a message on. Heard answers.
	Introduce struct{ Message []byte }
	// Join adds the service as the last hop: streams to it can be attached. Joined
	// answers.
	Join struct {
		Keys      handshake.HSKeyMaterial
		Increment int // of SENDMEs, with congestion control; 0: fixed windows
	}

	// Heard tells the owner what the last hop said.
	Heard struct {
		Token uint64
		What  circuit.EventKind // RendezvousEstablished, Rendezvous or IntroduceAck
		Data  []byte
	}
	// Joined tells the owner that the service is the last hop now.
	Joined struct {
		Token             uint64
		CongestionControl bool
	}
)

// users: does the circuit carry streams of applications?
func users(p chivev1.Purpose) bool {
	return p == chivev1.Purpose_PURPOSE_GENERAL || p == chivev1.Purpose_PURPOSE_RENDEZVOUS
}

// onion handles the owner's wishes.
func (c *circuitActor) onion(ctx actor.Context) {
	var err error
	switch m := ctx.Message().(type) {
	case *Establish:
		if !c.wanted() {
			return
		}
		c.out.Bytes, err = c.core.EstablishRendezvous(c.out.Bytes, m.Cookie)
	case *Introduce:
		if !c.wanted() {
			return
		}
		c.out.Bytes, err = c.core.Introduce(c.out.Bytes, m.Message)
	case *Join:
		if !c.wanted() {
			return
		}
		err = c.core.Join(m.Keys, c.o.Onion.Flow, m.Increment)
		m.Keys.Wipe()
		if err == nil {
			ctx.Send(c.o.Onion.Owner, &Joined{Token: c.o.Onion.Token, CongestionControl: c.core.CongestionControl()})
		}
	case *padDue:
		c.pad(ctx)
		return
	case *PadBy:
		c.padBy(ctx, m.Policy)
		return
	case *lingered:
		if !c.lingers(ctx, chivev1.Outcome_OUTCOME_IDLE) {
			c.end(ctx, chivev1.Outcome_OUTCOME_IDLE, nil)
		}
		return
	default:
		return
	}
	c.flush()
	c.armPadding(ctx)
	if err != nil {
		c.end(ctx, outcome.FromCircuit(err), err)
	}
}

// wanted: can the circuit do what its owner wishes? It may have ended meanwhile, which the
// owner hears of.
func (c *circuitActor) wanted() bool {
	if c.closing || c.core == nil || c.o.Onion == nil {
		return false
	}
	c.reserve()
	return true
}

// heard tells the owner.
func (c *circuitActor) heard(ctx actor.Context, ev circuit.Event) {
	if c.o.Onion != nil && c.o.Onion.Owner != nil { // else it was not asked for, and the core has closed the circuit
		ctx.Send(c.o.Onion.Owner, &Heard{Token: c.o.Onion.Token, What: ev.Kind, Data: bytes.Clone(ev.Data)})
	}
}
