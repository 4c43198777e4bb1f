package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// listener reads "[address:]port|auto|unix:path|0 [flags]" of a protocol's option.
// A 0 is noted in off and judged with the other lines in finish.
func listener(proto Protocol) func(*builder, Line) {
	return func(b *builder, l Line) { b.listener(proto, l) }
}

func (b *builder) listener(proto Protocol, l Line) {
	where, flags, err := splitListener(l.Value)
	if err != nil {
		b.fail(l, ErrValue, "%v", err)
		return
	}
	if where == "0" {
		if strings.TrimSpace(flags) != "" {
			b.fail(l, ErrValue, "%v 0 takes no flags", proto)
		}
		b.off[proto] = &l
		return
	}
	p := b.newListener(proto)
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		p.Network = "unix"
		p.Path, err = socketPath(path)
	} else {
		p.Address, p.Auto, err = listenAddress(where)
	}
	if err != nil {
		b.fail(l, ErrValue, "%v", err)
		return
	}
	explicit := map[string]bool{}
	for _, word := range strings.Fields(flags) {
		if err := p.flag(word, explicit); err != nil {
			e := l.errorf(ErrValue, "%v", err)
			var f *flagError
			if errors.As(err, &f) {
				e.Suggestion, e.Kind = f.suggestion, f.kind
			}
			b.errs = append(b.errs, e)
		}
	}
	b.checkSocksPort(l, &p)
	ports := b.cfg.ports(proto)
	*ports = append(*ports, p)
	b.explicit[proto] = append(b.explicit[proto], explicit)
}

// newListener is one without flags.
func (b *builder) newListener(proto Protocol) SocksPort {
	return SocksPort{
		Protocol: proto, Network: "tcp", IsolateClientAddr: true, IsolateSOCKSAuth: true,
		SessionGroup: -1 - len(b.cfg.Listeners()), IPv4Traffic: true, IPv6Traffic: true,
		DNSRequest: true, OnionTraffic: true,
	}
}

// isolate gives every listener what the options of all listeners say, where its
// own flags say nothing.
func (b *builder) isolate() {
	for proto := range protocols {
		ports := *b.cfg.ports(proto)
		for i := range ports {
			ports[i].isolate(&b.cfg, b.explicit[proto][i])
		}
	}
}

func (p *SocksPort) isolate(c *Config, explicit map[string]bool) {
	for name, on := range map[string]bool{
		"isolatesocksauth": c.IsolateSOCKSAuth, "isolateclientprotocol": c.IsolateClientProtocol,
		"isolatedestaddr": c.IsolateDestinations, "isolatedestport": c.IsolateDestinations,
	} {
		if !explicit[name] {
			*p.flags()[name] = on
		}
	}
	p.IsolateClientPort = c.IsolateClientPort
}

// showListeners gives each listener with the flags that differ from those it has
// without any.
func showListeners(proto Protocol) func(*Config) []string {
	return func(c *Config) []string { return c.showPorts(*c.ports(proto)) }
}

func (c *Config) showPorts(ports []SocksPort) []string {
	if len(ports) == 0 {
		return []string{"0"}
	}
	var out []string
	for _, p := range ports {
		plain := SocksPort{IsolateClientAddr: p.Network != "unix", IPv4Traffic: true, IPv6Traffic: true, DNSRequest: true, OnionTraffic: true}
		plain.isolate(c, nil)
		text, has, usual := p.String(), p.flags(), plain.flags()
		if p.Network == "unix" && strings.ContainsAny(p.Path, blank+`"\#`) {
			text = "unix:" + quote(p.Path)
		}
		for _, name := range flagNames {
			field := strings.ToLower(name)
			switch {
			case field == "sessiongroup=" && p.SessionGroup >= 0:
				text += " " + name + strconv.Itoa(p.SessionGroup)
			case field == "sessiongroup=" || *has[field] == *usual[field]:
			case *has[field]:
				text += " " + name
			default:
				text += " No" + name
			}
		}
		out = append(out, text)
	}
	return out
}

