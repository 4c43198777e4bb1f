package chive

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"chive/actors/node"
)

// View is the part of a Client whose connections share circuits with each other only.
// It is a name, and costs nothing until it is used.
type View struct {
	c     *Client
	key   string
	named bool
}

// Isolated gives the View of a key. The same key is the same View, whenever it is
// asked for. In `chive identities` and `chive renew` the key is the user name.
func (c *Client) Isolated(key string) *View { return &View{c: c, key: key, named: true} }

func (c *Client) shared() *View { return &View{c: c} }

// DialContext connects to "host:port" over Tor. The network is "tcp", or "tcp4" or "tcp6"
// for the version of IP that the exit uses; a host is a name, which the exit resolves, an
// IP address or one in .onion. Until the network is there it waits, for SocksTimeout at
// most. When ctx ends the request is withdrawn. The connection has deadlines and is a
// *Conn.
//
// Addresses that mean something on the exit's network only, loopback and private ones, are
// refused with ErrNotAllowed while ClientRejectInternalAddresses is on, its default.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return c.shared().DialContext(ctx, network, address)
}

// Dial is DialContext without an end of patience but SocksTimeout. It is what NATS takes
// for a nats.CustomDialer.
func (c *Client) Dial(network, address string) (net.Conn, error) {
	return c.shared().DialContext(context.Background(), network, address)
}

// Resolve asks an exit for the addresses of a host, at most one of each record it has.
func (c *Client) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return c.shared().Resolve(ctx, host)
}

// ResolveAddr asks an exit for the names of an address.
func (c *Client) ResolveAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	return c.shared().ResolveAddr(ctx, addr)
}

// DialContext is as the Client's.
func (v *View) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to := Addr(address)
	q, err := v.request(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: to, Err: err}
	}
	s, err := v.c.node.Connect(ctx, q)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: to, Err: v.c.explain(err)}
	}
	return &Conn{s: s, to: to}, nil
}

// Dial is as the Client's.
func (v *View) Dial(network, address string) (net.Conn, error) {
	return v.DialContext(context.Background(), network, address)
}

func (v *View) request(network, address string) (node.Request, error) {
	q := node.Request{IPv4: network != "tcp6", IPv6: network != "tcp4", Viewed: v.named, View: v.key}
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return q, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return q, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 || host == "" {
		return q, &net.AddrError{Err: "want host:port with a port of 1 to 65535", Addr: address}
	}
	q.Host, q.Port = host, uint16(port)
	return q, nil
}

// Resolve is as the Client's.
func (v *View) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := v.c.node.Resolve(ctx, node.Request{Host: host, IPv4: true, IPv6: true, Viewed: v.named, View: v.key})
	if err != nil {
		return nil, &net.OpError{Op: "resolve", Net: "tcp", Addr: Addr(host), Err: v.c.explain(err)}
	}
	return addrs, nil
}

// ResolveAddr is as the Client's.
func (v *View) ResolveAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	host := addr.Unmap().String()
	names, err := v.c.node.ResolveAddr(ctx, node.Request{Host: host, Viewed: v.named, View: v.key})
	if err != nil {
		return nil, &net.OpError{Op: "resolve", Net: "tcp", Addr: Addr(host), Err: v.c.explain(err)}
	}
	return names, nil
}

// Renew has what the View dials from now on use other circuits than before; connections
// that are open go on. It gives how many circuits that concerns. The guard stays.
func (v *View) Renew(ctx context.Context) (int, error) {
	if !v.named {
		return 0, errors.New("chive: only a View that Isolated gave is renewed")
	}
	n, err := v.c.node.Renew(ctx, v.key)
	if err != nil {
		return 0, v.c.explain(err)
	}
	return n, nil
}

// Addr is an address as it was asked for: a host name stays one.
type Addr string

// Network is "tcp".
func (Addr) Network() string { return "tcp" }

// String is the "host:port".
func (a Addr) String() string { return string(a) }

// Conn is a connection over Tor. CloseWrite says that nothing more is sent, and what the
// other side answers is still read; as Tor cannot tell the other side so, that is told when
// nothing has come for three seconds, or when the Conn is closed.
type Conn struct {
	s      *node.StreamConn
	to, at Addr
}

var _ net.Conn = (*Conn)(nil)

// LocalAddr is the address and port of the onion service that the connection came to. Of
// one that was dialled it tells nothing.
func (c *Conn) LocalAddr() net.Addr { return c.at }

// RemoteAddr is what was dialled. Of a connection that a Listener gave it names the client's
// circuit, which is all that is known of him: "ID:0", with the ID that the circuit has in
// events. Connections of one circuit are of one client, who may have several.
func (c *Conn) RemoteAddr() net.Addr { return c.to }

// Read reads what came. io.EOF is the other side's end; a connection that was cut off, by
// a relay or a circuit that failed, is ErrReset.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.s.Read(p)
	return n, c.named("read", err)
}

// Write sends. That it returns says that the node has it, not that the other side has.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.s.Write(p)
	return n, c.named("write", err)
}

// CloseWrite ends what is sent, and Read goes on.
func (c *Conn) CloseWrite() error { return c.named("close", c.s.CloseWrite()) }

// Close ends the connection. What was written before is sent.
func (c *Conn) Close() error { return c.named("close", c.s.Close()) }

// SetDeadline is as net.Conn has it.
func (c *Conn) SetDeadline(t time.Time) error { return c.named("set", c.s.SetDeadline(t)) }

// SetReadDeadline is as net.Conn has it.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.named("set", c.s.SetReadDeadline(t)) }

// SetWriteDeadline is as net.Conn has it.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.named("set", c.s.SetWriteDeadline(t)) }

// named says of an error whose connection it is, not that of the socket between this
// program and its node.
func (c *Conn) named(op string, err error) error {
	var e *net.OpError
	if err == nil || err == io.EOF || !errors.As(err, &e) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: c.to, Err: e.Err}
}
