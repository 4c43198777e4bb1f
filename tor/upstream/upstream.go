// Package upstream is the client side of the proxies that connections to relays may
// go through: SOCKS4, SOCKS5 (RFC 1928, 1929) and HTTP CONNECT. It is a pure
// machine: bytes from the proxy in, bytes to it out. Relays are asked for by IP
// address only.
package upstream

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Kind is a proxy's protocol.
type Kind uint8

// The kinds; None is no proxy.
const (
	None Kind = iota
	SOCKS4
	SOCKS5
	HTTP
)

// Proxy is what a connection goes through; the zero value is none. It is
// comparable.
type Proxy struct {
	Kind               Kind
	Addr               netip.AddrPort
	Username, Password string // SOCKS5: 1-255 octets each or both empty; HTTP: for Basic, or both empty
}

// Format gives the kind and the address: no fmt verb shows the credentials.
func (p Proxy) Format(f fmt.State, _ rune) {
	name := map[Kind]string{SOCKS4: "SOCKS4", SOCKS5: "SOCKS5", HTTP: "HTTP"}[p.Kind]
	if name == "" {
		name = "none"
	}
	fmt.Fprintf(f, "%s %v", name, p.Addr)
}

// ErrProxy marks a failure of the proxy alone: it is away, or does not serve this client.
// It says nothing of the target.
var ErrProxy = errors.New("upstream proxy")

// The causes of an error.
var (
	// ErrRefused: the proxy did not make the connection. Whether that is the target's
	// fault or the proxy's, its answer does not tell reliably: proxies say the same of a
	// target that is away and of a network of their own that is.
	ErrRefused = errors.New("the proxy refused")
	// ErrSilent: the proxy was asked for the target and did not answer in time, likewise.
	ErrSilent = errors.New("the proxy did not answer in time")
	// ErrProtocol: the proxy spoke another protocol.
	ErrProtocol = errors.New("not an answer of a proxy of that kind")
	// ErrAuth: the proxy wants credentials that it was not, or cannot be, given.
	ErrAuth = errors.New("the proxy wants other credentials")
	// ErrAddress: the proxy's protocol has no IPv6.
	ErrAddress = errors.New("a SOCKS4 proxy cannot be asked for an IPv6 address")
)

// maxReply is the longest answer that is read, in bytes.
const maxReply = 8 << 10

// Machine is one request to one proxy. Not safe for concurrent use.
type Machine struct {
	proxy  Proxy
	target netip.AddrPort
	step   func(b []byte) (used int, send []byte, done bool, err error)
	buf    []byte
	asked  bool
}

// Asked: was the target asked for already? Before, the proxy's silence is the proxy's.
func (m *Machine) Asked() bool { return m.asked }

// New asks a proxy for a target; send first what it returns.
func New(p Proxy, target netip.AddrPort) (*Machine, []byte, error) {
	m := &Machine{proxy: p, target: netip.AddrPortFrom(target.Addr().Unmap(), target.Port())}
	switch p.Kind {
	case SOCKS4:
		m.asked = true
		if !m.target.Addr().Is4() {
			return nil, nil, ErrAddress
		}
		m.step = m.reply4
		out := binary.BigEndian.AppendUint16([]byte{4, 1}, m.target.Port())
		return m, append(append(out, m.target.Addr().AsSlice()...), 0), nil
	case SOCKS5:
		m.step = m.method5
		if p.Username == "" {
			return m, []byte{5, 1, 0}, nil
		}
		return m, []byte{5, 2, 0, 2}, nil
	default:
		m.step, m.asked = m.replyHTTP, true
		var auth string
		if p.Username != "" || p.Password != "" {
			auth = "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.Username+":"+p.Password)) + "\r\n"
		}
		return m, fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", m.target, m.target, auth), nil
	}
}

