package config

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Nats is how the node takes part in NATS beyond its own embedded server.
type Nats struct {
	NatsURLs                  []string // servers of others to be a client of, instead of the embedded one; none: the embedded one
	NatsNodeCredentialFile    string   // absolute; this node's nkey seed for NatsURLs
	NatsTLSCert, NatsTLSKey   string   // absolute, or ""; the embedded server's
	NatsTLSCA                 string   // absolute, or ""; whose certificates are believed; "": the system's
	NatsClusterListen         string   // address:port for other embedded servers; "" for none
	NatsClusterCredentialFile string   // absolute; the secret that the servers of a cluster share
	NatsRoutes                []string // host:port of other servers of the cluster
	FleetConfigKeys           []string // public nkeys that may sign the fleet's configuration
	FleetReplicas             int      // servers that hold each of the fleet's buckets
}

// InFleet says whether the node takes part in a fleet. One that does not runs
// nothing for it.
func (c *Config) InFleet() bool {
	return len(c.NatsURLs) > 0 || c.NatsClusterListen != "" || len(c.FleetConfigKeys) > 0
}

const (
	serverStarts = "Needs a restart: the embedded server takes it when it starts."
	connects     = "Needs a restart: the node connects when it starts."
)

// natsOptions are those of other servers and of the fleet.
var natsOptions = []Option{
	words(Option{
		Name: "NatsUrl", List: true, Own: true, Class: Restart, Effect: connects, RemoteDenied: deniedTrust,
		Range: "nats://host:port on this machine, tls://host:port anywhere",
		Doc:   "Take part in the fleet on these NATS servers, which are one cluster, instead of on the embedded one. The node is let in with NatsNodeCredentialFile. The embedded server serves the command line alone then, so that a lost NATS server takes nothing from the operator of this node.",
	}, "url", serverURL, func(c *Config) *[]string { return &c.NatsURLs }),
	path(Option{
		Name: "NatsNodeCredentialFile", Default: "", Own: true, Class: Restart, RemoteDenied: deniedFiles, Effect: connects,
		Doc: "This node's nkey seed for NatsUrl, as `chive fleet credentials` writes it. Default: nats-node.nk in the DataDirectory.",
	}, "file", func(c *Config) *string { return &c.NatsNodeCredentialFile }),
	path(Option{
		Name: "NatsTLSCert", Default: "", Own: true, Class: Restart, RemoteDenied: deniedFiles, Effect: serverStarts,
		Doc: "The embedded server's certificate, in PEM, with what leads to its CA. With it and NatsTLSKey its listeners speak TLS only, and may be on addresses that other machines reach.",
	}, "file", func(c *Config) *string { return &c.NatsTLSCert }),
	path(Option{
		Name: "NatsTLSKey", Default: "", Own: true, Class: Restart, RemoteDenied: deniedFiles, Effect: serverStarts,
		Doc: "The private key of NatsTLSCert, in PEM.",
	}, "file", func(c *Config) *string { return &c.NatsTLSKey }),
	path(Option{
		Name: "NatsTLSCA", Default: "", Own: true, Class: Restart, RemoteDenied: deniedTrust, Effect: connects,
		Doc: "Certificates, in PEM, of the authorities that NatsUrl and the servers of the cluster are believed by. Default: the system's; a cluster with TLS needs it.",
	}, "file", func(c *Config) *string { return &c.NatsTLSCA }),
	place(Option{
		Name: "NatsClusterListen", Default: "0", Own: true, Class: Restart, Effect: serverStarts, RemoteDenied: deniedListener,
		Doc: "Make the embedded server one of a cluster, whose name is the fleet's: others reach it here. Needs NatsClusterCredentialFile; beyond loopback, TLS with NatsTLSCert, NatsTLSKey and NatsTLSCA on both sides. Three servers or more keep the fleet's configuration when one is lost; two keep nothing then, not even for each other; see FleetReplicas.",
	}, func(c *Config) *string { return &c.NatsClusterListen }),
	path(Option{
		Name: "NatsClusterCredentialFile", Default: "", Own: true, Class: Restart, RemoteDenied: deniedFiles, Effect: serverStarts,
		Doc: "A file with the secret that the servers of the cluster share: one line of 16 to 128 letters, digits and dashes. `chive fleet credentials` makes one. Default: nats-cluster.secret in the DataDirectory.",
	}, "file", func(c *Config) *string { return &c.NatsClusterCredentialFile }),
	words(Option{
		Name: "NatsRoutes", List: true, Own: true, Class: Restart, Effect: serverStarts, RemoteDenied: deniedTrust,
		Range: "host:port",
		Doc:   "The NatsClusterListen of another server of the cluster. Naming one that runs is enough to find all.",
	}, "route", routeAddress, func(c *Config) *[]string { return &c.NatsRoutes }),
	words(Option{
		Name: "FleetConfigKey", List: true, Own: true, Class: Restart, RemoteDenied: deniedTrust,
		Effect: "Needs a restart: who may configure the node is settled before it listens to anybody.",
		Range:  "a public nkey: 56 characters, the first of which is U",
		Doc:    "A key whose holder may configure this node through the fleet, within what the options allow to be set remotely. `chive fleet credentials` makes one and prints its public half. None: no configuration of the fleet is believed.",
	}, "nkey", publicKey, func(c *Config) *[]string { return &c.FleetConfigKeys }),
	number(Option{
		Name: "FleetReplicas", Default: "1", Own: true, Class: Restart, RemoteDenied: deniedTrust,
		Effect: "Needs a restart: buckets are made when the node starts; one that exists keeps what it was made with.",
		Doc:    "How many NATS servers hold each of the fleet's buckets (configuration, acknowledgements, members, shared onion services). A majority of these has to be there for anything to be stored: with 3 in a cluster of three one may be lost, with 2 none, with 4 no more than with 3. `chive check` warns of 2, of 4, and of 1 in a cluster of embedded servers.",
	}, "servers", 1, 5, func(c *Config) *int { return &c.FleetReplicas }),
}

