package socks

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
)

// Config of a listener. The zero value is a listener as C tor's SocksPort
// without flags.
type Config struct {
	// PreferNoAuth takes "no authentication" from a client that offers both
	// methods (SocksPort flag PreferSOCKSNoAuth); else username/password wins.
	PreferNoAuth bool
	// ExtendedErrors lets refusals use the codes F0-F7 (SocksPort flag
	// ExtendedErrors); else they are turned into Basic ones.
	ExtendedErrors bool
}

// Request is a complete CONNECT, RESOLVE or RESOLVE_PTR.
type Request struct {
	// Host is a canonical IP literal (no brackets, IPv4-mapped addresses
	// unmapped) if IsIP, else a valid host name in lower case, without a final
	// dot, of at most 253 octets. A name for which IsOnion holds is a version 3
	// onion address whose checksum is right, with any labels before it.
	Host string
	Port uint16 // never 0 for CONNECT; means nothing otherwise
	IsIP bool
	// Username and Password are as sent, 0-255 octets of any value. HasAuth
	// tells empty credentials from none; both isolate.
	Username, Password string
	HasAuth            bool
	// Resolve: the client asks for the address of Host, not for a connection
	// (socks-extensions §2, command F0).
	Resolve bool
	// Reverse: the client asks for the name of Host, an IP literal (F1).
	Reverse bool
	// SOCKS4: asked for in SOCKS4 or SOCKS4a, so answer with AppendReply4.
	// Password is then empty, and Reverse never set.
	SOCKS4 bool
}

const (
	version5    = 5
	authVersion = 1

	methodNone     = 0x00
	methodPassword = 0x02
	methodRefused  = 0xFF

	commandConnect = 1
	commandResolve = 0xF0
	commandReverse = 0xF1

	addrIPv4 = 1
	addrName = 3
	addrIPv6 = 4

	// maxMessage is the longest message. (SOCKS5's longest, credentials, are VER,
	// ULEN, 255, PLEN, 255.)
	maxMessage = maxMessage4

	// extendedPrefix begins user names that proposal 351 reserves; the octet
	// after it is the format, and format 0 has nothing after it.
	extendedPrefix = "<torS0X>"
	extendedPlain  = extendedPrefix + "0"
)

type state uint8

const (
	stateStart state = iota
	stateAuth
	stateRequest
	stateDone
)

// Machine is one dialogue with one client. It keeps the message being received
// and nothing else; its memory is fixed. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	state state
	buf   [maxMessage]byte
	n     int  // octets of the current message in buf
	four  bool // the client speaks SOCKS4
	req   Request
}

// New starts a dialogue.
func New(cfg Config) *Machine { return &Machine{cfg: cfg} }

// Feed takes what was read from the client. It returns how many octets of in it
// consumed, what to send to the client now (nil: nothing), and the request once
// it is complete; octets after the request are not consumed, they are the
// stream's first data. While req and err are nil it consumes all of in and
// waits for more. An error is a *RefusalError: send reply, then close. After a
// request or a refusal Feed consumes nothing and returns ErrDone.
func (m *Machine) Feed(in []byte) (n int, reply []byte, req *Request, err error) {
	if m.state == stateDone {
		return 0, nil, nil, ErrDone
	}
	for m.state != stateDone {
		want := m.want()
		if m.n < want {
			took := copy(m.buf[m.n:want], in[n:])
			m.n += took
			n += took
			if m.n < want {
				return n, reply, nil, nil
			}
			continue
		}
		var r []byte
		r, req, err = m.step(m.buf[:m.n])
		reply = append(reply, r...)
		m.n = 0
		if err != nil {
			m.state = stateDone
		}
	}
	return n, reply, req, err
}

// want is the length of the current message as far as the octets in buf tell:
// when buf holds that many, the message is complete or already refusable.
func (m *Machine) want() int {
	b := m.buf[:m.n]
	if len(b) < 1 {
		return 1
	}
	switch {
	case m.state == stateStart:
		switch b[0] {
		case version4:
			return want4(b)
		case version5:
			return countedEnd(b, 1)
		default:
			return 1
		}
	case m.isCredentials(b[0]):
		if b[0] != authVersion {
			return 1
		}
		end := countedEnd(b, 1) // user name
		if len(b) < end {
			return end
		}
		return countedEnd(b, end) // password
	default:
		return wantRequest(b)
	}
}

// isCredentials: a client that was told "no authentication" may send
// credentials all the same (socks-extensions §1.1), once.
func (m *Machine) isCredentials(first byte) bool {
	return m.state == stateAuth || (first == authVersion && !m.req.HasAuth)
}