// Feed takes what came from the proxy. With done, the connection is made; a byte
// behind the proxy's answer is an error, as a relay does not speak first.
func (m *Machine) Feed(in []byte) (send []byte, done bool, err error) {
	m.buf = append(m.buf, in...)
	for {
		used, out, done, err := m.step(m.buf)
		if err != nil {
			return nil, false, err
		}
		send = append(send, out...)
		m.buf = m.buf[used:]
		switch {
		case done && len(m.buf) > 0:
			return nil, false, ErrProtocol
		case done:
			return send, true, nil
		case used == 0 && len(m.buf) > maxReply:
			return nil, false, ErrProtocol
		case used == 0:
			return send, false, nil
		}
	}
}

func (m *Machine) reply4(b []byte) (int, []byte, bool, error) {
	switch {
	case len(b) > 0 && b[0] != 0:
		return 0, nil, false, ErrProtocol
	case len(b) < 8:
		return 0, nil, false, nil
	case b[1] == 0x5c || b[1] == 0x5d: // it asked an identd
		return 0, nil, false, ErrAuth
	case b[1] != 0x5a:
		return 0, nil, false, ErrRefused
	}
	return 8, nil, true, nil
}

func (m *Machine) method5(b []byte) (int, []byte, bool, error) {
	switch {
	case len(b) > 0 && b[0] != 5:
		return 0, nil, false, ErrProtocol
	case len(b) < 2:
		return 0, nil, false, nil
	case b[1] == 0:
		m.step = m.reply5
		return 2, m.request5(), false, nil
	case b[1] == 2 && m.proxy.Username != "":
		m.step = m.auth5
		out := append([]byte{1, byte(len(m.proxy.Username))}, m.proxy.Username...)
		return 2, append(append(out, byte(len(m.proxy.Password))), m.proxy.Password...), false, nil
	}
	return 0, nil, false, ErrAuth
}

func (m *Machine) auth5(b []byte) (int, []byte, bool, error) {
	switch {
	case len(b) < 2:
		return 0, nil, false, nil
	case b[1] != 0:
		return 0, nil, false, ErrAuth
	}
	m.step = m.reply5
	return 2, m.request5(), false, nil
}

func (m *Machine) request5() []byte {
	m.asked = true
	out := []byte{5, 1, 0, 1}
	if m.target.Addr().Is6() {
		out[3] = 4
	}
	return binary.BigEndian.AppendUint16(append(out, m.target.Addr().AsSlice()...), m.target.Port())
}

func (m *Machine) reply5(b []byte) (int, []byte, bool, error) {
	switch {
	case len(b) > 0 && b[0] != 5:
		return 0, nil, false, ErrProtocol
	case len(b) > 1 && (b[1] == 7 || b[1] == 8): // it does not know CONNECT, or addresses of that type
		return 0, nil, false, ErrProtocol
	case len(b) > 1 && b[1] != 0:
		return 0, nil, false, ErrRefused
	case len(b) < 5:
		return 0, nil, false, nil
	}
	length := map[byte]int{1: 4, 4: 16, 3: 1 + int(b[4])}[b[3]]
	if length == 0 {
		return 0, nil, false, ErrProtocol
	}
	if end := 4 + length + 2; len(b) >= end {
		return end, nil, true, nil
	}
	return 0, nil, false, nil
}

func (m *Machine) replyHTTP(b []byte) (int, []byte, bool, error) {
	const hello = "HTTP/1."
	if n := min(len(b), len(hello)); string(b[:n]) != hello[:n] {
		return 0, nil, false, ErrProtocol
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil, false, nil
	}
	line, _, _ := strings.Cut(string(b[:end]), "\r\n")
	_, rest, _ := strings.Cut(line, " ")
	switch code, _, _ := strings.Cut(rest, " "); code {
	case "200":
		return end + 4, nil, true, nil
	case "407":
		return 0, nil, false, ErrAuth
	case "400", "401", "405", "501": // it is a server, or no proxy for CONNECT
		return 0, nil, false, ErrProtocol
	}
	return 0, nil, false, ErrRefused
}
