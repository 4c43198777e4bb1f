package connections

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/messages/chivev1"
)

const (
	// suspectLimit is what a dial may take, handshakes and all, after a connection to the relay
	// went silent. One that took long before may take twice that.
	suspectLimit = 10 * time.Second
	// mutes is how many connections in a row must have been made, and nothing at all have come
	// on them, until the relay counts as one that cannot be connected to.
	mutes = 2
)

// limit is what the next dial may take; 0: as long as any.
func (e *entry) limit() time.Duration {
	if !e.suspect {
		return 0
	}
	return max(suspectLimit, 2*e.took)
}

// silent has the next circuit through a relay dial anew, as the connection that is there went
// silent. That blames nobody: the dial will show whether the relay is there. But one that lets
// itself be connected to, and then says nothing each time, would be dialled again and again, so
// the second such connection in a row has failed like one that was not made. One that was left
// with the network of before goes silent for that, and says nothing of the relay or of this
// network.
func (c *connections) silent(ctx actor.Context, m *connection.Silent) {
	x := c.conns[m.ID]
	if x == nil {
		return
	}
	e := x.entry
	if x.shared() {
		e.conn = nil
	}
	if x.silent = true; x.left {
		return
	}
	e.suspect = true
	for _, other := range c.conns {
		if other != x && other.link != nil {
			ctx.Send(other.pid, &connection.Doubt{})
		}
	}
	if m.Heard || c.answers(e) {
		e.mute = 0
	}
	if !m.Heard {
		e.mute++
	}
	if e.mute < mutes {
		e.until = later(e.until, c.o.Now())
		return
	}
	e.failures = max(e.failures, e.mute-mutes) // that it was made has cleared them
	permit, _ := e.breaker.Acquire()           // of one that is open: it counts already
	c.failed(e, permit, chivev1.Outcome_OUTCOME_TIMEOUT)
	c.unreachable(e, chivev1.Outcome_OUTCOME_TIMEOUT)
}

// answers: is there a connection on which the relay has sent something, and did not go silent?
func (c *connections) answers(e *entry) bool {
	for _, x := range c.conns {
		if x.entry == e && !x.left && !x.silent && x.answered != nil && x.answered() {
			return true
		}
	}
	return false
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
