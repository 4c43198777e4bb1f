package connection

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"chive/internal/rawio"
	"chive/tor/link"
	"chive/tor/reach"
	"chive/tor/upstream"
)

const (
	// dialTimeout bounds TCP, TLS and link handshake together.
	dialTimeout = 30 * time.Second
	// connectTimeout bounds TCP alone. The kernel repeats what a dead network has dropped
	// after 1, 3, 7 and 15 s: another dial asks sooner than it would next.
	connectTimeout = 10 * time.Second
)

// Target is the relay that a connection is for.
type Target struct {
	IPv4    netip.AddrPort // OR address; invalid: none
	IPv6    netip.AddrPort // likewise
	RSA     [20]byte       // RSA identity digest
	Ed25519 [32]byte       // Ed25519 identity; zero: not asked for
}

// Dialer opens TCP connections to relays; its zero value uses any source
// address.
type Dialer struct {
	Bind4, Bind6 netip.Addr // source addresses (OutboundBindAddress); zero: any
	Proxy        upstream.Proxy
	Reach        reach.Rules
}

// ErrAddress: the relay has no address that may be connected to. It says nothing of the
// relay.
var ErrAddress = errors.New("the relay has no address of a version of IP that is used")

// Address is the one of a relay's addresses to connect to; false: it has none that may be
// used.
func (d Dialer) Address(t Target) (netip.AddrPort, bool) { return d.Reach.Choose(t.IPv4, t.IPv6) }

// dialled is an open connection with what the relay proved.
type dialled struct {
	conn  *tls.Conn
	peer  link.Result
	carry []byte // bytes after the handshake

	records *recordConn // below conn
}

// dial connects and runs TLS and the link handshake, until ctx is done. The certificate of the
// TLS layer is checked by the CERTS cell, not by a public authority
// (tor-spec §4.2).
func (d Dialer) dial(ctx context.Context, t Target, now func() time.Time) (dialled, error) {
	relay, ok := d.Address(t)
	if !ok {
		return dialled{}, ErrAddress
	}
	to := relay
	if d.Proxy.Kind != upstream.None {
		to = d.Proxy.Addr
	}
	tcp, err := d.tcp(to).DialContext(ctx, "tcp", to.String())
	if err != nil && to != relay {
		return dialled{}, fmt.Errorf("%w: connect: %w", upstream.ErrProxy, err)
	}
	if err != nil {
		return dialled{}, fmt.Errorf("connect: %w", err)
	}
	if d.Proxy.Kind != upstream.None {
		if err := d.through(ctx, tcp, relay); err != nil {
			return dialled{}, errors.Join(err, tcp.Close())
		}
	}
	name, err := serverName()
	if err != nil {
		return dialled{}, errors.Join(err, tcp.Close())
	}
	records := newRecordConn(tcp)
	conn := tls.Client(records, &tls.Config{
		InsecureSkipVerify:          true, // identities are proven by CERTS, see handshake
		MinVersion:                  tls.VersionTLS12,
		ServerName:                  name,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	})
	res, err := handshake(ctx, conn, t, relay.Addr(), now)
	if err != nil {
		return dialled{}, errors.Join(err, tcp.Close())
	}
	res.records = records
	return res, nil
}

// tcp makes TCP connections to an address.
func (d Dialer) tcp(to netip.AddrPort) *net.Dialer {
	nd := &net.Dialer{
		Timeout: connectTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute},
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = rawio.GiveUp(fd, lostAfter) }) // else later
		},
	}
	bind := d.Bind4
	if to.Addr().Is6() {
		bind = d.Bind6
	}
	if bind.IsValid() {
		nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind, 0))
	}
	return nd
}

// through has the proxy connect to a relay. The error is one of the proxy alone
// (upstream.ErrProxy), or of the proxy or the relay (upstream.ErrRefused, ErrSilent).
func (d Dialer) through(ctx context.Context, tcp net.Conn, relay netip.AddrPort) error {
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	defer stop()
	m, send, err := upstream.New(d.Proxy, relay)
	if err != nil {
		return fmt.Errorf("%w: %w", upstream.ErrProxy, err)
	}
	buf := make([]byte, 1024)
	for {
		n := 0
		if _, err = tcp.Write(send); err == nil {
			n, err = tcp.Read(buf)
		}
		if n == 0 && err != nil {
			return unanswered(ctx, m, err)
		}
		var done bool
		send, done, err = m.Feed(buf[:n])
		switch {
		case errors.Is(err, upstream.ErrRefused):
			return fmt.Errorf("through the proxy: %w", err)
		case err != nil:
			return fmt.Errorf("%w: %w", upstream.ErrProxy, err)
		case done:
			return nil
		}
	}
}

// unanswered says what it means that the proxy broke off, or said nothing. A proxy that
// waits for a relay in vain says nothing either.
func unanswered(ctx context.Context, m *upstream.Machine, err error) error {
	whose := upstream.ErrProxy
	if m.Asked() && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		whose = upstream.ErrSilent
	}
	return fmt.Errorf("%w: %w", whose, linkIO(ctx, err))
}

// errTLS marks a failure of the TLS layer.
var errTLS = errors.New("TLS handshake")

func handshake(ctx context.Context, conn *tls.Conn, t Target, at netip.Addr, now func() time.Time) (dialled, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return dialled{}, fmt.Errorf("%w: %w", errTLS, err)
	}
	// Reads and writes below end with the context: closing is what stops them.
	stop := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	defer stop()
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return dialled{}, fmt.Errorf("%w: no certificate", errTLS)
	}
	hs := link.New(link.Config{
		Want:          link.Identity{RSA: t.RSA, Ed25519: t.Ed25519},
		TLSCertSHA256: sha256.Sum256(certs[0].Raw),
		PeerAddr:      at,
		Versions:      []uint16{4, 5},
	})
	if _, err := conn.Write(hs.Start()); err != nil {
		return dialled{}, linkIO(ctx, err)
	}
	buf := make([]byte, 0, 32<<10)
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		if n == 0 && err != nil {
			return dialled{}, linkIO(ctx, err)
		}
		buf = buf[:len(buf)+n]
		used, send, done, err := hs.Feed(buf, now())
		if err != nil {
			return dialled{}, err
		}
		buf = buf[:copy(buf, buf[used:])]
		if len(send) > 0 {
			if _, err := conn.Write(send); err != nil {
				return dialled{}, linkIO(ctx, err)
			}
		}
		if done {
			return dialled{conn: conn, peer: hs.Result(), carry: buf}, nil
		}
		if len(buf) == cap(buf) {
			return dialled{}, fmt.Errorf("%w: handshake cell too large", errProtocol)
		}
	}
}

func linkIO(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("link handshake: %w", ctx.Err())
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("link handshake: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("link handshake: %w", err)
}

// serverName makes up the TLS server name, as C tor does: a relay has no name,
// and a ClientHello without one would stand out.
func serverName() (string, error) {
	var b [16]byte
	if _, err := crand.Read(b[:]); err != nil {
		return "", err
	}
	name := strings.ToLower(base32.StdEncoding.EncodeToString(b[1:]))
	return "www." + name[:4+int(b[0])%20] + ".com", nil
}
