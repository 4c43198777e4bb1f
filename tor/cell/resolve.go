package cell

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
)

// Answer types of RESOLVED (tor-spec section 6.4).
const (
	answerIPv4     = 0x04
	answerIPv6     = 0x06
	maxResolveName = 255
	maxAnswers     = 64
	lengthOfTTL    = 4
	unknownAnswer  = 0xF1 // error, not transient
)

// AppendResolve appends the data of a RESOLVE message for a host name.
func AppendResolve(dst []byte, name string) ([]byte, error) {
	if name == "" || len(name) > maxResolveName {
		return dst, fmt.Errorf("RESOLVE name of %d bytes: %w", len(name), ErrMalformed)
	}
	dst = appendLower(dst, name)
	return append(dst, 0), nil
}

// ParseResolved reads the data of a RESOLVED message: the addresses in the
// order given. No address and no error means that the name has none. Answers of
// types we do not know, errors among them, are passed over.
func ParseResolved(data []byte) ([]netip.Addr, error) {
	var out []netip.Addr
	s := cryptobyte.String(data)
	for answers := 0; !s.Empty(); answers++ {
		var kind uint8
		var value cryptobyte.String
		if answers == maxAnswers || !s.ReadUint8(&kind) || !s.ReadUint8LengthPrefixed(&value) || !s.Skip(lengthOfTTL) {
			return nil, fmt.Errorf("RESOLVED: %w", ErrTruncated)
		}
		switch {
		case kind == answerIPv4 && len(value) == 4, kind == answerIPv6 && len(value) == 16:
			addr, _ := netip.AddrFromSlice(value)
			out = append(out, addr.Unmap())
		case kind == answerIPv4 || kind == answerIPv6:
			return nil, fmt.Errorf("RESOLVED address of %d bytes: %w", len(value), ErrMalformed)
		}
	}
	return out, nil
}

// AppendResolved appends the data of a RESOLVED message; no address makes the
// answer an error that is not transient.
func AppendResolved(dst []byte, ttl uint32, addrs ...netip.Addr) []byte {
	for _, a := range addrs {
		kind := byte(answerIPv4)
		if a.Is6() {
			kind = answerIPv6
		}
		b := a.AsSlice()
		dst = append(dst, kind, byte(len(b)))
		dst = append(dst, b...)
		dst = binary.BigEndian.AppendUint32(dst, ttl)
	}
	if len(addrs) == 0 {
		dst = append(dst, unknownAnswer, 0)
		dst = binary.BigEndian.AppendUint32(dst, ttl)
	}
	return dst
}