func (b *builder) checkSocksPort(l Line, p *SocksPort) {
	if p.Network == "unix" {
		p.IsolateClientAddr = false // every client has the same one, as in C tor
	} else if p.GroupWritable || p.WorldWritable || p.RelaxDirModeCheck {
		b.fail(l, ErrConflict, "GroupWritable, WorldWritable and RelaxDirModeCheck are for unix sockets")
	}
	if !p.IPv4Traffic && !p.IPv6Traffic && !p.OnionTraffic {
		b.fail(l, ErrConflict, "NoIPv4Traffic, NoIPv6Traffic and NoOnionTraffic together leave nothing to connect to")
	}
	if p.Protocol == HTTP && (p.ExtendedErrors || p.PreferSOCKSNoAuth) {
		b.fail(l, ErrConflict, "ExtendedErrors and PreferSOCKSNoAuth are for a SocksPort")
	}
	if p.Protocol == DNS && (p.Network != "tcp" || !p.IPv4Traffic || !p.IPv6Traffic || p.PreferIPv6 || !p.DNSRequest || !p.OnionTraffic || p.PreferSOCKSNoAuth || p.ExtendedErrors) {
		b.fail(l, ErrConflict, "a DNSPort has an address and a port, and takes no flags but those that isolate and SessionGroup")
	}
	if p.Protocol == DNS && p.KeepAliveIsolateSOCKSAuth {
		b.fail(l, ErrConflict, "KeepAliveIsolateSOCKSAuth is for listeners whose clients authenticate; those of a DNSPort cannot")
	}
	if p.PreferIPv6 && !p.IPv6Traffic {
		b.fail(l, ErrConflict, "PreferIPv6 contradicts NoIPv6Traffic")
	}
	b.checkTwice(l, p)
}

// checkTwice: an address is one listener.
func (b *builder) checkTwice(l Line, p *SocksPort) {
	for _, other := range b.cfg.Listeners() {
		same := p.Network == other.Network && p.Path == other.Path && p.Address == other.Address
		if same && !p.Auto && !other.Auto {
			b.fail(l, ErrConflict, "%s is given twice", p)
		}
	}
}

// checkPlace: nor is the place of a NATS listener that of another listener.
func (b *builder) checkPlace(l Line, where string) {
	for _, other := range b.cfg.Listeners() {
		if other.Network == "tcp" && !other.Auto && other.Address.String() == where {
			b.fail(l, ErrConflict, "%s is given twice", where)
		}
	}
}

// splitListener separates the address from the flags; a unix path may be quoted.
func splitListener(s string) (where, rest string, err error) {
	if after, ok := strings.CutPrefix(s, `unix:"`); ok {
		path, rest, err := unquote(`"` + after)
		if err != nil {
			return "", "", err
		}
		if rest != "" && !strings.ContainsAny(rest[:1], blank) {
			return "", "", fmt.Errorf("text right after the closing quote: %q", clip(rest))
		}
		return "unix:" + path, rest, nil
	}
	if i := strings.IndexAny(s, blank); i >= 0 {
		return s[:i], s[i:], nil
	}
	if s == "" {
		return "", "", errors.New("needs a port, address:port, auto, unix:/path or 0")
	}
	return s, "", nil
}

func socketPath(p string) (string, error) {
	path, err := absolute(p)
	if err != nil {
		return "", err
	}
	const longest = 107 // sun_path of Linux without its NUL
	if len(path) > longest {
		return "", fmt.Errorf("the socket path %s is longer than %d bytes", clip(filepath.Base(path)), longest)
	}
	return path, nil
}

