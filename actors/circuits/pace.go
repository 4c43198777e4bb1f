package circuits

import (
	"slices"
	"time"

	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/pace"
	"chive/tor/path"
)

// guardPace is how many circuits are being built through one guard.
type guardPace struct {
	building int
	window   pace.Window
}

// maxPaces bounds the guards whose pace is remembered.
const maxPaces = 64

func (c *circuits) pace(guard netdoc.Digest) *guardPace {
	p := c.paces[guard]
	if p == nil {
		if len(c.paces) >= maxPaces {
			for id, other := range c.paces { // any that is idle: it is learned anew in a moment
				if other.building == 0 {
					delete(c.paces, id)
				}
			}
		}
		p = &guardPace{}
		c.paces[guard] = p
	}
	return p
}

// room says whether the guard of a path can take one more circuit now. The path
// is not changed for it: what has no room waits.
func (c *circuits) room(relays []*path.Relay) bool { return c.roomAt(relays[0].Identity) }

func (c *circuits) roomAt(guard netdoc.Digest) bool {
	p := c.pace(guard)
	return p.window.Room(p.building, c.mostBuilding())
}

// planFor is the path that a request is waiting with, or a new one. It is dropped
// when the guards' state no longer has its guard; when its exit is not to be used any
// more it is another one by the same guard.
func (c *circuits) planFor(w *waiting) ([]*path.Relay, error) {
	if !c.dir.Enough {
		return nil, errNotYet
	}
	avoid, guards := c.avoided(w), c.o.Guards.Candidates(c.o.Now())
	if w.plan == nil {
		return c.pathBy(guards, w.want, avoid)
	}
	at := slices.Index(guards, w.plan[0].Identity)
	switch {
	case at < 0:
		return c.pathBy(guards, w.want, avoid)
	case slices.Contains(avoid, w.plan[len(w.plan)-1].Identity):
		return c.pathBy(guards[at:at+1], w.want, avoid)
	default:
		return w.plan, nil
	}
}

// paced takes the time of a circuit that has just opened.
func (c *circuits) paced(r *record, took time.Duration) {
	if r.purpose == chivev1.Purpose_PURPOSE_GENERAL {
		p := c.pace(r.first)
		p.window.Built(took, p.building, c.mostBuilding(), c.o.Now())
	}
}

// ended counts a circuit that is not being built any more, or only measured.
func (c *circuits) ended(r *record) {
	if r.open || r.waits || r.late || r.isSet || r.far {
		return
	}
	c.building--
	if r.guarded() {
		c.pace(r.first).building--
	}
}
