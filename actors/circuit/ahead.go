package circuit

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/circuit"
	"chive/tor/congestion"
)

// Assign tells a circuit that was built ahead what it is for, and whose it is: once. With a
// Hop it is extended there and Opened follows, or Gone as of a circuit that never opened.
type Assign struct {
	Purpose chivev1.Purpose
	Owner   *actor.PID
	Token   uint64 // the owner's name for it
	Flow    congestion.Params
	Hop     *circuit.Hop  // nil: it is what it is to be
	Limit   time.Duration // how long that hop may take
}

// LearnAt is the hop of whose time it is learned how long circuits may take: all before it,
// and itself, are chosen here, whatever the circuit is for (path-spec §2.4).
const LearnAt = 3

// Reached tells the parent that a circuit that is not whole yet has its hop LearnAt.
type Reached struct {
	ID   string
	Took time.Duration // from its CREATE
}

// AtLast tells the parent of a circuit to or for an onion service that only its last hop is
// missing.
type AtLast struct{ ID string }

// hop reports a hop that is not the last.
func (c *circuitActor) hop(ctx actor.Context) {
	c.extended()
	if c.o.Onion != nil && c.core.Hops() == len(c.o.Path)-1 {
		ctx.Send(ctx.Parent(), &AtLast{c.o.ID})
	}
	if c.core.Hops() == LearnAt {
		ctx.Send(ctx.Parent(), &Reached{ID: c.o.ID, Took: c.o.Now().Sub(c.began)})
	}
}

func (c *circuitActor) assign(ctx actor.Context, m *Assign) {
	if c.closing || c.core == nil { // the parent hears of its end
		return
	}
	c.o.Onion.Owner, c.o.Onion.Token, c.o.Onion.Flow = m.Owner, m.Token, m.Flow
	if m.Hop == nil {
		c.assigned(m.Purpose)
		return
	}
	c.reserve()
	var err error
	if c.out.Bytes, err = c.core.Extend(c.out.Bytes, *m.Hop); err != nil {
		c.end(ctx, outcome.FromCircuit(err), err)
		return
	}
	c.o.Path = append(slices.Clone(c.o.Path), *m.Hop)
	c.assigned(m.Purpose)
	c.started, c.opened, c.slow = c.o.Now(), time.Time{}, false
	c.resumed = c.started
	c.o.BuildTimeout, c.o.CloseTimeout = m.Limit, m.Limit
	c.arm(ctx)
	c.flush()
}

func (c *circuitActor) assigned(p chivev1.Purpose) {
	c.o.Purpose = p
	path := c.relays()
	c.emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, c.o.ID, &chivev1.CircuitAssigned{
		Purpose: p, Hops: uint32(len(path)), Path: path,
	}))
}

// relays are the identities of the path.
func (c *circuitActor) relays() [][]byte {
	path := make([][]byte, len(c.o.Path))
	for i := range c.o.Path {
		path[i] = c.o.Path[i].RSA[:]
	}
	return path
}

// since is when the circuit began to be built, or to be extended.
func (c *circuitActor) since() time.Time {
	if !c.resumed.IsZero() {
		return c.resumed
	}
	return c.began
}
