package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"chive/messages"
)

// TLSFiles are paths, or "".
type TLSFiles struct{ Cert, Key, CA string }

// Limits of the embedded server.
const (
	// maxClients is how many connections it takes: the node's own, command lines
	// and other clients.
	maxClients = 64
	// The fleet's buckets are small.
	jetStreamMemory = 8 << 20
	jetStreamStore  = 128 << 20
	jetStreamFolder = "fleet"
	// proveTime is how long who connects may take to prove who it is, and TLS before. The
	// server's own two seconds pass on a machine that is very busy, even for the node itself.
	proveTime = 10 * time.Second
)

// ErrListen refuses a listener that others could read along at.
var ErrListen = errors.New("an address beyond loopback needs TLS: set NatsTLSCert and NatsTLSKey")

// keys are those of the node's own connections to its embedded server, made anew
// at each boot.
type keys struct {
	local, fleet       nkeys.KeyPair
	localKey, fleetKey string
}

// localAccount names the account of the node and its operator.
func localAccount(k keys) string { return "LOCAL-" + k.localKey }

func newKeys() (k keys, err error) {
	if k.local, err = nkeys.CreateUser(); err != nil {
		return k, err
	}
	if k.fleet, err = nkeys.CreateUser(); err != nil {
		return k, err
	}
	if k.localKey, err = k.local.PublicKey(); err != nil {
		return k, err
	}
	k.fleetKey, err = k.fleet.PublicKey()
	return k, err
}

// open says whether the embedded server has an account that others are in.
func (o *Options) open() bool { return o.Listen != "" || o.InFleet && len(o.URLs) == 0 }

// stores says whether the embedded server holds the fleet's buckets.
func (o *Options) stores() bool { return o.InFleet && len(o.URLs) == 0 }

func (b *Bridge) options(k keys) (*server.Options, error) {
	text, err := b.serverConfig(k)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	opts.NoSigs, opts.NoLog, opts.DisableJetStreamBanner = true, true, true
	opts.DontListen = b.o.Listen == ""
	opts.NoSystemAccount = !b.o.open()
	opts.MaxPayload, opts.MaxPending, opts.MaxConn = 1<<20, 8<<20, maxClients
	opts.AuthTimeout, opts.TLSTimeout = proveTime.Seconds(), proveTime.Seconds()
	// A client that does not read is cut, and never slows the node down.
	opts.NoFastProducerStall, opts.WriteDeadline = true, 2*time.Second
	return opts, nil
}

// serverConfig is what the embedded server is told, in its own syntax.
func (b *Bridge) serverConfig(k keys) (string, error) {
	var c strings.Builder
	fmt.Fprintf(&c, "server_name: %q\n", "chive-"+b.o.Recorder.Node())
	if err := b.listener(&c); err != nil {
		return "", err
	}
	if err := b.cluster(&c); err != nil {
		return "", err
	}
	if b.o.stores() {
		fmt.Fprintf(&c, "jetstream { store_dir: %s, max_mem: %d, max_file: %d }\n",
			strconv.Quote(filepath.Join(b.o.DataDir, jetStreamFolder)), jetStreamMemory, jetStreamStore)
	}
	control, err := freshSeed(filepath.Join(b.o.DataDir, controlSeed))
	if err != nil {
		return "", err
	}
	// The name is no other server's: what the operator of this node may do never
	// crosses a route.
	own := messages.Version + "." + b.o.Fleet + "." + b.o.Recorder.Node()
	fmt.Fprintf(&c, "accounts {\n  %q: { users: [ { nkey: %s }, %s ] }\n", localAccount(k), k.localKey, user(control, rights{
		publish:   []string{own + ".ctl.>", "$SRV.>"},
		subscribe: []string{allEvents, InboxPrefix(control) + ".>"},
	}, false))
	if b.o.open() {
		if err := b.shared(&c, k); err != nil {
			return "", err
		}
	}
	c.WriteString("}\n")
	return c.String(), nil
}

// shared writes the accounts that others are in, and their credentials.
func (b *Bridge) shared(c *strings.Builder, k keys) error {
	u := Users{Fleet: b.o.Fleet, Clients: map[Role]string{}}
	if b.o.Listen != "" {
		for _, r := range Roles {
			key, err := KeptKey(b.o.credentialOf(r))
			if err != nil {
				return fmt.Errorf("NatsCredentialFile %w", err)
			}
			u.Clients[r] = key
		}
	}
	operator, err := freshSeed(filepath.Join(b.o.DataDir, fleetSeed))
	if err != nil {
		return err
	}
	all := rights{subscribe: []string{allEvents, allAcks, InboxPrefix(operator) + ".>"}}
	for _, r := range Roles {
		all.publish = append(all.publish, asks(b.o.Fleet, r)...)
	}
	c.WriteString(u.accounts([]string{"{ nkey: " + k.fleetKey + " }", user(operator, all, false)}, b.o.stores()))
	return nil
}

// credentialOf is the file of a role's credential.
func (o *Options) credentialOf(r Role) string {
	if r == RoleObserve {
		return o.CredentialFile
	}
	return o.CredentialFile + "." + string(r)
}

// listenAt writes where to listen; port 0 has the system choose.
func (b *Bridge) listenAt(option, where string) (string, error) {
	ap, err := netip.ParseAddrPort(where)
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", option, where, err)
	}
	if !ap.Addr().IsLoopback() && (b.o.TLS.Cert == "" || b.o.TLS.Key == "") {
		return "", fmt.Errorf("%s %v: %w", option, ap, ErrListen)
	}
	port := int(ap.Port())
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return fmt.Sprintf("host: %q, port: %d", ap.Addr().String(), port), nil
}

func (b *Bridge) listener(c *strings.Builder) error {
	if b.o.Listen == "" {
		return nil
	}
	where, err := b.listenAt("NatsListen", b.o.Listen)
	if err != nil {
		return err
	}
	c.WriteString(where + "\n")
	if t := b.o.TLS; t.Cert != "" {
		fmt.Fprintf(c, "tls { cert_file: %s, key_file: %s }\n", strconv.Quote(t.Cert), strconv.Quote(t.Key))
	}
	return nil
}

func (b *Bridge) cluster(c *strings.Builder) error {
	if b.o.ClusterListen == "" {
		return nil
	}
	where, err := b.listenAt("NatsClusterListen", b.o.ClusterListen)
	if err != nil {
		return err
	}
	secret, err := clusterSecret(b.o.ClusterCredentialFile)
	if err != nil {
		return err
	}
	routes := make([]string, len(b.o.Routes))
	for i, r := range b.o.Routes {
		if _, _, err := net.SplitHostPort(r); err != nil {
			return fmt.Errorf("NatsRoutes %q: %w", r, err)
		}
		routes[i] = "nats://chive:" + secret + "@" + r
	}
	if len(routes) == 0 { // the first of a cluster: JetStream wants a route, be it to itself
		routes = []string{"nats://chive:" + secret + "@" + b.o.ClusterListen}
	}
	fmt.Fprintf(c, "cluster { name: %q, %s, authorization { user: chive, password: %q, timeout: 5 }, routes: %s", "chive-"+b.o.Fleet, where, secret, list(routes))
	if t := b.o.TLS; t.Cert != "" {
		fmt.Fprintf(c, ", tls { cert_file: %s, key_file: %s, ca_file: %s, verify: true, timeout: 5 }", strconv.Quote(t.Cert), strconv.Quote(t.Key), strconv.Quote(t.CA))
	}
	c.WriteString(" }\n")
	return nil
}
