package httpconnect

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"chive/tor/socks"
)

// The causes of a refusal. All but ErrDone come wrapped in a *RefusalError.
var (
	ErrTooLarge  = errors.New("HTTP request head is too large")
	ErrMalformed = errors.New("malformed HTTP request")
	ErrProbe     = errors.New("HTTP request that a web page may have made")
	ErrOptions   = errors.New("HTTP OPTIONS, answered")
	ErrMethod    = errors.New("HTTP method other than CONNECT; this is no HTTP proxy but a CONNECT tunnel")
	ErrTarget    = errors.New("CONNECT target is not a valid host and port")
	ErrOnion     = errors.New("CONNECT target is not a valid version 3 onion address")
	ErrExit      = errors.New(".exit names are not supported")
	ErrBody      = errors.New("HTTP CONNECT with a body")
	ErrDuplicate = errors.New("HTTP header given twice")
	ErrFamily    = errors.New("unknown Tor-Family-Preference")
	ErrRPC       = errors.New("Tor-RPC-Target is not supported")

	// ErrDone: Feed was called after the machine gave a request or a refusal.
	ErrDone = errors.New("httpconnect: dialogue is over")
)

// RefusalError says that the dialogue is over and why. Err is one of the
// package's sentinel errors; Status is 0 when nothing was answered.
type RefusalError struct {
	Status int
	Err    error
}

func (e *RefusalError) Error() string { return "httpconnect: " + e.Err.Error() }

// Unwrap gives the sentinel.
func (e *RefusalError) Unwrap() error { return e.Err }

// Family is what Tor-Family-Preference asks for.
type Family uint8

// The values of Tor-Family-Preference; FamilyUnset is a request without it.
const (
	FamilyUnset Family = iota
	IPv4Preferred
	IPv6Preferred
	IPv4Only
	IPv6Only
)

var families = map[string]Family{
	"ipv4-preferred": IPv4Preferred, "ipv6-preferred": IPv6Preferred, "ipv4-only": IPv4Only, "ipv6-only": IPv6Only,
}

// Request is a complete CONNECT.
type Request struct {
	Host string // as in socks.Request
	Port uint16 // never 0
	IsIP bool
	// What isolates, as sent: Proxy-Authorization, Tor-Stream-Isolation and
	// X-Tor-Stream-Isolation; nil: not sent.
	Authorization, Isolation, XIsolation *string
	Family                               Family
}

const (
	maxHead    = 16 << 10 // octets, request line to empty line
	maxHeaders = 128
	headEnd    = "\r\n\r\n"
)

// Speaks reports whether a client whose first byte this is speaks HTTP: no SOCKS
// version is an upper-case letter.
func Speaks(first byte) bool { return 'A' <= first && first <= 'Z' }

// Machine is one dialogue with one client. It keeps the head, at most 16 KiB. Not
// safe for concurrent use.
type Machine struct {
	buf  []byte
	done bool
}

// New starts a dialogue.
func New() *Machine { return &Machine{} }

// Feed takes what was read from the client, with the contract of socks.Machine's
// Feed: it consumes the head only, and an error is a *RefusalError.
func (m *Machine) Feed(in []byte) (n int, reply []byte, req *Request, err error) {
	if m.done {
		return 0, nil, nil, ErrDone
	}
	had := len(m.buf)
	take := min(len(in), maxHead-had)
	m.buf = append(m.buf, in[:take]...)
	end := bytes.Index(m.buf[max(0, had-len(headEnd)+1):], []byte(headEnd))
	switch {
	case end >= 0:
		end += max(0, had-len(headEnd)+1) + len(headEnd)
		m.done = true
		req, refusal := parse(string(m.buf[:end]))
		m.buf = nil
		if refusal != nil {
			return end - had, refusal.reply(), nil, refusal
		}
		return end - had, nil, req, nil
	case had+take == maxHead:
		m.done, m.buf = true, nil
		return take, nil, nil, &RefusalError{Err: ErrTooLarge}
	}
	return take, nil, nil, nil
}

