package cell

import (
	"fmt"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
)

const (
	addrTypeIPv4 = 4
	addrTypeIPv6 = 6
)

// NetinfoBody is a NETINFO cell (tor-spec section 4.5). None of it is
// authenticated: the sender says what it likes.
type NetinfoBody struct {
	// Timestamp is the sender's clock, seconds since the Unix epoch; clients
	// send 0 so as not to be told apart.
	Timestamp uint32
	// OtherAddr is where the sender sees the receiver. Invalid (the zero
	// Addr) if it has a type or length the specification does not know.
	OtherAddr netip.Addr
	// MyAddrs are the sender's own addresses; unknown kinds are left out.
	MyAddrs []netip.Addr
}

// ParseNetinfo reads the body of a NETINFO cell and ignores what follows it.
func ParseNetinfo(body []byte) (NetinfoBody, error) {
	s := cryptobyte.String(body)
	var info NetinfoBody
	var count uint8
	if !s.ReadUint32(&info.Timestamp) || !readNetinfoAddr(&s, &info.OtherAddr) || !s.ReadUint8(&count) {
		return NetinfoBody{}, fmt.Errorf("NETINFO: %w", ErrTruncated)
	}
	for range count {
		var addr netip.Addr
		if !readNetinfoAddr(&s, &addr) {
			return NetinfoBody{}, fmt.Errorf("NETINFO: %w", ErrTruncated)
		}
		if addr.IsValid() {
			info.MyAddrs = append(info.MyAddrs, addr)
		}
	}
	return info, nil
}

// readNetinfoAddr reads one address; one of an unknown type, or whose length
// does not fit its type, is skipped and leaves out as it was.
func readNetinfoAddr(s *cryptobyte.String, out *netip.Addr) bool {
	var kind uint8
	var value cryptobyte.String
	if !s.ReadUint8(&kind) || !s.ReadUint8LengthPrefixed(&value) {
		return false
	}
	if (kind == addrTypeIPv4 && len(value) == 4) || (kind == addrTypeIPv6 && len(value) == 16) {
		*out, _ = netip.AddrFromSlice(value)
	}
	return true
}

// AppendNetinfo appends the body of a NETINFO cell. An invalid OtherAddr is
// sent as 0.0.0.0, since the field cannot be left out; invalid MyAddrs are. It
// panics if the addresses do not fit into a cell (26 IPv6 addresses do).
func AppendNetinfo(dst []byte, info NetinfoBody) []byte {
	start := len(dst)
	dst = append(dst, byte(info.Timestamp>>24), byte(info.Timestamp>>16), byte(info.Timestamp>>8), byte(info.Timestamp))
	other := info.OtherAddr
	if !other.IsValid() {
		other = netip.IPv4Unspecified()
	}
	dst = appendNetinfoAddr(dst, other)
	count := len(dst)
	dst = append(dst, 0)
	for _, addr := range info.MyAddrs {
		if addr.IsValid() {
			dst = appendNetinfoAddr(dst, addr)
			dst[count]++
		}
	}
	if len(dst)-start > BodyLen {
		panic("cell: NETINFO addresses do not fit into a cell")
	}
	return dst
}

func appendNetinfoAddr(dst []byte, addr netip.Addr) []byte {
	addr = addr.Unmap()
	if addr.Is4() {
		dst = append(dst, addrTypeIPv4, 4)
	} else {
		dst = append(dst, addrTypeIPv6, 16)
	}
	return append(dst, addr.AsSlice()...)
}
