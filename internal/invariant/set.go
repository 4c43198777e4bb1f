package invariant

import (
	"bytes"

	"chive/messages/chivev1"
	"chive/messages/fold"
)

// linked checks a leg against the other legs of its set.
func (c *checker) linked(e *chivev1.Envelope, set *circuit, id string) {
	leg := c.circuits[id]
	if leg == nil || leg.State != fold.CircuitOpen || leg.Set != set.ID {
		c.missing(e, "linked circuit %s, which is not open or not of this set", id)
		return
	}
	for _, other := range set.linked {
		c.apart(e, leg.path, c.circuits[other].path)
	}
	set.linked = append(set.linked, id)
}

// apart: two legs have their last hop in common and nothing else.
func (c *checker) apart(e *chivev1.Envelope, a, b [][]byte) {
	if len(a) == 0 || len(b) == 0 || !bytes.Equal(a[len(a)-1], b[len(b)-1]) {
		c.say(e, "legs of one conflux set end at different exits")
		return
	}
	for _, x := range a[:len(a)-1] {
		for _, y := range b {
			if bytes.Equal(x, y) {
				c.say(e, "legs of one conflux set share a relay that is not their exit")
			}
		}
	}
}

func (c *checker) legsEnded(e *chivev1.Envelope, set *circuit) {
	for _, id := range set.legs {
		if !c.circuits[id].Ended() {
			c.missing(e, "ended before its leg %s", id)
		}
	}
}
