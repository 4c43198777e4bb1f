package host

import (
	"encoding/base64"
	"errors"
	"fmt"

	"chive/tor/cell"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

// ForeignPoint is the public half of an introduction point that another node keeps for
// the same service: what a descriptor says of it. The certificates are made by whoever
// publishes. It is comparable. Its zero value is no introduction point.
type ForeignPoint struct {
	Relay   relaymsg.Point
	AuthKey [32]byte // Ed25519
	EncKey  [32]byte // curve25519
}

// MaxForeignPoint bounds the binary form, in bytes.
const MaxForeignPoint = 256

// ErrForeign: a description of an introduction point that none has.
var ErrForeign = errors.New("another node's introduction point")

// Intro is how descriptors list it.
func (p *ForeignPoint) Intro() descriptor.IntroPoint {
	return descriptor.IntroPoint{Specs: p.Relay.Specs(), OnionKey: p.Relay.OnionKey, AuthKey: p.AuthKey, EncKey: p.EncKey}
}

// Check refuses what no client would take: no identity or IPv4 address of a relay, keys
// that are zero or of low order. Relays at private addresses are refused unless
// allowPrivate. Error: ErrForeign.
func (p *ForeignPoint) Check(allowPrivate bool) error {
	if p.Relay.OnionKey == p.EncKey {
		return fmt.Errorf("%w: one key is both the relay's and the service's", ErrForeign)
	}
	ip := p.Intro()
	switch named, ok := relaymsg.PointOf(ip.Specs, ip.OnionKey, allowPrivate); {
	case !ok || named.RSA != p.Relay.RSA || named.IPv4 != p.Relay.IPv4:
		return fmt.Errorf("%w: it is at no relay that clients can reach", ErrForeign)
	case p.Relay.IPv6.IsValid() && !p.Relay.IPv6.Addr().Is6():
		return fmt.Errorf("%w: %v is no IPv6 address", ErrForeign, p.Relay.IPv6)
	}
	if err := ip.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}

// AppendBinary implements encoding.BinaryAppender: link specifiers as in EXTEND2, the
// relay's ntor key, the authentication key, the encryption key. Error: ErrForeign.
func (p *ForeignPoint) AppendBinary(b []byte) ([]byte, error) {
	if !p.Relay.IPv4.Addr().Is4() { // AddrSpec would name it as something else
		return nil, fmt.Errorf("%w: it has no IPv4 address", ErrForeign)
	}
	b, err := cell.AppendLinkSpecs(b, p.Relay.Specs())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	b = append(b, p.Relay.OnionKey[:]...)
	b = append(b, p.AuthKey[:]...)
	return append(b, p.EncKey[:]...), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. What it accepts is checked as
// by Check, but for private addresses, and is written the same again. Error: ErrForeign.
func (p *ForeignPoint) UnmarshalBinary(b []byte) error {
	if len(b) > MaxForeignPoint {
		return fmt.Errorf("%w: %d bytes", ErrForeign, len(b))
	}
	specs, keys, err := cell.ParseLinkSpecs(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if len(keys) != 3*32 {
		return fmt.Errorf("%w: %d bytes of keys", ErrForeign, len(keys))
	}
	out := ForeignPoint{AuthKey: [32]byte(keys[32:]), EncKey: [32]byte(keys[64:])}
	out.Relay = pointOf(specs, [32]byte(keys))
	if err := out.Check(true); err != nil {
		return err
	}
	again, err := out.AppendBinary(nil)
	if err != nil || string(again) != string(b) {
		return fmt.Errorf("%w: written in another way than ours", ErrForeign)
	}
	*p = out
	return nil
}

// MarshalText implements encoding.TextMarshaler: the binary form in base64.
func (p ForeignPoint) MarshalText() ([]byte, error) {
	b, err := p.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Error: ErrForeign.
func (p *ForeignPoint) UnmarshalText(text []byte) error {
	if len(text) > base64.StdEncoding.EncodedLen(MaxForeignPoint) {
		return fmt.Errorf("%w: %d bytes", ErrForeign, len(text))
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return p.UnmarshalBinary(b)
}

// pointOf reads the link specifiers of a relay, the IPv6 address with them.
func pointOf(specs []cell.LinkSpec, onionKey [32]byte) relaymsg.Point {
	p, _ := relaymsg.PointOf(specs, onionKey, true) // Check refuses what is none
	for _, s := range specs {
		if ap, ok := s.AddrPort(); ok && s.Type == cell.LinkSpecIPv6 && !p.IPv6.IsValid() {
			p.IPv6 = ap
		}
	}
	return p
}
