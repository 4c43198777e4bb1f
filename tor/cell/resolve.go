package cell

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Answer types of RESOLVED (tor-spec section 6.4).
const (
	answerName     = 0x00
	answerIPv4     = 0x04
	answerIPv6     = 0x06
	maxResolveName = 255
	maxAnswers     = 64
	answerRetry    = 0xF0 // error, transient
	answerFailed   = 0xF1 // error, not transient
)

// AppendResolve appends the data of a RESOLVE message for a host name, or for
// what ReverseName makes of an address.
func AppendResolve(dst []byte, name string) ([]byte, error) {
	if name == "" || len(name) > maxResolveName {
		return dst, fmt.Errorf("RESOLVE name of %d bytes: %w", len(name), ErrMalformed)
	}
	dst = appendLower(dst, name)
	return append(dst, 0), nil
}

// Answer is one answer of a RESOLVED message: an address, a host name (to a
// question for the name of an address), or an error.
type Answer struct {
	Addr   netip.Addr // valid for an address
	Name   string     // for a host name, as the relay sent it: any bytes
	Failed bool       // for an error
	Retry  bool       // the error may pass: another relay, or later
	TTL    uint32     // seconds
}

// ParseResolved reads the data of a RESOLVED message: the answers in the order
// given. Answers of types we do not know are passed over.
func ParseResolved(data []byte) ([]Answer, error) {
	var out []Answer
	s := cryptobyte.String(data)
	for answers := 0; !s.Empty(); answers++ {
		var kind uint8
		var value cryptobyte.String
		var ttl uint32
		if answers == maxAnswers || !s.ReadUint8(&kind) || !s.ReadUint8LengthPrefixed(&value) || !s.ReadUint32(&ttl) {
			return nil, fmt.Errorf("RESOLVED: %w", ErrTruncated)
		}
		a := Answer{TTL: ttl}
		switch kind {
		case answerName:
			a.Name = string(value)
		case answerIPv4, answerIPv6:
			addr, ok := netip.AddrFromSlice(value)
			if !ok || addr.Is4() != (kind == answerIPv4) {
				return nil, fmt.Errorf("RESOLVED address of %d bytes: %w", len(value), ErrMalformed)
			}
			a.Addr = addr.Unmap()
		case answerRetry, answerFailed:
			a.Failed, a.Retry = true, kind == answerRetry
		default:
			continue
		}
		out = append(out, a)
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
		dst = append(dst, answerFailed, 0)
		dst = binary.BigEndian.AppendUint32(dst, ttl)
	}
	return dst
}

// ReverseName is the name under which DNS keeps the name of an address: in
// in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596 section 2.5).
func ReverseName(a netip.Addr) string {
	a = a.Unmap()
	b := a.AsSlice()
	var name strings.Builder
	for i := len(b) - 1; i >= 0; i-- {
		if a.Is4() {
			fmt.Fprintf(&name, "%d.", b[i])
		} else {
			fmt.Fprintf(&name, "%x.%x.", b[i]&0xf, b[i]>>4)
		}
	}
	if a.Is4() {
		return name.String() + suffix4
	}
	return name.String() + suffix6
}

const (
	suffix4 = "in-addr.arpa"
	suffix6 = "ip6.arpa"
)

// ParseReverseName is the inverse of ReverseName; case does not count. Only whole
// addresses have one.
func ParseReverseName(name string) (netip.Addr, bool) {
	name = strings.ToLower(name)
	if labels, ok := strings.CutSuffix(name, "."+suffix4); ok {
		parts := strings.Split(labels, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	labels, ok := strings.CutSuffix(name, "."+suffix6)
	if !ok || len(labels) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		digit := strings.IndexByte("0123456789abcdef", labels[2*i])
		if digit < 0 || i < 31 && labels[2*i+1] != '.' {
			return netip.Addr{}, false
		}
		b[15-i/2] |= byte(digit) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b), true
}
