package hosting

import (
	"fmt"
	"maps"
	"sync/atomic"

	"chive/tor/netdoc"
	"chive/tor/onion/host"
)

// mostRelays bounds the relays of introduction points that are remembered: of those that are
// used, and of enough that were.
const mostRelays = 256

// pastRelays are the relays of a service's introduction points in this run, by number. They
// are in memory alone: events of the history have the numbers only.
type pastRelays struct {
	known  atomic.Pointer[map[string]string] // a map is not changed
	points []host.PointID                    // in it, the oldest first; of the service's actor alone
}

func (p *pastRelays) note(point host.PointID, relay netdoc.Digest) {
	had, key := p.read(), fmt.Sprint(point)
	if _, ok := had[key]; ok {
		return
	}
	next := maps.Clone(had)
	if next == nil {
		next = map[string]string{}
	}
	next[key] = fmt.Sprintf("%X", relay[:])
	if p.points = append(p.points, point); len(p.points) > mostRelays {
		delete(next, fmt.Sprint(p.points[0]))
		p.points = p.points[1:]
	}
	p.known.Store(&next)
}

func (p *pastRelays) read() map[string]string {
	if m := p.known.Load(); m != nil {
		return *m
	}
	return nil
}
