package circuits

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/messages/chivev1"
)

// rebuild lets no circuit take new streams: those without any close, the others with their
// last. What is being built is of no use any more, as its path is one that would not be
// chosen now, or its connection one that leads nowhere: it ends at once, with an outcome that
// is held against nobody, and gives up its place. What waited for it gets another.
func (c *circuits) rebuild(ctx actor.Context) {
	if c.closing != nil {
		return // all are ending
	}
	for _, r := range c.records {
		switch {
		case r.closing:
		case r.purpose == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION && r.owned():
			// It carries no streams, and lives for a day: its owner asks for another.
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
		case r.set != nil && !r.late: // a leg: its set ends it
			r.tired = true
		case r.open, r.waits && !r.owned():
			r.tired = true
			c.retire(ctx, r)
		default:
			c.anew(ctx, r)
		}
	}
}

// anew ends a circuit that no one can use yet. Its owner, if it has one, gets another.
func (c *circuits) anew(ctx actor.Context, r *record) {
	if r.owned() && !r.abandoned {
		r.abandoned = true
		c.waitsAgain(ctx, r.wish)
	}
	c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
}
