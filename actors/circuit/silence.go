package circuit

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/stream"
	"chive/messages/chivev1"
)

// LegSilent tells a conflux set that the guard of a leg that is open went silent.
type LegSilent struct{ ID, Cause string }

// silentOutcome is how what was on a silent connection ends.
const silentOutcome = chivev1.Outcome_OUTCOME_CONNECTION_LOST

// silent: the guard says nothing any more, on any circuit. What is built, or waits for use,
// ends: another takes its place, over another connection. Streams that are connected stay: the
// network may come back, and nothing is lost then. If not, they end with the connection.
func (c *circuitActor) silent(ctx actor.Context, cause string) {
	switch {
	case c.closing:
		return
	case c.o.Leg != nil && !c.opened.IsZero():
		ctx.Send(ctx.Parent(), &LegSilent{ID: c.o.ID, Cause: cause})
		return
	}
	c.quiet = true
	if !c.keepsStreams(ctx) {
		c.cause = cause
		c.end(ctx, silentOutcome, nil)
	}
}

// keepsStreams has a circuit take no new streams, and those that are not connected go to
// another; false: there are no others.
func (c *circuitActor) keepsStreams(ctx actor.Context) bool {
	kept := false
	for _, l := range c.lanes {
		kept = kept || l.there || l.served()
	}
	if !kept {
		return false
	}
	ctx.Send(ctx.Parent(), &Tired{ID: c.o.ID})
	for _, l := range c.lanes {
		if l.pid != nil && !l.there && !l.served() {
			ctx.Send(l.pid, &stream.CircuitSilent{Outcome: silentOutcome})
		}
	}
	return true
}

// legSilent: what a set sends or gets next may go by way of that guard.
func (s *setActor) legSilent(ctx actor.Context, m *LegSilent) {
	l := s.leg(m.ID)
	switch {
	case l == nil || l.lost || s.closing:
	case s.opened.IsZero(): // it gets another leg
		s.giveUp(ctx, l, silentOutcome)
	case !s.keepsStreams(ctx):
		s.cause = m.Cause
		s.endSet(ctx, silentOutcome, nil)
	}
}