// words is a list of which each line is one word that check accepts.
func words(o Option, kind string, check func(string) (string, error), field func(*Config) *[]string) Option {
	o.Type = kind
	o.apply = func(b *builder, l Line) {
		word, err := check(l.Value)
		if err != nil {
			b.fail(l, ErrValue, "%v", err)
			return
		}
		if all := field(&b.cfg); !slices.Contains(*all, word) {
			*all = append(*all, word)
		}
	}
	o.show = func(c *Config) []string { return slices.Clone(*field(c)) }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

// place is an address and port to listen on; who may reach it is checked with the
// rest, in checkNats.
func place(o Option, field func(*Config) *string) Option {
	o.Type, o.Range = "listener", "[address:]port, or 0 for none"
	o.apply = func(b *builder, l Line) {
		if l.Value == "0" {
			*field(&b.cfg) = ""
			return
		}
		addr, auto, err := listenAddress(l.Value)
		switch {
		case err != nil:
			b.fail(l, ErrValue, "%v", err)
		case auto:
			b.fail(l, ErrValue, "auto is not possible here: others need to know the port")
		default:
			*field(&b.cfg) = addr.String()
		}
	}
	o.show = func(c *Config) []string {
		if *field(c) == "" {
			return []string{"0"}
		}
		return []string{*field(c)}
	}
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

// serverURL lets TLS be left out on this machine only.
func serverURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return "", fmt.Errorf("%q is not a server's address: write tls://host:port", clip(s))
	}
	switch {
	case u.User != nil:
		return "", fmt.Errorf("%q has a name or password in it: those are in NatsNodeCredentialFile", clip(u.Redacted()))
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("%q has more than host and port", clip(s))
	case u.Scheme != "nats" && u.Scheme != "tls":
		return "", fmt.Errorf("%q: unknown scheme %q: use tls, or nats on this machine", clip(s), u.Scheme)
	}
	where, err := routeAddress(u.Host)
	if err != nil {
		return "", err
	}
	if u.Scheme == "nats" && !local(where) {
		return "", fmt.Errorf("%s is beyond this machine, and what is said there must be encrypted: write tls://%s", where, where)
	}
	return u.Scheme + "://" + where, nil
}

// routeAddress reads host:port.
func routeAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err == nil && host == "" {
		err = fmt.Errorf("no host")
	}
	if err == nil && strings.IndexFunc(host, notInHost) >= 0 {
		err = fmt.Errorf("not a host")
	}
	if err != nil {
		return "", fmt.Errorf("%q is not a host and port, as in 192.0.2.1:6222 or nats.example:6222", clip(s))
	}
	n, err := parsePort(port)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(strings.ToLower(host), fmt.Sprint(n)), nil
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:", r)
}

// local: is host:port on this machine, whatever names are made to mean?
func local(where string) bool {
	host, _, _ := net.SplitHostPort(where)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost"
}

// nkeySize is prefix, key and checksum, in bytes.
const nkeySize = 1 + 32 + 2

