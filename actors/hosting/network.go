package hosting

import (
	"math/rand/v2"

	"chive/actors/circuits"
	torcircuit "chive/tor/circuit"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/host"
	"chive/tor/onion/relaymsg"
	"chive/tor/path"
)

// network is a view of the network as one service has it.
type network struct {
	host.View
	shared *circuits.OnionNetwork
}

func networkOf(m *circuits.OnionNetwork, o *Options) *network {
	c := m.Consensus
	n := &network{shared: m, View: host.View{
		Network: onion.NewNetwork(c, o.Testing), Until: c.ValidUntil.Add(netdoc.ReasonablyLive),
		Relays: &relays{m.Index, o.Rand()}, Ring: m.Ring, AllowPrivate: o.AllowPrivate, Params: host.ParamsOf(c.Params),
	}}
	if m.Increment > 0 {
		n.FlowControl = &descriptor.FlowControl{Versions: flowControl, SendmeInc: uint8(m.Increment)}
	}
	return n
}

// flowControl is what services offer.
var flowControl = func() netdoc.Protocols {
	p, err := netdoc.ParseProtocols("FlowCtrl=1-2")
	if err != nil {
		panic(err)
	}
	return p
}()

// relays implements host.Relays.
type relays struct {
	index *path.Index
	rng   *rand.Rand
}

// Pick implements host.Relays.
func (r *relays) Pick(exclude func(netdoc.Digest) bool) (host.Relay, bool) {
	relay, err := r.index.PickIntroduction(r.rng, exclude)
	if err != nil {
		return host.Relay{}, false
	}
	return relayOf(relay), true
}

// Find implements host.Relays.
func (r *relays) Find(id netdoc.Digest) (host.Relay, bool) {
	relay, ok := r.index.FitIntroduction(id)
	if !ok {
		return host.Relay{}, false
	}
	return relayOf(relay), true
}

func relayOf(r *path.Relay) host.Relay {
	p := relaymsg.Point{RSA: r.Identity, Ed25519: r.Ed25519, IPv4: r.IPv4, IPv6: r.IPv6, OnionKey: r.NtorKey}
	return host.Relay{Identity: r.Identity, Specs: p.Specs(), OnionKey: r.NtorKey, DoS: r.LimitsIntroductions()}
}

// hop is how to reach an introduction point.
func (n *network) hop(id netdoc.Digest) (torcircuit.Hop, bool) {
	r, ok := n.shared.Index.FitIntroduction(id)
	if !ok {
		return torcircuit.Hop{}, false
	}
	return circuits.HopOf(r), true
}

// directory is how to reach a directory.
func (n *network) directory(ed [32]byte) (torcircuit.Hop, bool) {
	r := n.shared.Directory(ed)
	if r == nil {
		return torcircuit.Hop{}, false
	}
	return circuits.HopOf(r), true
}
