package circuits

import (
	"chive/tor/circuit"
	"chive/tor/congestion"
	"chive/tor/netdoc"
	"chive/tor/onion/relaymsg"
	"chive/tor/path"
)

// OnionNetwork is a view of the network for the actors that reach onion services and those
// that host them. All share one: what each of many would look up in thousands of relays is
// looked up once. It is read-only.
type OnionNetwork struct {
	Consensus *netdoc.Consensus
	Index     *path.Index
	// Directories keep descriptors: in the order of the consensus, by Ed25519 identity.
	Directories [][32]byte
	// Increment is the consensus's of SENDMEs between client and service; 0: there is no
	// congestion control.
	Increment int

	relays map[[32]byte]*path.Relay // of Directories
}

// NewOnionNetwork makes it.
func NewOnionNetwork(c *netdoc.Consensus, x *path.Index) *OnionNetwork {
	n := &OnionNetwork{Consensus: c, Index: x, relays: map[[32]byte]*path.Relay{}}
	for _, r := range x.OnionDirectories() {
		n.relays[r.Ed25519] = r
		n.Directories = append(n.Directories, r.Ed25519)
	}
	if c.Params.Get("cc_alg", 2, 0, 3) == 2 {
		n.Increment = congestion.Increment(c.Params.Get)
	}
	return n
}

// Directory is one of them; nil: it is none in this view.
func (n *OnionNetwork) Directory(id [32]byte) *path.Relay { return n.relays[id] }

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
