package target

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
)

const (
	maxDNSMessage = 512 // RFC 1035 2.3.4, over UDP
	maxNameLength = 255
	maxLabel      = 63
	headerLength  = 12
	typeA         = 1
	typePTR       = 12
	typeAAAA      = 28
	rcodeNoError  = 0
	rcodeNXDomain = 3
)

func (s *Server) serveDNS(pc *net.UDPConn, ip netip.Addr) {
	buf := make([]byte, maxDNSMessage)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // closed
		}
		s.dns.Add(1)
		if a := answer(buf[:n], ip); a != nil {
			_, _ = pc.WriteToUDPAddrPort(a, from) // the exit asks again
		}
	}
}

// answer is the reply to a query, or nil for a message that gets none: not a
// query with one question, or malformed. The question goes back byte for byte:
// C tor checks the upper and lower case it sent.
func answer(q []byte, ip netip.Addr) []byte {
	name, end, ok := question(q)
	if !ok {
		return nil
	}
	typ := binary.BigEndian.Uint16(q[end-4:])
	rcode, data := resolve(name, typ, ip)
	r := make([]byte, 0, end+32)
	r = append(r, q[0], q[1], 0x84|q[2]&1, 0x80|rcode) // response, authoritative, recursion as asked
	r = append(r, 0, 1, 0, 0, 0, 0, 0, 0)
	r = append(r, q[headerLength:end]...)
	if data == nil {
		return r
	}
	r[7] = 1
	r = append(r, 0xc0, headerLength) // the question's name
	r = binary.BigEndian.AppendUint16(r, typ)
	r = append(r, 0, 1, 0, 0, 0, 60)
	r = binary.BigEndian.AppendUint16(r, uint16(len(data)))
	return append(r, data...)
}

// resolve knows names below test: all have the target's address but six.test, which has
// [::1]; both.test has both.
func resolve(name string, typ uint16, ip netip.Addr) (rcode byte, data []byte) {
	switch {
	case strings.HasSuffix(name, ".test") && name != "nx.test":
		only6 := name == "six.test"
		switch {
		case typ == typeA && !only6:
			a := ip.As4()
			return rcodeNoError, a[:]
		case typ == typeAAAA && (only6 || name == "both.test"):
			return rcodeNoError, netip.IPv6Loopback().AsSlice()
		}
		return rcodeNoError, nil
	case typ == typePTR && (strings.HasSuffix(name, ".127.in-addr.arpa") || strings.HasSuffix(name, ".100.51.198.in-addr.arpa")):
		return rcodeNoError, []byte("\x06target\x04test\x00")
	}
	return rcodeNXDomain, nil
}

// question gives the lower-case name of a query's only question and where the
// question ends.
func question(q []byte) (name string, end int, ok bool) {
	if len(q) < headerLength || q[2]&0xf8 != 0 || binary.BigEndian.Uint16(q[4:]) != 1 {
		return "", 0, false
	}
	var labels []string
	i := headerLength
	for i < len(q) && q[i] != 0 {
		n := int(q[i])
		if n > maxLabel || i+1+n > len(q) || i+1+n-headerLength > maxNameLength {
			return "", 0, false
		}
		labels = append(labels, strings.ToLower(string(q[i+1:i+1+n])))
		i += 1 + n
	}
	end = i + 5 // root label, type, class
	if end > len(q) {
		return "", 0, false
	}
	return strings.Join(labels, "."), end, true
}
