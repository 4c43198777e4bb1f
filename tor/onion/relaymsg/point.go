package relaymsg

import (
	"net/netip"

	"chive/tor/cell"
)

// Point is a relay as link specifiers name it.
type Point struct {
	RSA      [20]byte
	Ed25519  [32]byte // zero: not named
	IPv4     netip.AddrPort
	IPv6     netip.AddrPort // zero: none; only where we name the relay
	OnionKey [32]byte
}

// Specs names the relay, in the order of C tor.
func (p *Point) Specs() []cell.LinkSpec {
	out := []cell.LinkSpec{cell.AddrSpec(p.IPv4), cell.RSASpec(p.RSA)}
	if p.Ed25519 != ([32]byte{}) {
		out = append(out, cell.Ed25519Spec(p.Ed25519))
	}
	if p.IPv6.IsValid() {
		out = append(out, cell.AddrSpec(p.IPv6))
	}
	return out
}

// PointOf reads the link specifiers of a relay that the other side chose. One that would
// have a relay connect into its own network, unless that is allowed, or that names no
// relay, is refused. As in C tor the first IPv4 address counts and what is unknown is not
// passed on, so that nobody can mark our EXTEND2.
func PointOf(specs []cell.LinkSpec, onionKey [32]byte, allowPrivate bool) (Point, bool) {
	p := Point{OnionKey: onionKey}
	named := false
	for _, spec := range specs {
		switch spec.Type {
		case cell.LinkSpecIPv4, cell.LinkSpecIPv6:
			ap, ok := spec.AddrPort()
			if !ok || ap.Port() == 0 || !allowPrivate && internal(ap.Addr()) {
				return Point{}, false
			}
			if spec.Type == cell.LinkSpecIPv4 && !p.IPv4.IsValid() {
				p.IPv4 = ap
			}
		case cell.LinkSpecRSA:
			named = len(spec.Body) == copy(p.RSA[:], spec.Body) && p.RSA != [20]byte{}
		case cell.LinkSpecEd25519:
			copy(p.Ed25519[:], spec.Body)
		}
	}
	if !named || !p.IPv4.IsValid() || onionKey == ([32]byte{}) {
		return Point{}, false
	}
	return p, true
}

// special are networks that mean something only where one is, beside those that netip
// knows (RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("fec0::/10"),
}

// internal: is it an address that no relay of the public network has?
func internal(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return true
	}
	for _, p := range special {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
