package socks

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
)

const (
	version4     = 4
	head4        = 8   // VN, CD, DSTPORT, DSTIP
	maxField4    = 255 // user id and name, without their NUL; the protocol has no limit
	maxMessage4  = head4 + maxField4 + 1 + maxField4 + 1
	reply4OK     = 0x5A // request granted
	reply4Reject = 0x5B // request rejected or failed
)

// want4 is want for a SOCKS4 message: VN CD DSTPORT DSTIP USERID NUL, and in
// SOCKS4a, with a DSTIP of 0.0.0.x, NAME NUL. How long the fields are shows only
// at their ends.
func want4(b []byte) int {
	if len(b) < head4 {
		return head4
	}
	end, found := fieldEnd(b, head4)
	if found && named4(b) {
		end, _ = fieldEnd(b, end)
	}
	return end
}

// fieldEnd is the index behind the NUL that ends the field at from. While the NUL
// is missing it is one more than there are octets, and once it is overdue as many.
func fieldEnd(b []byte, from int) (end int, found bool) {
	if n := bytes.IndexByte(b[from:], 0); n >= 0 {
		return from + n + 1, true
	}
	if len(b)-from > maxField4 {
		return len(b), false
	}
	return len(b) + 1, false
}

// named4: SOCKS4a puts a name behind an address of 0.0.0.x with x not 0.
func named4(b []byte) bool { return b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] != 0 }

// request4 checks a whole SOCKS4 or SOCKS4a request. Its user id isolates as a
// SOCKS5 user name does.
func (m *Machine) request4(b []byte) ([]byte, *Request, error) {
	user, rest, ok := bytes.Cut(b[head4:], []byte{0})
	if !ok || len(user) > maxField4 {
		return m.refuse(ReplyGeneralFailure, ErrRequest)
	}
	r := Request{SOCKS4: true, Username: string(user), HasAuth: len(user) > 0, Port: binary.BigEndian.Uint16(b[2:])}
	switch {
	case strings.HasPrefix(r.Username, extendedPrefix):
		return m.refuse(ReplyNotAllowed, ErrExtendedFormat) // SOCKS5 has two fields for that, SOCKS4 one
	case b[1] != commandConnect && b[1] != commandResolve:
		return m.refuse(ReplyCommandNotSupported, ErrCommand)
	}
	r.Resolve = b[1] == commandResolve
	if named4(b) {
		name, _, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return m.refuse(ReplyGeneralFailure, ErrRequest)
		}
		host, isIP, code, err := parseHost(name)
		if err != nil {
			return m.refuse(code, err)
		}
		r.Host, r.IsIP = host, isIP
	} else {
		addr := netip.AddrFrom4([4]byte(b[4:head4]))
		if addr.IsUnspecified() {
			return m.refuse(ReplyGeneralFailure, ErrHost)
		}
		r.Host, r.IsIP = addr.String(), true
	}
	if r.Port == 0 && !r.Resolve {
		return m.refuse(ReplyGeneralFailure, ErrPort)
	}
	m.state = stateDone
	return nil, &r, nil
}

// AppendReply4 appends a SOCKS4 reply: VN 0, CD, port 0 and an IPv4 address, the
// answer to RESOLVE; 0.0.0.0 if addr is none. SOCKS4 has no codes for what went
// wrong.
func AppendReply4(dst []byte, ok bool, addr netip.Addr) []byte {
	code := byte(reply4Reject)
	if ok {
		code = reply4OK
	}
	dst = append(dst, 0, code, 0, 0)
	var a [4]byte
	if addr = addr.Unmap(); addr.Is4() {
		a = addr.As4()
	}
	return append(dst, a[:]...)
}