// publicKey checks a user's public nkey as github.com/nats-io/nkeys writes it:
// base32 of the type, 32 bytes and their CRC-16, low byte first.
func publicKey(s string) (string, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	switch {
	case strings.HasPrefix(s, "SU"):
		return "", fmt.Errorf("this is the secret half of a key: write the public one, which begins with U, and keep this one from nodes")
	case err != nil || len(raw) != nkeySize || !strings.HasPrefix(s, "U"):
		return "", fmt.Errorf("%q is not a public nkey of 56 characters that begins with U", clip(s))
	case crc16(raw[:nkeySize-2]) != binary.LittleEndian.Uint16(raw[nkeySize-2:]):
		return "", fmt.Errorf("%q is not a public nkey: a character of it is wrong", clip(s))
	}
	return s, nil
}

// crc16 is CRC-16/XMODEM.
func crc16(b []byte) (crc uint16) {
	for _, x := range b {
		crc ^= uint16(x) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// checkNats refuses listeners that others could read along at, and two ways into a
// fleet at once.
func (b *builder) checkNats() {
	c := &b.cfg
	inFolder := func(file *string, name string) {
		if *file == "" {
			*file = filepath.Join(c.DataDirectory, name)
		}
	}
	inFolder(&c.NatsNodeCredentialFile, "nats-node.nk")
	inFolder(&c.NatsClusterCredentialFile, "nats-cluster.secret")
	tls := c.NatsTLSCert != "" && c.NatsTLSKey != ""
	listeners := []struct{ option, where string }{
		{"NatsListen", c.NatsListen}, {"NatsClusterListen", c.NatsClusterListen},
	}
	any := false
	for _, l := range listeners {
		if l.where == "" {
			continue
		}
		any = true
		b.checkPlace(b.set[l.option], l.where)
		if !tls && !local(l.where) {
			b.fail(b.set[l.option], ErrConflict, "%s can be reached from other machines: set NatsTLSCert and NatsTLSKey, or use a loopback address", l.where)
		}
	}
	if c.NatsListen != "" && c.NatsListen == c.NatsClusterListen {
		b.fail(b.set["NatsClusterListen"], ErrConflict, "%s is given twice", c.NatsClusterListen)
	}
	if any && !tls && c.NatsTLSCert+c.NatsTLSKey != "" {
		b.fail(b.either("NatsTLSCert", "NatsTLSKey"), ErrConflict, "NatsTLSCert and NatsTLSKey go together: set both or none")
	}
	if c.NatsClusterListen != "" && tls && c.NatsTLSCA == "" {
		b.fail(b.set["NatsClusterListen"], ErrConflict, "the servers of a cluster with TLS check each other: set NatsTLSCA")
	}
	if c.NatsClusterListen != "" && c.NatsListen == "" {
		b.fail(b.set["NatsClusterListen"], ErrConflict, "the servers of a cluster listen for clients, too: set NatsListen, 127.0.0.1:4222 for those of this machine alone")
	}
	b.oneWay()
	b.checkServers()
	for _, idle := range []struct {
		option  string
		without bool
		needs   string
	}{
		{"NatsTLSCert", !any, "a NATS listener"},
		{"NatsTLSKey", !any, "a NATS listener"},
		{"NatsTLSCA", len(c.NatsURLs) == 0 && c.NatsClusterListen == "", "NatsUrl or NatsClusterListen"},
		{"NatsNodeCredentialFile", len(c.NatsURLs) == 0, "NatsUrl"},
		{"NatsClusterCredentialFile", c.NatsClusterListen == "", "NatsClusterListen"},
		{"NatsRoutes", c.NatsClusterListen == "", "NatsClusterListen"},
		{"FleetReplicas", !c.InFleet(), "a fleet: NatsUrl, NatsClusterListen or FleetConfigKey"},
	} {
		if l, said := b.set[idle.option]; said && idle.without {
			b.warn(l, "has no effect without %s", idle.needs)
		}
	}
}

func (b *builder) either(names ...string) Line {
	for _, n := range names {
		if l, said := b.set[n]; said {
			return l
		}
	}
	return Line{}
}

// oneWay: a node is in one fleet, in one way.
func (b *builder) oneWay() {
	c := &b.cfg
	if len(c.NatsURLs) > 0 {
		for option, said := range map[string]bool{
			"NatsListen": c.NatsListen != "", "NatsClusterListen": c.NatsClusterListen != "",
		} {
			if said {
				b.fail(b.set[option], ErrConflict, "NatsUrl is instead of the embedded server: drop one of them")
			}
		}
	}
}
