package collapsed

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"time"

	"chive/internal/relaydouble"
	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

// Options describe a network.
type Options struct {
	CGO bool // every relay offers Counter Galois Onion; else tor1 is all there is
	// Window is how many cells of a download are on their way at most; 0 means 2000, the
	// bandwidth-delay product of nothing a client could not take.
	Window int
}

const (
	defaultWindow = 2000
	increment     = 31 // cells a SENDME is for, as on the public network
)

// Network is a running network.
type Network struct {
	relay *relaydouble.Relay
	docs  *documents
	torrc []string
}

// What the relays are, in the order of their hops.
var roles = []netdoc.Flags{
	netdoc.FlagGuard, netdoc.FlagGuard, 0, 0, netdoc.FlagExit, netdoc.FlagExit,
}

// authority is the hop whose relay is the directory authority's, too.
const authority = 2

const (
	tor1Protocols = "Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=3-5 LinkAuth=3 Microdesc=1-3 Padding=2 Relay=2-4"
	cgoProtocols  = "Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=3-5 LinkAuth=3 Microdesc=1-3 Padding=2 Relay=2-6"
)

// params have congestion windows that begin where no queue of the machine's own counts.
const params = "cc_alg=2 cc_cwnd_init=1000 cc_cwnd_min=1000 cc_ss_max=5000 cc_sscap_exit=5000 cc_vegas_alpha_exit=1000 " +
	"cc_vegas_beta_exit=1000 cc_vegas_delta_exit=1000 cc_vegas_gamma_exit=1000 cfx_enabled=0 " +
	"sendme_accept_min_version=1 sendme_emit_min_version=1"

// Start runs a network until Close.
func Start(o Options) (*Network, error) {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	var keys []relaydouble.Keys
	for range roles {
		k, err := relaydouble.MakeKeys(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("collapsed network: %w", err)
		}
		keys = append(keys, k)
	}
	n := &Network{}
	var err error
	n.relay, err = relaydouble.New(relaydouble.Options{
		Hops: len(roles), Keys: keys, Handler: serve, Dir: n.directory,
		SendmeIncrement: increment, CGO: o.CGO, CircWindow: o.Window,
	})
	if err != nil {
		return nil, fmt.Errorf("collapsed network: %w", err)
	}
	if err := n.publish(keys, o.CGO, time.Now()); err != nil {
		n.Close()
		return nil, fmt.Errorf("collapsed network: %w", err)
	}
	return n, nil
}

// publish makes the directory's documents. The relays listen already and nobody knows them.
func (n *Network) publish(keys []relaydouble.Keys, cgo bool, now time.Time) error {
	hops := n.relay.Hops()
	var failed error
	made := netdoctest.New(netdoctest.Options{
		Relays: len(hops), Authorities: 1, ValidAfter: now.Add(-time.Minute).Truncate(time.Minute), KeyBits: 2048,
		Fresh: 12 * time.Hour, Params: params, Required: "Cons=2 Desc=2 FlowCtrl=1 Link=4 Microdesc=2 Relay=2",
		Relay: func(i int, r *netdoctest.Relay) {
			secret, err := ecdh.X25519().NewPrivateKey(keys[i].OnionSecret())
			if err != nil {
				failed = err
				return
			}
			r.Ntor = secret
			r.Identity, r.Ed25519, r.IPv4 = hops[i].RSA(), hops[i].Identity().Ed25519, hops[i].Addr()
			r.Flags = netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagV2Dir | roles[i]
			r.TAPKey = false // the key of the test network is none, and C tor looks at it
			r.Bandwidth = 100_000
			r.Policy4 = "reject 1-65535"
			if roles[i].Has(netdoc.FlagExit) {
				r.Policy4 = "accept 1-65535"
			}
			r.Protocols = tor1Protocols
			if cgo {
				r.Protocols = cgoProtocols
			}
		},
	})
	if failed != nil {
		return failed
	}
	n.docs = documentsOf(made)
	at, id := hops[authority].Addr(), netdoc.Digest(hops[authority].RSA())
	n.torrc = []string{
		"TestingTorNetwork 1",
		"EnforceDistinctSubnets 1",
		"OutboundBindAddress 127.0.0.1",
		// Nobody listens at the directory port: clients use the OR port.
		fmt.Sprintf("DirAuthority collapsed orport=%d v3ident=%v %v:9 %v", at.Port(), made.V3Idents[0], at.Addr(), id),
	}
	return nil
}

// Torrc is what a client of the network needs beside a data directory and a SOCKS port;
// C tor and chive both read it.
func (n *Network) Torrc() []string { return n.torrc }

// Violations are what clients did against the specification.
func (n *Network) Violations() []error { return n.relay.Violations() }

// Close ends the network.
func (n *Network) Close() { n.relay.Close() }
