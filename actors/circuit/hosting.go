package circuit

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/handshake"
)

// What the owner of a circuit may ask who hosts an onion service.
type (
	// Prove asks what an ESTABLISH_INTRO on the circuit must prove. Proof answers.
	Prove struct{}
	// EstablishIntro asks the last hop to be an introduction point. Heard answers, and
	// from then on tells of each client.
	EstablishIntro struct {
		Message []byte
		// Waiting counts the clients of whom the owner was told and whom it has not looked
		// at; it takes each off. Beyond maxWaiting they are not told, and Dropped counts them.
		Waiting *atomic.Int64
		Dropped *atomic.Uint64
	}
	// Meet sends a RENDEZVOUS1 and adds the client as the last hop; his streams are
	// served. Joined answers.
	Meet struct {
		Message   []byte
		Keys      handshake.HSKeyMaterial
		Increment int // of SENDMEs, with congestion control; 0: fixed windows
		Serve     Serve
	}

	// Leave has a circuit on which a client was met end soon after the last of his streams:
	// the service is no more. What he begins until then is up to Serve.
	Leave struct{}

	// Proof tells the owner.
	Proof struct {
		Token uint64
		KH    [20]byte
	}
	// Serve says what becomes of a client's stream to a port, when so many of his are open
	// on the circuit. It is called in the circuit's turn.
	Serve func(port uint16, open int) Served
	// Served is that.
	Served struct {
		Dial  stream.Dial   // nil: the stream is refused
		Close bool          // and the circuit closed
		Count *stream.Count // of what the stream carries; nil: nobody counts
	}
)

// maxWaiting bounds the introductions that wait for an owner: what comes faster than they
// can be looked at is an attack, and each takes memory.
const maxWaiting = 4096

// host handles what an owner wishes who hosts a service; false: the message is none.
func (c *circuitActor) host(ctx actor.Context) bool {
	var err error
	switch m := ctx.Message().(type) {
	case *Prove:
		if c.wanted() {
			ctx.Send(c.o.Onion.Owner, &Proof{Token: c.o.Onion.Token, KH: c.core.KH()})
		}
	case *EstablishIntro:
		if !c.wanted() {
			return true
		}
		c.waiting, c.dropped = m.Waiting, m.Dropped
		c.out.Bytes, err = c.core.EstablishIntro(c.out.Bytes, m.Message)
	case *Meet:
		if !c.wanted() {
			return true
		}
		c.out.Bytes, err = c.core.Meet(c.out.Bytes, m.Message, m.Keys, c.o.Onion.Flow, m.Increment)
		m.Keys.Wipe()
		if err == nil {
			c.serve = m.Serve
			c.leaving = &leaving{wait: max(c.o.Onion.Life, leaveTime)}
			ctx.Send(c.o.Onion.Owner, &Joined{Token: c.o.Onion.Token, CongestionControl: c.core.CongestionControl()})
		}
	case *Leave:
		if c.leaving != nil {
			c.leaving.timer.Stop()
		}
		c.leaving = &leaving{wait: leaveTime}
		return true
	case *mayLeave:
		c.leaving.late = m.of == c.leaving
		return true
	case *stream.Accepted:
		if c.laneOf(m.Stream, m.Spec) == nil {
			return true // the client has ended it
		}
		c.reserve()
		c.out.Bytes, _ = c.core.Accept(c.out.Bytes, m.Stream) // fails only if the circuit has ended
	default:
		return false
	}
	c.flush()
	if err != nil {
		c.end(ctx, outcome.FromCircuit(err), err)
	}
	return true
}

// leaveTime is how long a circuit stays after its last stream: relays throw away what
// waits for a circuit when they hear of its end, and that may be what the stream ended with.
const leaveTime = 30 * time.Second

// leaving is the state of a circuit that ends when it had no stream for long: a client who
// was met may keep his for MaxCircuitDirtiness (as with C tor), or what many of them leave
// behind would only ever grow.
type leaving struct {
	wait  time.Duration
	timer *kernel.Timer // runs while there is no stream
	late  bool
}

type mayLeave struct{ of *leaving }

// left looks, when a message was handled, whether a circuit that is to end may.
func (c *circuitActor) left(ctx actor.Context) {
	l := c.leaving
	switch {
	case l == nil:
	case c.closing || len(c.lanes) > 0 || len(c.actors) > 0:
		l.timer.Stop()
		l.timer, l.late = nil, false
	case l.late:
		c.end(ctx, chivev1.Outcome_OUTCOME_IDLE, nil)
	case l.timer == nil:
		l.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), l.wait, &mayLeave{l})
	}
}

// introduced tells the owner of a client, unless too many wait.
func (c *circuitActor) introduced(ctx actor.Context, ev circuit.Event) {
	if c.waiting == nil {
		return
	}
	if c.waiting.Add(1) > maxWaiting {
		c.waiting.Add(-1)
		c.dropped.Add(1)
		return
	}
	c.heard(ctx, ev)
}

// asked serves a client's stream, or refuses it. The reason is DONE, as C tor's: it does
// not tell a port that is closed from one that is not there.
func (c *circuitActor) asked(ctx actor.Context, ev circuit.Event) {
	if c.closing {
		return
	}
	served, reason := c.serve(ev.Port, len(c.lanes)), cell.EndDone
	if block.Pressed() { // memory is short
		served, reason = Served{}, cell.EndResourceLimit
	}
	if served.Dial == nil {
		c.reserve()
		c.out.Bytes, _ = c.core.EndFor(c.out.Bytes, ev.Stream, reason) // it is there: it was asked for
		if served.Close {
			c.end(ctx, chivev1.Outcome_OUTCOME_REFUSED, nil)
		}
		return
	}
	spec := &stream.Spec{
		ID: messages.RandomID(), Purpose: c.o.Purpose, Port: ev.Port, Serve: served.Dial, Count: served.Count, Requested: c.o.Now(),
	}
	spec.Cause = c.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamRequested{
		Purpose: spec.Purpose, Isolation: spec.Isolation.Name(),
	}), c.cause, spec.ID))
	c.carry(ctx, ev.Stream, spec).reason = cell.EndMisc
}

// served says whether a client of ours began the stream.
func (l *lane) served() bool { return l.spec.Serve != nil }

// endReason is what a client is told of how his stream ended.
func endReason(out chivev1.Outcome) cell.EndReason {
	switch out {
	case chivev1.Outcome_OUTCOME_OK:
		return cell.EndDone
	case chivev1.Outcome_OUTCOME_TARGET_REFUSED:
		return cell.EndConnectRefused
	case chivev1.Outcome_OUTCOME_TARGET_UNREACHABLE:
		return cell.EndNoRoute
	case chivev1.Outcome_OUTCOME_TIMEOUT:
		return cell.EndTimeout
	case chivev1.Outcome_OUTCOME_CLIENT_IO, chivev1.Outcome_OUTCOME_CANCELLED:
		return cell.EndConnReset
	case chivev1.Outcome_OUTCOME_OVERLOADED:
		return cell.EndResourceLimit
	}
	return cell.EndMisc
}
