package circuits

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/messages/chivev1"
)

// Whose turn it is of those who wait for circuits to onion services: first what somebody waits
// for, in the order of asking, then what services of this node do at their leisure, which many
// of them may want at once. So that it goes on however many the others are, every fourth circuit
// is of those.

// Building tells the owner of a circuit for a hosted service that it is being built from now
// on; or, with Waits, that it has to be built anew and waits for that as it did at first.
type Building struct {
	Token uint64
	Waits bool
}

const (
	// mostAhead is how many others are launched while one waits that nobody waits for.
	mostAhead = 3
	// mostLeisurely bounds those of maxOpens that nobody waits for: there is room for the others.
	mostLeisurely = maxOpens * 3 / 4
	// mostVisitors bounds those of maxOpens that are to clients of our services.
	mostVisitors = maxOpens / 2
)

// visits says of a purpose that a client of ours is met by such a circuit.
func visits(p chivev1.Purpose) bool { return p == chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS }

// leisurely says of a purpose that nobody waits for such a circuit.
func leisurely(p chivev1.Purpose) bool {
	return p == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION || p == chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY
}

// mayWait says whether one more may wait for a circuit: neither what nobody waits for nor who
// visits our services takes all the room.
func (c *circuits) mayWait(p chivev1.Purpose) bool {
	most, same := maxOpens, func(chivev1.Purpose) bool { return true }
	switch {
	case leisurely(p):
		most, same = mostLeisurely, leisurely
	case visits(p):
		most, same = mostVisitors, visits
	}
	if len(c.opens) < most {
		return true
	}
	n := 0
	for _, m := range c.opens {
		if same(m.Purpose) {
			n++
		}
	}
	return n < most && len(c.opens) < maxOpens
}

// underway are the circuits being built that must leave room for others.
type underway struct{ visitors, leisurely int }

// underway counts the circuits being built to clients of our services, and those that nobody
// waits for.
func (c *circuits) underway() (n underway) {
	if len(c.opens) == 0 {
		return n
	}
	for _, r := range c.records {
		if !r.open && !r.waits && !r.closing && !r.far {
			n.add(r.aim())
		}
	}
	return n
}

func (n *underway) add(p chivev1.Purpose) {
	switch {
	case visits(p):
		n.visitors++
	case leisurely(p):
		n.leisurely++
	}
}

// nextOpen is whose turn it is, by its place in c.opens; -1: nobody's.
func (c *circuits) nextOpen(n underway) int {
	first, second := -1, -1
	for i, m := range c.opens {
		switch {
		case leisurely(m.Purpose):
			if second < 0 && n.leisurely < max(c.mostBuilding()*3/4, 1) { // the rest is for what is built ahead, too
				second = i
			}
		case visits(m.Purpose) && n.visitors >= max(c.mostBuilding()/2, 1):
			// who visits our services must not keep us from the network
		case first < 0:
			first = i
		}
		if first >= 0 && second >= 0 {
			break
		}
	}
	if first < 0 || second >= 0 && c.ahead >= mostAhead {
		return second
	}
	return first
}

// tookTurn notes that one of those who wait has a circuit, or will not have one.
func (c *circuits) tookTurn(ctx actor.Context, m *Open, built bool) {
	if leisurely(m.Purpose) {
		c.ahead = 0
	} else {
		c.ahead++
	}
	if built {
		c.begun(ctx, m)
	}
}

// begun tells the owner of a circuit that it is being built.
func (c *circuits) begun(ctx actor.Context, m *Open) {
	if hosts(m.Purpose) {
		ctx.Send(m.Owner, &Building{Token: m.Token})
	}
}

// waitsAgain: the circuit that was being built for an owner is to be another.
func (c *circuits) waitsAgain(ctx actor.Context, m *Open) {
	c.opens = append(c.opens, m)
	if hosts(m.Purpose) {
		ctx.Send(m.Owner, &Building{Token: m.Token, Waits: true})
	}
}
