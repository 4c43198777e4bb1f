package circuit

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages/chivev1"
)

// Relays throw away what waits for a circuit when they hear of its end. A circuit that is not
// needed any more, as its last stream has ended, may still have that stream's last bytes to
// send, or on their way: an application that only sends, and closes, hears of no answer that
// would tell. So the circuit stays a little longer.
const (
	// arriveTime is after what time data of a stream that we ended has arrived.
	arriveTime = 5 * time.Second
	// stayTime bounds how long a circuit stays: an exit may never let the rest go.
	stayTime = 30 * time.Second
	// lookAgain is how often it is looked whether a stream's rest has gone.
	lookAgain = time.Second
)

// staying is how long.
type staying struct {
	arrives time.Time // when what streams sent last has arrived; zero: it has
	since   time.Time // when the circuit would have ended but for that
}

// follows notes that END goes out behind a stream's data.
func (c *circuitActor) follows(l *lane) {
	if at := l.sent.Add(arriveTime); !l.sent.IsZero() && at.After(c.stay.arrives) {
		c.stay.arrives = at
	}
}

// stays keeps a circuit that nothing uses until what its streams sent has arrived; false: it
// may end. It is asked again then.
func (c *circuitActor) stays(ctx actor.Context, why chivev1.Outcome) bool {
	switch why {
	case chivev1.Outcome_OUTCOME_IDLE, chivev1.Outcome_OUTCOME_REPLACED:
	default:
		return false
	}
	if c.serve != nil {
		return false // a client of ours is cut off: he begins no more streams, not even one
	}
	now := c.o.Now()
	wait := c.stay.arrives.Sub(now)
	for _, l := range c.lanes {
		if l.finish != nil {
			wait = max(wait, lookAgain)
		}
	}
	if c.closing || wait <= 0 {
		return false
	}
	if c.stay.since.IsZero() {
		c.stay.since = now
	}
	if wait = min(wait, c.stay.since.Add(stayTime).Sub(now)); wait <= 0 {
		return false
	}
	c.timer.Stop()
	c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), wait, &Close{Outcome: why})
	return true
}
