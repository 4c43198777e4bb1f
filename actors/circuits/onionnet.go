package circuits

import (
	"maps"
	"slices"
	"sync"

	"chive/tor/circuit"
	"chive/tor/congestion"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
	"chive/tor/path"
)

// OnionNetwork is a view of the network for the actors that reach onion services and those
// that host them. All share one: what each of many would look up in thousands of relays is
// looked up once. Nobody changes it.
type OnionNetwork struct {
	Consensus *netdoc.Consensus
	Index     *path.Index
	// Increment is the consensus's of SENDMEs between client and service; 0: there is no
	// congestion control.
	Increment int

	directories map[[32]byte]*path.Relay // that keep descriptors, by Ed25519 identity

	mu    sync.Mutex // protects rings
	rings map[onion.Slot]*onion.Ring
}

// NewOnionNetwork makes it.
func NewOnionNetwork(c *netdoc.Consensus, x *path.Index) *OnionNetwork {
	n := &OnionNetwork{Consensus: c, Index: x, directories: map[[32]byte]*path.Relay{}, rings: map[onion.Slot]*onion.Ring{}}
	for _, r := range x.OnionDirectories() {
		n.directories[r.Ed25519] = r
	}
	if c.Params.Get("cc_alg", 2, 0, 3) == 2 {
		n.Increment = congestion.Increment(c.Params.Get)
	}
	return n
}

// Directory is one that keeps descriptors, by its Ed25519 identity; nil: it does not in this
// view.
func (n *OnionNetwork) Directory(id [32]byte) *path.Relay { return n.directories[id] }

// Ring is the ring of the directories in a slot: a hash of each of them, so that it is made
// once. A view has two or three.
func (n *OnionNetwork) Ring(s onion.Slot) *onion.Ring {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.rings[s]
	if r == nil {
		r = onion.NewRing(s, slices.Collect(maps.Keys(n.directories)))
		n.rings[s] = r
	}
	return r
}

// HopOf is how to reach a relay of the consensus.
func HopOf(r *path.Relay) circuit.Hop {
	return circuit.Hop{
		RSA: r.Identity, Ed25519: r.Ed25519, NtorKey: r.NtorKey, IPv4: r.IPv4, IPv6: r.IPv6,
		CongestionControl: r.CongestionControl(), CGO: r.CGO(),
	}
}

// HopAt is how to reach a relay as a client or a service described it to the other.
func HopAt(p relaymsg.Point) *circuit.Hop {
	return &circuit.Hop{RSA: p.RSA, Ed25519: p.Ed25519, NtorKey: p.OnionKey, IPv4: p.IPv4}
}

// PointOf describes a hop to the other.
func PointOf(h *circuit.Hop) relaymsg.Point {
	return relaymsg.Point{RSA: h.RSA, Ed25519: h.Ed25519, IPv4: h.IPv4, IPv6: h.IPv6, OnionKey: h.NtorKey}
}
