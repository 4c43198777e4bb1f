package cell

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The flags of BEGIN (tor-spec section 6.2).
const (
	BeginIPv6OK        uint32 = 1 << 0 // the client can use IPv6 addresses
	BeginIPv4NotOK     uint32 = 1 << 1 // the client cannot use IPv4 addresses
	BeginIPv6Preferred uint32 = 1 << 2
)

// TTLUnknown stands for a TTL that the relay did not send.
const TTLUnknown uint32 = math.MaxUint32

// Begin is a BEGIN message (tor-spec section 6.2).
type Begin struct {
	Host  string // name, IPv4 address, or IPv6 address without brackets
	Port  uint16 // 1 to 65535
	Flags uint32
}

// AppendBegin appends the data of a BEGIN message. addrport is host:port, an
// IPv6 address in brackets (net.JoinHostPort); it is sent in lower case, since
// the client's spelling would tell clients apart. Flags of zero are left out,
// as other clients do.
func AppendBegin(dst []byte, addrport string, flags uint32) ([]byte, error) {
	if _, _, err := splitTarget(addrport); err != nil {
		return nil, fmt.Errorf("BEGIN: %w", err)
	}
	if n := len(addrport) + 5; n > MaxRelayData {
		return nil, fmt.Errorf("BEGIN of %d bytes: %w", n, ErrRelayLength)
	}
	dst = appendLower(dst, addrport)
	dst = append(dst, 0)
	if flags != 0 {
		dst = binary.BigEndian.AppendUint32(dst, flags)
	}
	return dst, nil
}

// ParseBegin reads the data of a BEGIN message. Missing flags are zero; what
// follows them is ignored.
func ParseBegin(data []byte) (Begin, error) {
	target, rest, ok := strings.Cut(string(data), "\x00")
	if !ok {
		return Begin{}, fmt.Errorf("BEGIN without NUL: %w", ErrTruncated)
	}
	host, port, err := splitTarget(target)
	if err != nil {
		return Begin{}, fmt.Errorf("BEGIN: %w", err)
	}
	b := Begin{Host: host, Port: port}
	if len(rest) >= 4 {
		b.Flags = binary.BigEndian.Uint32([]byte(rest))
	}
	return b, nil
}

// splitTarget checks an ADDRPORT. The target itself stays out of the error:
// errors reach logs, and where a client connects to must not.
// AppendBeginPort makes the BEGIN to a port of an onion service, without a host (rend-spec-v3
// section 4.4).
func AppendBeginPort(dst []byte, port uint16) []byte {
	return append(strconv.AppendUint(append(dst, ':'), uint64(port), 10), 0)
}

func splitTarget(addrport string) (host string, port uint16, err error) {
	for i := range len(addrport) {
		if b := addrport[i]; b <= ' ' || b >= 0x7f {
			return "", 0, fmt.Errorf("target is not printable ASCII: %w", ErrMalformed)
		}
	}
	host, digits, err := net.SplitHostPort(addrport)
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("target is not host:port: %w", ErrMalformed)
	}
	if strings.HasPrefix(addrport, "[") {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", 0, fmt.Errorf("target in brackets is not an IPv6 address: %w", ErrMalformed)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("target port is not 1 to 65535: %w", ErrMalformed)
	}
	return host, uint16(n), nil
}

// appendLower appends s with its ASCII letters in lower case and every other
// byte as it is.
func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		b := s[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}

// ParseConnected reads the data of a CONNECTED message that answers a BEGIN
// (tor-spec section 6.2). Empty data, as onion services and directory streams
// send, gives an invalid addr and TTLUnknown. ttl is in seconds. The data of a
// CONNECTED that answers BEGIN_DIR means nothing and need not be parsed.
func ParseConnected(data []byte) (addr netip.Addr, ttl uint32, err error) {
	if len(data) == 0 {
		return netip.Addr{}, TTLUnknown, nil
	}
	if len(data) < 4 {
		return netip.Addr{}, 0, fmt.Errorf("CONNECTED: %w", ErrTruncated)
	}
	rest := data[4:]
	if v4 := netip.AddrFrom4([4]byte(data)); v4 != netip.IPv4Unspecified() {
		return v4, readTTL(rest), nil
	}
	if len(rest) < 17 {
		return netip.Addr{}, 0, fmt.Errorf("CONNECTED: %w", ErrTruncated)
	}
	if rest[0] != addrTypeIPv6 {
		return netip.Addr{}, 0, fmt.Errorf("CONNECTED with address type %d: %w", rest[0], ErrMalformed)
	}
	return netip.AddrFrom16([16]byte(rest[1:])), readTTL(rest[17:]), nil
}

func readTTL(b []byte) uint32 {
	if len(b) < 4 {
		return TTLUnknown
	}
	return binary.BigEndian.Uint32(b)
}

// AppendConnected appends the data of a CONNECTED message: nothing for an
// invalid addr, else the address and its TTL in seconds.
func AppendConnected(dst []byte, addr netip.Addr, ttl uint32) []byte {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid():
		return dst
	case addr.Is4():
		dst = append(dst, addr.AsSlice()...)
	default:
		dst = append(dst, 0, 0, 0, 0, addrTypeIPv6)
		dst = append(dst, addr.AsSlice()...)
	}
	return binary.BigEndian.AppendUint32(dst, ttl)
}

// ParseEnd reads the data of an END message (tor-spec section 6.3); nothing in
// it can make the message invalid. Empty data is EndMisc; any other reason is
// kept as it came. addr is valid only for EndExitPolicy with an address of a
// known length; ttl is in seconds, TTLUnknown if absent.
func ParseEnd(data []byte) (reason EndReason, addr netip.Addr, ttl uint32) {
	if len(data) == 0 {
		return EndMisc, netip.Addr{}, TTLUnknown
	}
	reason = EndReason(data[0])
	if reason != EndExitPolicy {
		return reason, netip.Addr{}, TTLUnknown
	}
	switch rest := data[1:]; len(rest) {
	case 4, 8:
		return reason, netip.AddrFrom4([4]byte(rest)), readTTL(rest[4:])
	case 16, 20:
		return reason, netip.AddrFrom16([16]byte(rest)), readTTL(rest[16:])
	}
	return reason, netip.Addr{}, TTLUnknown
}

// AppendEnd appends the data of an END message. The address is sent only with
// EndExitPolicy and only if valid. A client sends no reason but EndMisc.
func AppendEnd(dst []byte, reason EndReason, addr netip.Addr, ttl uint32) []byte {
	dst = append(dst, byte(reason))
	if reason != EndExitPolicy || !addr.IsValid() {
		return dst
	}
	dst = append(dst, addr.Unmap().AsSlice()...)
	return binary.BigEndian.AppendUint32(dst, ttl)
}
