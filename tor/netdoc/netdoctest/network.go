package netdoctest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"chive/tor/netdoc"
)

// Options says what network to make. The zero value is ten relays under three authorities.
type Options struct {
	Relays      int    // default 10
	Authorities int    // default 3
	Signers     int    // how many of them sign; default all, -1 none
	Seed        uint64 // another seed, other keys
	KeyBits     int    // of authorities' RSA keys; default 1024, the least that is legal
	// ValidAfter begins the consensus' life: an hour fresh, three hours valid, authorities' certificates valid
	// from a month before to eleven months after. Default 2026-07-01 10:00:00 UTC.
	ValidAfter time.Time
	Fresh      time.Duration // fresh-until minus valid-after; default one hour
	Valid      time.Duration // valid-until minus valid-after; default three times Fresh
	Params     string        // arguments of the "params" line, sorted by name
	Weights    string        // arguments of "bandwidth-weights"; default a plausible set
	// Required is the "required-client-protocols" line; default what the network of July 2026 required.
	Required string
	// Relay, if set, may change each relay before it is written down; i counts from 0 in the order of making.
	Relay func(i int, r *Relay)
}

// Network is a made network. Documents are whole texts as directories serve them.
type Network struct {
	Consensus  []byte // signed
	Certs      []byte // every authority's certificate, concatenated
	Microdescs []byte // every relay's microdescriptor, concatenated
	V3Idents   []netdoc.Digest

	Relays      []*Relay // ascending by Identity, as in the consensus
	Authorities []*Authority
	ValidAfter  time.Time
	FreshUntil  time.Time
	ValidUntil  time.Time

	// Body is the consensus up to its first signature: change a copy and Sign it for documents that are wrong but
	// well signed.
	Body []byte
}

// weightsDefault are the live network's of July 2026.
const weightsDefault = "Wbd=817 Wbe=0 Wbg=4040 Wbm=10000 Wdb=10000 Web=10000 Wed=8366 Wee=10000 Weg=8366 Wem=10000 " +
	"Wgb=10000 Wgd=817 Wgg=5960 Wgm=5960 Wmb=10000 Wmd=817 Wme=0 Wmg=4040 Wmm=10000"

func (o Options) withDefaults() Options {
	setDefault(&o.Relays, 10)
	setDefault(&o.Authorities, 3)
	setDefault(&o.Signers, o.Authorities)
	setDefault(&o.KeyBits, 1024)
	setDefault(&o.ValidAfter, time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC))
	setDefault(&o.Fresh, time.Hour)
	setDefault(&o.Valid, 3*o.Fresh)
	setDefault(&o.Weights, weightsDefault)
	setDefault(&o.Required, "Cons=2 Desc=2 FlowCtrl=1 Link=4 Microdesc=2 Relay=2")
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// New makes a network.
func New(options Options) *Network {
	o := options.withDefaults()
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], o.Seed)
	random := rand.NewChaCha8(seed)
	n := &Network{
		ValidAfter: o.ValidAfter,
		FreshUntil: o.ValidAfter.Add(o.Fresh),
		ValidUntil: o.ValidAfter.Add(o.Valid),
	}
	n.makeAuthorities(random, o)
	n.makeRelays(random, o)
	n.Body = n.body(o)
	n.Consensus = Sign(n.Body, "sha256", n.Authorities[:max(0, min(o.Signers, o.Authorities))]...)
	return n
}

func (n *Network) makeAuthorities(random io.Reader, o Options) {
	for i := range o.Authorities {
		n.Authorities = append(n.Authorities, newAuthority(random, i, o.KeyBits))
	}
	slices.SortFunc(n.Authorities, func(a, b *Authority) int { return bytes.Compare(a.Identity[:], b.Identity[:]) })
	for _, a := range n.Authorities {
		n.V3Idents = append(n.V3Idents, a.Identity)
		n.Certs = append(n.Certs, a.Cert(o.ValidAfter.AddDate(0, -1, 0), o.ValidAfter.AddDate(0, 11, 0))...)
	}
}

func (n *Network) makeRelays(random io.Reader, o Options) {
	for i := range o.Relays {
		r := newRelay(random, i)
		if o.Relay != nil {
			o.Relay(i, r)
		}
		r.finish()
		n.Relays = append(n.Relays, r)
		n.Microdescs = append(n.Microdescs, r.Microdesc...)
	}
	slices.SortFunc(n.Relays, func(a, b *Relay) int { return bytes.Compare(a.Identity[:], b.Identity[:]) })
}

// body writes the consensus up to the signatures (dir-spec 3.4.1).
func (n *Network) body(o Options) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "network-status-version 3 microdesc\nvote-status consensus\nconsensus-method 35\n"+
		"valid-after %s\nfresh-until %s\nvalid-until %s\nvoting-delay 300 300\n",
		stamp(n.ValidAfter), stamp(n.FreshUntil), stamp(n.ValidUntil))
	b.WriteString("client-versions 0.4.9.10,0.4.9.11\nserver-versions 0.4.9.10,0.4.9.11\n" +
		"known-flags Authority BadExit Exit Fast Guard HSDir MiddleOnly NoEdConsensus Running Stable StaleDesc Sybil V2Dir Valid\n" +
		"recommended-client-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4 HSRend=2 Link=4-5 Microdesc=2 Relay=2-4\n" +
		"recommended-relay-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4\n")
	fmt.Fprintf(&b, "required-client-protocols %s\n", o.Required)
	b.WriteString("required-relay-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4\n")
	if o.Params != "" {
		fmt.Fprintf(&b, "params %s\n", o.Params)
	}
	b.WriteString("shared-rand-previous-value 9 B7WEEFCA6Jb1/tqV05207vqC/eJUlBPr7QemYm5FCCU=\n" +
		"shared-rand-current-value 9 zwbAmnMGie00x5rmWGk+lP2rTXK2n0OmkF/1Ih4LcAI=\n")
	for i, a := range n.Authorities {
		fmt.Fprintf(&b, "dir-source %s %v 127.0.0.1 127.0.0.1 %d %d\ncontact somebody <nobody@example.com>\nvote-digest %v\n",
			a.Nickname, a.Identity, 7000+i, 5000+i, a.SigningDigest)
	}
	for _, r := range n.Relays {
		r.writeEntry(&b)
	}
	fmt.Fprintf(&b, "directory-footer\nbandwidth-weights %s\n", o.Weights)
	return b.Bytes()
}

// ConsensusSignedBy is the consensus with the signatures of some authorities only, by their place in Authorities;
// a place may be given more than once.
func (n *Network) ConsensusSignedBy(places ...int) []byte {
	var signers []*Authority
	for _, i := range places {
		signers = append(signers, n.Authorities[i])
	}
	return Sign(n.Body, "sha256", signers...)
}
