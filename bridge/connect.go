package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"chive/bridge/fleet"
	"chive/internal/safego"
	"chive/messages"
	"chive/messages/chivev1"
)

// FleetAccess says how to reach a fleet: through a node of this machine, or its NATS
// servers with the credential of a role.
type FleetAccess struct {
	DataDir    string
	Servers    []string // nats://host:port on this machine, tls://host:port; none: DataDir
	Credential string   // file with the seed, for Servers
	CA         string   // file with the servers' authorities; "": the system's
	Fleet      string   // its name; "": a node is asked
}

// ErrElsewhere: the node's own server is not its fleet's.
var ErrElsewhere = errors.New("the node shares no NATS servers of its own, so it cannot be asked for its fleet here: if it has NatsUrl, name those servers with --server, and the file of a role with --credential; with NatsClusterListen it shares its own")

// FleetConn is a connection of those who run a fleet.
type FleetConn struct {
	*fleet.Client
	nc     *nats.Conn
	denied chan error // capacity 1: the server refused something
}

// ErrDenied: the credential's role may not do that.
var ErrDenied = errors.New("this credential may not do that: use that of another role")

// ErrNoAnswer: who reaches the fleet's servers finds no node that would name the fleet.
var ErrNoAnswer = errors.New("no node of the fleet answers, which would be asked for its name: none runs, or none reaches these NATS servers, of which the nodes' logs tell. With --fleet NAME none is asked: what the servers keep is shown then")

// connectTime bounds reaching a server.
const connectTime = 10 * time.Second

// ConnectFleet reaches a fleet.
func ConnectFleet(ctx context.Context, a FleetAccess) (*FleetConn, error) {
	c := &FleetConn{denied: make(chan error, 1)}
	nc, role, err := a.dial(nats.ErrorHandler(c.trouble))
	if err != nil {
		return nil, err
	}
	c.nc = nc
	name := a.Fleet
	if name == "" {
		if name, err = c.discover(ctx); err != nil {
			nc.Close()
			return nil, err
		}
	}
	if err := messages.ValidName(name); err != nil {
		nc.Close()
		return nil, fmt.Errorf("fleet %w", err)
	}
	make := fleet.NewClient
	if role {
		make = fleet.NewRoleClient
	}
	if c.Client, err = make(nc, name); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// dial connects; role says that the credential is of a role's account.
func (a FleetAccess) dial(more nats.Option) (nc *nats.Conn, role bool, err error) {
	if len(a.Servers) > 0 {
		nc, err = a.dialServers(more)
		return nc, true, err
	}
	user, key, err := readSeed(filepath.Join(a.DataDir, fleetSeed))
	if errors.Is(err, fs.ErrNotExist) {
		if _, _, err := readSeed(filepath.Join(a.DataDir, controlSeed)); err != nil {
			return nil, false, fmt.Errorf("%w (%s)", ErrNoNode, a.DataDir)
		}
		return nil, false, ErrElsewhere
	}
	if err != nil {
		return nil, false, err
	}
	nc, err = nats.Connect("nats://chive", append(credential(user, key), nats.SetCustomDialer(unixDialer{filepath.Join(a.DataDir, controlSocket)}),
		more, nats.Timeout(connectTime), nats.NoReconnect(), nats.Name("chive fleet command line"))...)
	if err != nil {
		return nil, false, fmt.Errorf("%w (%s): %w", ErrNoNode, a.DataDir, err)
	}
	return nc, false, nil
}

func (a FleetAccess) dialServers(more nats.Option) (*nats.Conn, error) {
	if a.Credential == "" {
		return nil, errors.New("the servers want a credential: name its file with --credential")
	}
	user, key, err := readSeed(a.Credential)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	options := append(credential(user, key), more, nats.Timeout(connectTime), nats.Name("chive fleet command line"),
		nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond))
	for _, s := range a.Servers {
		if err := mayDial(s); err != nil {
			return nil, err
		}
	}
	if a.CA != "" {
		pool, err := authorities(a.CA)
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	nc, err := nats.Connect(strings.Join(a.Servers, ","), options...)
	if errors.Is(err, nats.ErrAuthorization) {
		return nil, fmt.Errorf("the server does not know the credential in %s: %w\n"+
			"use the key of a role in this fleet: a node's own server knows the file of its NatsCredentialFile, and those beside it; "+
			"servers of their own know those of the folder from chive fleet credentials, when they include its nats-accounts.conf as it is now", a.Credential, err)
	}
	if errors.Is(err, nats.ErrNoServers) {
		return nil, fmt.Errorf("%s: %w: nobody answers there; the server embedded in a node ends with that node, and one apart has to be started; else check address and port", strings.Join(a.Servers, ", "), err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(a.Servers, ", "), err)
	}
	return nc, nil
}

// mayDial lets TLS be left out on this machine only.
func mayDial(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
		return fmt.Errorf("%q is not a server's address: write tls://host:port, or nats://host:port on this machine", server)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "nats" && u.Hostname() != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
		return fmt.Errorf("%s is beyond this machine, and what is said there must be encrypted: write tls://%s", u.Host, u.Host)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return fmt.Errorf("%q: name the port, too", server)
	}
	return nil
}

// trouble takes what the server says on its own.
func (c *FleetConn) trouble(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	select {
	case c.denied <- err:
	default: // one is enough
	}
}

// discover asks a node for the fleet's name.
func (c *FleetConn) discover(ctx context.Context) (string, error) {
	subject, err := micro.ControlSubject(micro.InfoVerb, "chive", "")
	if err != nil {
		return "", err
	}
	m, err := c.nc.RequestWithContext(ctx, subject, nil)
	switch {
	// Not all servers say that nobody listens: then the time is up.
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
		return "", ErrNoAnswer
	case errors.Is(err, context.Canceled):
		return "", err
	case err != nil:
		return "", fmt.Errorf("ask a node for the fleet's name: %w (with --fleet NAME none is asked)", err)
	}
	var info micro.Info
	if err := unmarshalInfo(m.Data, &info); err != nil {
		return "", err
	}
	return info.Metadata["fleet"], nil
}

// Ask asks a node a verb.
func (c *FleetConn) Ask(ctx context.Context, node, verb string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answered := make(chan struct{})
	defer close(answered)
	safego.Go("refusals", func() {
		select {
		case <-c.denied:
			cancel(ErrDenied)
		case <-answered:
		}
	}, nil)
	m, err := c.nc.RequestWithContext(ctx, messages.ControlSubject(c.Fleet(), node, verb), request)
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	// Not all servers say that nobody listens: then the time is up.
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no node %s answers (chive fleet nodes lists those that are there)", node)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", node, verb, err)
	}
	if text := m.Header.Get(micro.ErrorHeader); text != "" {
		return nil, fmt.Errorf("%s: %s: %s", node, verb, text)
	}
	return m.Data, nil
}

// Follow calls see, from one goroutine, for every event of the fleet from now on.
func (c *FleetConn) Follow(see func(*chivev1.Envelope)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(messages.Version+"."+c.Fleet()+".*.evt.>", func(m *nats.Msg) {
		if e, err := messages.Decode(m.Data); err == nil { // a newer node's event may not decode
			see(e)
		}
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, c.nc.FlushTimeout(connectTime)
}

// Close ends the connection.
func (c *FleetConn) Close() { c.nc.Close() }