// parse judges a whole head.
func parse(head string) (*Request, *RefusalError) {
	lines := strings.Split(strings.TrimSuffix(head, headEnd), "\r\n")
	method, target, ok := requestLine(lines[0])
	if !ok || len(lines) > maxHeaders+1 {
		return nil, &RefusalError{Err: ErrMalformed}
	}
	h, err := headers(lines[1:])
	if err != nil {
		return nil, &RefusalError{Err: err}
	}
	proxied := method != "CONNECT" && absolute(target)
	if probe(method, proxied, h) {
		return nil, &RefusalError{Err: ErrProbe}
	}
	switch {
	case method == "CONNECT":
		return connect(target, h)
	case method == "OPTIONS" && !proxied:
		return nil, &RefusalError{Status: 200, Err: ErrOptions}
	default:
		return nil, &RefusalError{Status: 405, Err: ErrMethod}
	}
}

func requestLine(line string) (method, target string, ok bool) {
	f := strings.Split(line, " ")
	if len(f) != 3 || f[0] == "" || f[1] == "" || (f[2] != "HTTP/1.0" && f[2] != "HTTP/1.1") || !visible(line) {
		return "", "", false
	}
	return f[0], f[1], true
}

// headers reads the header lines. The names are in lower case.
func headers(lines []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !token(name) || !visible(value) { // a name that begins with a blank is an obsolete fold
			return nil, ErrMalformed
		}
		name = strings.ToLower(name)
		out[name] = append(out[name], strings.Trim(value, " \t"))
	}
	return out, nil
}

func visible(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

// token: RFC 9110 §5.6.2.
func token(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

// absolute: is the target in absolute form (RFC 9112 §3.2.2)? Only a program that is
// set to use this port as its proxy sends that. What a page has a browser send here
// is in origin form, whatever name the page gave this machine.
func absolute(target string) bool {
	scheme, _, ok := strings.Cut(target, "://")
	return ok && strings.IndexFunc(scheme, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	}) < 0 && scheme != ""
}

// probe: could a web page have had a browser send this? CONNECT and what is meant
// for a proxy it cannot, but for the rest a Host other than this machine's tells of
// DNS rebinding. A browser adds the other two for pages only, where none is a person
// who typed the address.
func probe(method string, proxied bool, h map[string][]string) bool {
	if len(h["origin"]) > 0 {
		return true
	}
	for _, site := range h["sec-fetch-site"] {
		if site != "none" {
			return true
		}
	}
	return method != "CONNECT" && !proxied && (len(h["host"]) != 1 || !localhost(h["host"][0]))
}

func localhost(host string) bool {
	if name, port := splitPort(host); port != "" {
		host = name
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return addr.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// splitPort cuts host:port; an IPv6 address keeps its brackets, and one without
// any has no port.
func splitPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[:i], ":") && !strings.HasSuffix(s[:i], "]") {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func connect(target string, h map[string][]string) (*Request, *RefusalError) {
	bad := func(err error) (*Request, *RefusalError) { return nil, &RefusalError{Status: 400, Err: err} }
	if len(h["transfer-encoding"]) > 0 || strings.Trim(strings.Join(h["content-length"], ""), "0") != "" {
		return bad(ErrBody)
	}
	if len(h["tor-rpc-target"]) > 0 {
		return nil, &RefusalError{Status: 501, Err: ErrRPC}
	}
	name, digits := splitPort(target)
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 {
		return bad(ErrTarget)
	}
	var r Request
	r.Port = uint16(port)
	switch r.Host, r.IsIP, err = socks.ParseHost(name); {
	case errors.Is(err, socks.ErrExit):
		return nil, &RefusalError{Status: 403, Err: ErrExit}
	case errors.Is(err, socks.ErrOnionAddress), errors.Is(err, socks.ErrOnionV2):
		return bad(ErrOnion)
	case err != nil:
		return bad(ErrTarget)
	}
	for key, field := range map[string]**string{
		"proxy-authorization": &r.Authorization, "tor-stream-isolation": &r.Isolation, "x-tor-stream-isolation": &r.XIsolation,
	} {
		switch v := h[key]; len(v) {
		case 0:
		case 1:
			*field = &v[0]
		default:
			return bad(ErrDuplicate)
		}
	}
	switch v := h["tor-family-preference"]; len(v) {
	case 0:
	case 1:
		if r.Family = families[v[0]]; r.Family == FamilyUnset {
			return bad(ErrFamily)
		}
	default:
		return bad(ErrDuplicate)
	}
	return &r, nil
}
