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
	known atomic.Pointer[map[uint64]string] // a map is not changed
}

func (p *pastRelays) note(point host.PointID, relay netdoc.Digest) {
	had := p.read()
	if _, ok := had[uint64(point)]; ok {
		return
	}
	next := maps.Clone(had)
	if next == nil {
		next = map[uint64]string{}
	}
	next[uint64(point)] = fmt.Sprintf("%X", relay[:])
	for len(next) > mostRelays {
		oldest := uint64(point)
		for id := range next {
			oldest = min(oldest, id) // numbers grow
		}
		delete(next, oldest)
	}
	p.known.Store(&next)
}

func (p *pastRelays) read() map[uint64]string {
	if m := p.known.Load(); m != nil {
		return *m
	}
	return nil
}
