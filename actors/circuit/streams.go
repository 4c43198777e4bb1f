package circuit

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

func newCircuit(o Options) *circuitActor {
	return &circuitActor{o: o, lanes: map[cell.StreamID]*lane{}, actors: map[*stream.Spec]*actor.PID{}}
}

// carry starts the actor of a stream that has a number.
func (c *circuitActor) carry(ctx actor.Context, id cell.StreamID, spec *stream.Spec) *lane {
	pid := ctx.Spawn(stream.Props(stream.Options{
		Spec: spec, Circuit: c.o.ID, Recorder: c.o.Recorder, Now: c.o.Now, Up: c.o.Limits.Up(),
	}))
	l := &lane{pid: pid, spec: spec}
	c.lanes[id], c.actors[spec] = l, pid
	ctx.Send(pid, &stream.Attached{Stream: id})
	return l
}

func (c *circuitActor) streamFinished(ctx actor.Context, m *stream.Finish) {
	delete(c.actors, m.Spec)
	l := c.laneOf(m.Stream, m.Spec)
	if l != nil {
		l.reason = endReason(m.Outcome)
	}
	if m.Spec.Serve != nil {
		// nobody chose this circuit for it
	} else if m.Back {
		if m.Outcome == chivev1.Outcome_OUTCOME_TIMEOUT {
			c.answer = Unused // a circuit may answer the first stream only, to look sound
			ctx.Send(ctx.Parent(), &Tired{ID: c.o.ID})
		}
		ctx.Send(ctx.Parent(), &StreamBack{ID: c.o.ID, Spec: m.Spec})
	} else {
		ctx.Send(ctx.Parent(), &StreamDone{ID: c.o.ID, Spec: m.Spec})
	}
	switch {
	case l == nil:
	case m.Drop || m.Back: // who is handed back says it all again elsewhere
		c.dropLane(m.Stream, l, m.End)
		c.flush()
	default:
		c.finishLane(ctx, m.Stream, l, m.End)
	}
	c.maybeGone(ctx)
}

// laneOf is the lane of a stream; nil: the far end has ended it. A client of ours may have begun
// another of that number since: what the actor of the one before still says is not for it.
func (c *circuitActor) laneOf(id cell.StreamID, of any) *lane {
	if l := c.lanes[id]; l != nil && l.spec == of {
		return l
	}
	return nil
}

// consumed tells the far end, if that is due, that an application took what came.
func (c *circuitActor) consumed(m *stream.Consumed) {
	if c.laneOf(m.Stream, m.Spec) == nil {
		return
	}
	c.reserve()
	c.out.Bytes = c.core.Consumed(c.out.Bytes, m.Stream, m.Cells, m.Bytes)
	c.flush()
}

// streamFailed ends a stream whose actor panicked, also when the far end had ended it before.
func (c *circuitActor) streamFailed(ctx actor.Context, m *kernel.ChildFailed) {
	for spec, pid := range c.actors {
		if !pid.Equal(m.PID) {
			continue
		}
		c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.ActorFailed{Reason: m.Site()}))
		delete(c.actors, spec)
		if spec.Serve == nil {
			ctx.Send(ctx.Parent(), &StreamDone{ID: c.o.ID, Spec: spec})
		}
		for id, l := range c.lanes {
			if l.spec == spec {
				c.dropLane(id, l, true)
				c.flush()
			}
		}
		c.maybeGone(ctx)
		return
	}
}
