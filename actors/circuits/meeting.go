package circuits

import (
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/isolation"
	"chive/tor/onion"
)

// A stream to an onion service goes on a circuit that met that service, if there is one
// that it may share; else it waits for a meeting, which the actors of package onions
// arrange: their Met names the circuit of one of theirs that streams go on from then on.
// Streams wait for one meeting together if they may share its circuit.

type (
	// Meet asks for a rendezvous with a service, for streams that will share it.
	Meet struct {
		Meeting string
		Address onion.Address
		Cause   string // id of the event that it follows from
	}
	// NoMeet ends that wish: nobody waits any more.
	NoMeet struct {
		Meeting string
		Address onion.Address
	}
	// Met answers: the circuit that the owner calls Token has joined the service.
	Met struct {
		Meeting string
		Owner   *actor.PID
		Token   uint64
		Cause   string
	}
	// NotMet answers: there is none, and streams are refused.
	NotMet struct {
		Meeting string
		Outcome chivev1.Outcome
		Cause   string
	}
	// OnionsGone: the actors that arrange meetings have failed: none of those under way
	// will be.
	OnionsGone struct{}
)

// meeting is what streams to a service wait for.
type meeting struct {
	id       string
	address  onion.Address
	promised isolation.Circuit // of the streams that wait
	waiters  int
}

// placeOnion attaches a stream to a service, or sees to it that there will be a circuit
// for it (false).
func (c *circuits) placeOnion(ctx actor.Context, w *waiting) bool {
	var best *record
	for _, r := range c.met[*w.Spec.Onion] {
		if !r.open || r.tired || r.closing || !c.fresh(r) || !r.isolation.Fits(&w.Spec.Isolation) {
			continue
		}
		if best == nil || better(r, best, &w.Spec.Isolation) {
			best = r
		}
	}
	if best != nil {
		w.over = true
		c.awaits(ctx, w, nil)
		c.attach(ctx, best, w)
		return true
	}
	if w.meeting != nil {
		return false
	}
	for _, m := range c.meetings {
		if m.address == *w.Spec.Onion && m.promised.Fits(&w.Spec.Isolation) {
			c.awaits(ctx, w, m)
			return false
		}
	}
	m := &meeting{id: messages.RandomID(), address: *w.Spec.Onion}
	c.meetings[m.id] = m
	c.awaits(ctx, w, m)
	ctx.Send(c.o.Onions, &Meet{Meeting: m.id, Address: m.address, Cause: w.Spec.Cause})
	return false
}

// awaits has a stream wait for a meeting; nil: for none.
func (c *circuits) awaits(ctx actor.Context, w *waiting, m *meeting) {
	before := w.meeting
	w.meeting = m
	if m != nil {
		m.waiters++
		m.promised.Join(&w.Spec.Isolation)
	}
	if before == nil {
		return
	}
	if before.waiters--; before.waiters == 0 && c.meetings[before.id] != nil {
		delete(c.meetings, before.id)
		ctx.Send(c.o.Onions, &NoMeet{Meeting: before.id, Address: before.address})
	}
}

// metWith puts a circuit to use that joined a service.
func (c *circuits) metWith(ctx actor.Context, m *Met) {
	r := c.ownedBy(m.Owner, m.Token)
	meeting := c.meetings[m.Meeting]
	switch {
	case r == nil || !r.open || r.closing:
		if meeting != nil {
			c.notMet(ctx, &NotMet{Meeting: m.Meeting, Outcome: chivev1.Outcome_OUTCOME_ONION_RENDEZVOUS, Cause: m.Cause})
		}
		return
	case meeting == nil: // nobody waits any more
		c.disown(ctx, r)
		return
	}
	delete(c.meetings, m.Meeting)
	r.meets, r.idleSince = &meeting.address, c.o.Now()
	c.met[meeting.address] = append(c.met[meeting.address], r)
	c.placeFirst(ctx, meeting)
	c.serve(ctx)
}

// placeFirst places those who waited for a meeting, before others who could take its circuit
// while it carries nothing: their meetings would be called off, and begun anew for these.
func (c *circuits) placeFirst(ctx actor.Context, m *meeting) {
	c.placeAll(ctx, func(w *waiting) bool {
		waited := w.meeting == m
		if waited {
			w.meeting = nil
		}
		return waited
	})
}

// notMet refuses the streams that wait for a meeting.
func (c *circuits) notMet(ctx actor.Context, m *NotMet) {
	meeting := c.meetings[m.Meeting]
	if meeting == nil {
		return
	}
	delete(c.meetings, m.Meeting)
	left := c.queue[:0]
	for _, w := range c.queue {
		if w.meeting != meeting {
			left = append(left, w)
			continue
		}
		w.meeting, w.over = nil, true
		if m.Cause != "" {
			w.Spec.Cause = m.Cause
		}
		c.refuse(w.Spec, m.Outcome)
	}
	clear(c.queue[len(left):])
	c.queue = left
	c.serve(ctx)
}

func (c *circuits) onionsGone(ctx actor.Context) {
	for _, id := range slices.Sorted(maps.Keys(c.meetings)) {
		c.notMet(ctx, &NotMet{Meeting: id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL})
	}
	for _, r := range c.records {
		if r.owned() && !hosts(r.aim()) && !r.wish.Visit {
			c.disown(ctx, r)
		}
	}
	c.opens = slices.DeleteFunc(c.opens, func(o *Open) bool { return !hosts(o.Purpose) && !o.Visit })
}

// parted forgets a circuit that is no more.
func (c *circuits) parted(r *record) {
	if r.meets == nil {
		return
	}
	left := slices.DeleteFunc(c.met[*r.meets], func(o *record) bool { return o == r })
	if c.met[*r.meets] = left; len(left) == 0 {
		delete(c.met, *r.meets)
	}
}
