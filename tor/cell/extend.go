package cell

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Extend2 is an EXTEND2 message (tor-spec section 5.1.2). For
// indistinguishability specifiers go in the order IPv4, RSA id, Ed25519 id, IPv6;
// clients leave the last one out, as C tor's do.
type Extend2 struct {
	Specs         []LinkSpec
	HandshakeType uint16
	Handshake     []byte
}

// AppendExtend2 appends the data of an EXTEND2 message, or an error if it does
// not fit into a relay cell.
func AppendExtend2(dst []byte, e Extend2) ([]byte, error) {
	start := len(dst)
	dst, err := AppendLinkSpecs(dst, e.Specs)
	if err != nil {
		return nil, fmt.Errorf("EXTEND2: %w", err)
	}
	if n := len(dst) - start + 4 + len(e.Handshake); n > MaxRelayData {
		return nil, fmt.Errorf("EXTEND2 of %d bytes: %w", n, ErrRelayLength)
	}
	dst = binary.BigEndian.AppendUint16(dst, e.HandshakeType)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Handshake)))
	return append(dst, e.Handshake...), nil
}

// ParseExtend2 reads the data of an EXTEND2 message. Slices alias data; what
// follows the handshake is ignored.
func ParseExtend2(data []byte) (Extend2, error) {
	specs, rest, err := ParseLinkSpecs(data)
	if err != nil {
		return Extend2{}, fmt.Errorf("EXTEND2: %w", err)
	}
	e := Extend2{Specs: specs}
	s := cryptobyte.String(rest)
	if !s.ReadUint16(&e.HandshakeType) || !s.ReadUint16LengthPrefixed((*cryptobyte.String)(&e.Handshake)) {
		return Extend2{}, fmt.Errorf("EXTEND2: %w", ErrTruncated)
	}
	return e, nil
}
