package cell

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
)

// The link specifier types of tor-spec section 5.1.2.
const (
	LinkSpecIPv4    uint8 = 0 // 4-byte address, 2-byte port
	LinkSpecIPv6    uint8 = 1 // 16-byte address, 2-byte port
	LinkSpecRSA     uint8 = 2 // 20-byte SHA1 of the RSA identity key
	LinkSpecEd25519 uint8 = 3 // 32-byte Ed25519 identity key
)

// LinkSpec is one way to name or reach a relay. Types other than the four
// above are kept as they came.
type LinkSpec struct {
	Type uint8
	Body []byte
}

// AddrSpec is the link specifier of an OR port.
func AddrSpec(ap netip.AddrPort) LinkSpec {
	addr, kind := ap.Addr().Unmap(), LinkSpecIPv6
	if addr.Is4() {
		kind = LinkSpecIPv4
	}
	return LinkSpec{Type: kind, Body: binary.BigEndian.AppendUint16(addr.AsSlice(), ap.Port())}
}

// RSASpec is the link specifier of an RSA identity digest.
func RSASpec(id [20]byte) LinkSpec { return LinkSpec{Type: LinkSpecRSA, Body: id[:]} }

// Ed25519Spec is the link specifier of an Ed25519 identity key.
func Ed25519Spec(id [32]byte) LinkSpec { return LinkSpec{Type: LinkSpecEd25519, Body: id[:]} }

// AddrPort is the OR port that an IPv4 or IPv6 specifier names.
func (s LinkSpec) AddrPort() (netip.AddrPort, bool) {
	if (s.Type != LinkSpecIPv4 && s.Type != LinkSpecIPv6) || len(s.Body) != linkSpecLen(s.Type) {
		return netip.AddrPort{}, false
	}
	n := len(s.Body) - 2
	addr, ok := netip.AddrFromSlice(s.Body[:n])
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(s.Body[n:])), ok
}

// linkSpecLen is the body length of a known type, -1 for an unknown one.
func linkSpecLen(kind uint8) int {
	switch kind {
	case LinkSpecIPv4:
		return 6
	case LinkSpecIPv6:
		return 18
	case LinkSpecRSA:
		return 20
	case LinkSpecEd25519:
		return 32
	}
	return -1
}

// AppendLinkSpecs appends the count and the specifiers, as they stand in
// EXTEND2 and INTRODUCE1. It refuses what ParseLinkSpecs would refuse.
func AppendLinkSpecs(dst []byte, specs []LinkSpec) ([]byte, error) {
	if len(specs) > 0xff {
		return nil, fmt.Errorf("%d link specifiers: %w", len(specs), ErrMalformed)
	}
	dst = append(dst, byte(len(specs)))
	var seen identitySpecs
	for _, s := range specs {
		if err := seen.check(s); err != nil {
			return nil, err
		}
		dst = append(dst, s.Type, byte(len(s.Body)))
		dst = append(dst, s.Body...)
	}
	return dst, nil
}

// ParseLinkSpecs reads the count and the specifiers off the front of b and
// returns what follows. Bodies alias b. A known type of the wrong length, and
// a second identity of one kind, are refused (tor-spec section 5.1.2).
func ParseLinkSpecs(b []byte) (specs []LinkSpec, rest []byte, err error) {
	s := cryptobyte.String(b)
	var count uint8
	if !s.ReadUint8(&count) {
		return nil, nil, fmt.Errorf("link specifiers: %w", ErrTruncated)
	}
	var seen identitySpecs
	specs = make([]LinkSpec, 0, min(int(count), len(s)/2))
	for range count {
		var spec LinkSpec
		var body cryptobyte.String
		if !s.ReadUint8(&spec.Type) || !s.ReadUint8LengthPrefixed(&body) {
			return nil, nil, fmt.Errorf("link specifiers: %w", ErrTruncated)
		}
		spec.Body = body
		if err := seen.check(spec); err != nil {
			return nil, nil, err
		}
		specs = append(specs, spec)
	}
	return specs, s, nil
}

// identitySpecs remembers which kinds of identity a list has named already.
type identitySpecs struct{ rsa, ed25519 bool }

func (i *identitySpecs) check(s LinkSpec) error {
	if want := linkSpecLen(s.Type); (want >= 0 && len(s.Body) != want) || len(s.Body) > 0xff {
		return fmt.Errorf("link specifier type %d of %d bytes: %w", s.Type, len(s.Body), ErrMalformed)
	}
	var seen *bool
	switch s.Type {
	case LinkSpecRSA:
		seen = &i.rsa
	case LinkSpecEd25519:
		seen = &i.ed25519
	default:
		return nil
	}
	if *seen {
		return fmt.Errorf("two link specifiers of type %d: %w", s.Type, ErrMalformed)
	}
	*seen = true
	return nil
}