func wantRequest(b []byte) int {
	const head = 4 // VER CMD RSV ATYP
	switch {
	case b[0] != version5:
		return 1
	case len(b) < head:
		return head
	}
	switch b[3] {
	case addrIPv4:
		return head + 4 + 2
	case addrIPv6:
		return head + 16 + 2
	case addrName:
		if len(b) == head {
			return head + 1
		}
		return head + 1 + int(b[head]) + 2
	default:
		return head
	}
}

// countedEnd is the end of a field with a one-octet count at b[at], or of the
// count itself while that is missing.
func countedEnd(b []byte, at int) int {
	if len(b) <= at {
		return at + 1
	}
	return at + 1 + int(b[at])
}

// step answers one whole message.
func (m *Machine) step(b []byte) ([]byte, *Request, error) {
	switch {
	case m.state == stateStart && b[0] == version4:
		m.four = true
		return m.request4(b)
	case m.state == stateStart:
		reply, err := m.greeting(b)
		return reply, nil, err
	case m.isCredentials(b[0]):
		reply, err := m.credentials(b)
		return reply, nil, err
	default:
		return m.request(b)
	}
}

// greeting chooses the method (RFC 1928 §3).
func (m *Machine) greeting(b []byte) ([]byte, error) {
	if b[0] != version5 {
		reply, err := foreign(b[0])
		return []byte(reply), &RefusalError{ReplyGeneralFailure, err}
	}
	methods := b[2:]
	none := bytes.IndexByte(methods, methodNone) >= 0
	password := bytes.IndexByte(methods, methodPassword) >= 0
	switch {
	case password && (!none || !m.cfg.PreferNoAuth):
		m.state = stateAuth
		return []byte{version5, methodPassword}, nil
	case none:
		m.state = stateRequest
		return []byte{version5, methodNone}, nil
	default:
		return []byte{version5, methodRefused}, &RefusalError{ReplyGeneralFailure, ErrMethods}
	}
}

// credentials accepts any user name and password (RFC 1929 §2) but a user name
// in a format of proposal 351 that we do not know: what it asks for might be
// more isolation than we would give.
func (m *Machine) credentials(b []byte) ([]byte, error) {
	failure := []byte{authVersion, 1}
	if b[0] != authVersion {
		return failure, &RefusalError{ReplyGeneralFailure, ErrCredentials}
	}
	end := 2 + int(b[1])
	username := string(b[2:end])
	if strings.HasPrefix(username, extendedPrefix) && username != extendedPlain {
		return failure, &RefusalError{ReplyNotAllowed, ErrExtendedFormat}
	}
	m.req.Username, m.req.Password, m.req.HasAuth = username, string(b[end+1:]), true
	m.state = stateRequest
	return []byte{authVersion, 0}, nil
}

// request checks the request (RFC 1928 §4). The command is judged before the
// target, as UDP ASSOCIATE rightly comes without one.
func (m *Machine) request(b []byte) ([]byte, *Request, error) {
	if b[0] != version5 || b[2] != 0 {
		return m.refuse(ReplyGeneralFailure, ErrRequest)
	}
	if t := b[3]; t != addrIPv4 && t != addrName && t != addrIPv6 {
		return m.refuse(ReplyAddressTypeNotSupported, ErrAddressType)
	}
	switch b[1] {
	case commandConnect, commandResolve, commandReverse:
	default:
		return m.refuse(ReplyCommandNotSupported, ErrCommand)
	}
	field, port := b[4:len(b)-2], binary.BigEndian.Uint16(b[len(b)-2:])
	r := m.req
	if b[3] == addrName {
		host, isIP, code, err := parseHost(field[1:])
		if err != nil {
			return m.refuse(code, err)
		}
		r.Host, r.IsIP = host, isIP
	} else {
		addr, _ := netip.AddrFromSlice(field) // 4 or 16 octets, by want
		r.Host, r.IsIP = canonical(addr), true
	}
	r.Resolve, r.Reverse = b[1] == commandResolve, b[1] == commandReverse
	if r.Reverse && !r.IsIP {
		return m.refuse(ReplyAddressTypeNotSupported, ErrReverse)
	}
	if port == 0 && !r.Resolve && !r.Reverse {
		return m.refuse(ReplyGeneralFailure, ErrPort)
	}
	r.Port = port
	m.state = stateDone
	return nil, &r, nil
}

func (m *Machine) refuse(code ReplyCode, err error) ([]byte, *Request, error) {
	if !m.cfg.ExtendedErrors {
		code = code.Basic()
	}
	reply := AppendReply(nil, code, netip.AddrPort{})
	if m.four {
		reply = AppendReply4(nil, false, netip.Addr{})
	}
	return reply, nil, &RefusalError{code, err}
}