// listenAddress reads port, auto, address:port or address:auto; without an
// address it is 127.0.0.1.
func listenAddress(s string) (addr netip.AddrPort, auto bool, err error) {
	if strings.EqualFold(s, "auto") {
		return netip.AddrPortFrom(loopback4, 0), true, nil
	}
	if strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0 {
		port, err := parsePort(s)
		return netip.AddrPortFrom(loopback4, port), false, err
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return addr, false, fmt.Errorf("%q is not a listener: a port, address:port, auto or unix:/path", clip(s))
	}
	host, portText := s[:i], s[i+1:]
	var port uint16
	if strings.EqualFold(portText, "auto") {
		auto = true
	} else if port, err = parsePort(portText); err != nil {
		return addr, false, err
	}
	if strings.EqualFold(host, "localhost") {
		return netip.AddrPortFrom(loopback4, port), auto, nil
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	ip, err := netip.ParseAddr(inner)
	if err != nil || bracketed != closed || bracketed != ip.Is6() || ip.Zone() != "" {
		return addr, false, fmt.Errorf("%q is not an IP address, as in 127.0.0.1 or [::1]", clip(host))
	}
	return netip.AddrPortFrom(ip.Unmap(), port), auto, nil
}

// flagError is a flag that chive does not honour.
type flagError struct {
	problem, suggestion string
	kind                error
}

func (e *flagError) Error() string { return e.problem }

// refusedFlags are C tor's flags that chive does not honour, lower case,
// without their No-, and whether the No- form asks for what chive does anyway.
var refusedFlags = map[string]bool{
	"cacheipv4dns": true, "cacheipv6dns": true,
	"cachedns": true, "useipv4cache": true, "useipv6cache": true, "usednscache": true,
	"preferipv6automap": true,
}

// flag applies one flag word. Case does not count, "No" negates, and the
// isolation flags may have a plural s: all as in C tor. What is set is noted.
func (p *SocksPort) flag(word string, explicit map[string]bool) error {
	lower := strings.ToLower(word)
	if number, ok := strings.CutPrefix(lower, "sessiongroup="); ok {
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return fmt.Errorf("%q is not a session group: a number from 0", clip(word))
		}
		p.SessionGroup = int(n)
		return nil
	}
	if lower == "oniontrafficonly" { // as in C tor: a name for three flags
		p.DNSRequest, p.IPv4Traffic, p.IPv6Traffic = false, false, false
		return nil
	}
	name, negated := strings.CutPrefix(lower, "no")
	fields := p.flags()
	if fields[name] == nil {
		name = strings.TrimSuffix(name, "s")
	}
	if field := fields[name]; field != nil {
		*field, explicit[name] = !negated, true
		return nil
	}
	name = strings.TrimPrefix(lower, "no")
	if harmless, known := refusedFlags[name]; known {
		if harmless && negated {
			return nil
		}
		return &flagError{problem: fmt.Sprintf("the flag %s is not supported yet", word), kind: ErrUnsupported}
	}
	return &flagError{problem: fmt.Sprintf("unknown flag %s", clip(word)), suggestion: suggestFlag(word), kind: ErrUnknown}
}

func (p *SocksPort) flags() map[string]*bool {
	return map[string]*bool{
		"isolateclientaddr": &p.IsolateClientAddr, "isolatesocksauth": &p.IsolateSOCKSAuth,
		"isolateclientprotocol": &p.IsolateClientProtocol, "isolatedestaddr": &p.IsolateDestAddr,
		"keepaliveisolatesocksauth": &p.KeepAliveIsolateSOCKSAuth,
		"isolatedestport":           &p.IsolateDestPort, "ipv4traffic": &p.IPv4Traffic,
		"ipv6traffic": &p.IPv6Traffic, "preferipv6": &p.PreferIPv6,
		"extendederrors": &p.ExtendedErrors, "groupwritable": &p.GroupWritable,
		"dnsrequest": &p.DNSRequest, "oniontraffic": &p.OnionTraffic,
		"prefersocksnoauth": &p.PreferSOCKSNoAuth,
		"worldwritable":     &p.WorldWritable, "relaxdirmodecheck": &p.RelaxDirModeCheck,
	}
}

var flagNames = []string{
	"IsolateClientAddr", "IsolateSOCKSAuth", "IsolateClientProtocol", "IsolateDestAddr", "IsolateDestPort",
	"KeepAliveIsolateSOCKSAuth", "SessionGroup=", "IPv4Traffic", "IPv6Traffic", "PreferIPv6", "DNSRequest", "OnionTraffic",
	"PreferSOCKSNoAuth", "ExtendedErrors",
	"GroupWritable", "WorldWritable", "RelaxDirModeCheck",
}

// Flags lists the flags of listeners, as a torrc writes them, in their form that says yes.
func Flags() []string { return append([]string{"OnionTrafficOnly"}, flagNames...) }

func suggestFlag(word string) string {
	names := Flags()
	for _, n := range flagNames {
		names = append(names, "No"+n)
	}
	return nearest(word, names)
}
