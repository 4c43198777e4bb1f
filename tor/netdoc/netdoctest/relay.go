package netdoctest

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"chive/tor/netdoc"
)

// Relay is one relay of a test network. Options.Relay may change any field before it is written down; the keys
// whose private half is here fit together unless changed.
type Relay struct {
	Nickname   string
	Identity   netdoc.Digest // random: nothing in the documents shows the RSA key itself
	Ed25519    ed25519.PrivateKey
	Ntor       *ecdh.PrivateKey // curve25519
	IPv4       netip.AddrPort
	IPv6       netip.AddrPort // invalid: none
	DirPort    uint16
	Flags      netdoc.Flags
	Version    string
	Protocols  string
	Bandwidth  uint32
	Unmeasured bool
	Family     string // arguments of a "family" line; empty: none
	FamilyIDs  string
	Policy4    string // "accept 80,443"; empty: no line
	Policy6    string
	TAPKey     bool // write a key object under "onion-key", as before consensus method 36

	Microdesc []byte          // set by New
	MD        netdoc.MDDigest // set by New
}

// NtorPublic is the relay's circuit handshake key.
func (r *Relay) NtorPublic() (key [32]byte) {
	copy(key[:], r.Ntor.PublicKey().Bytes())
	return key
}

// EdPublic is the relay's Ed25519 identity.
func (r *Relay) EdPublic() (id netdoc.Ed25519ID) {
	copy(id[:], r.Ed25519.Public().(ed25519.PublicKey))
	return id
}

const (
	defaultVersion   = "Tor 0.4.9.11"
	defaultProtocols = "Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 Link=3-5 " +
		"LinkAuth=3 Microdesc=1-3 Padding=2 Relay=2-6"
	fastStable = netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagV2Dir | netdoc.FlagHSDir
)

// newRelay makes relays of four kinds in turn: guard, exit, guard and exit, middle; each in a /16 of its own as
// far as there are any, with a bandwidth that differs from its neighbours'.
func newRelay(random io.Reader, i int) *Relay {
	r := &Relay{
		Nickname:  fmt.Sprintf("relay%d", i),
		IPv4:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + i/250%120), byte(1 + i%250), byte(i / 30000), 1}), 9001),
		Flags:     fastStable,
		Version:   defaultVersion,
		Protocols: defaultProtocols,
		Bandwidth: uint32(1000 + 37*i%9000),
		Policy4:   "reject 1-65535",
		TAPKey:    i%2 == 0,
	}
	mustRead(random, r.Identity[:])
	seed := make([]byte, 32)
	mustRead(random, seed)
	r.Ed25519 = ed25519.NewKeyFromSeed(seed)
	mustRead(random, seed)
	r.Ntor, _ = ecdh.X25519().NewPrivateKey(seed) // any 32 bytes are a key
	if i%4 == 0 || i%4 == 2 {
		r.Flags |= netdoc.FlagGuard
	}
	if i%4 == 1 || i%4 == 2 {
		r.Flags |= netdoc.FlagExit
		r.Policy4 = "accept 20-23,43,53,79-81,88,110,143,194,220,389,443,464,531,543-544,554,563,587,636,993,995,8000-8080"
	}
	if i%3 == 0 {
		ip := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 8), byte(i), 15: 1}
		r.IPv6 = netip.AddrPortFrom(netip.AddrFrom16(ip), 9001)
		if r.Flags.Has(netdoc.FlagExit) {
			r.Policy6 = "accept 80,443"
		}
	}
	return r
}

// tapObject stands for a 1024-bit TAP key: the shape and size of one. Clients use no byte of it.
var tapObject = "-----BEGIN RSA PUBLIC KEY-----\n" + strings.Repeat(strings.Repeat("A", 64)+"\n", 3) + "-----END RSA PUBLIC KEY-----\n"

// finish writes the microdescriptor (dir-spec 3.3).
func (r *Relay) finish() {
	var b bytes.Buffer
	b.WriteString("onion-key\n")
	if r.TAPKey {
		b.WriteString(tapObject)
	}
	ntor, ed := r.NtorPublic(), r.EdPublic()
	fmt.Fprintf(&b, "ntor-onion-key %s\n", base64.RawStdEncoding.EncodeToString(ntor[:]))
	for _, line := range []struct{ keyword, args string }{
		{"family", r.Family}, {"family-ids", r.FamilyIDs}, {"p", r.Policy4}, {"p6", r.Policy6},
	} {
		if line.args != "" {
			fmt.Fprintf(&b, "%s %s\n", line.keyword, line.args)
		}
	}
	fmt.Fprintf(&b, "id ed25519 %v\n", ed)
	r.Microdesc = b.Bytes()
	r.MD = sha256.Sum256(r.Microdesc)
}

// writeEntry writes the relay's entry in the consensus (dir-spec 3.4.1, 3.9.2).
func (r *Relay) writeEntry(b *bytes.Buffer) {
	fmt.Fprintf(b, "r %s %s 2038-01-01 00:00:00 %v %d %d\n", r.Nickname,
		base64.RawStdEncoding.EncodeToString(r.Identity[:]), r.IPv4.Addr(), r.IPv4.Port(), r.DirPort)
	if r.IPv6.IsValid() {
		fmt.Fprintf(b, "a %v\n", r.IPv6)
	}
	fmt.Fprintf(b, "m %v\ns %v\nv %s\npr %s\nw Bandwidth=%d", r.MD, r.Flags, r.Version, r.Protocols, r.Bandwidth)
	if r.Unmeasured {
		b.WriteString(" Unmeasured=1")
	}
	b.WriteByte('\n')
}
