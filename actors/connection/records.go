package connection

import (
	"encoding/binary"
	"net"
)

// receiveBuffer is how much one read from the socket takes, in bytes: several
// TLS records, which relays write in bursts of small ones.
const receiveBuffer = 64 << 10

// tlsHeader is the length of a TLS record's header, in bytes.
const tlsHeader = 5

// recordConn sits between the socket and TLS. It reads much at once and gives
// TLS one record at a time, so that it always knows whether another whole
// record is there already: then several can be read without waiting, and go on
// as one batch.
type recordConn struct {
	net.Conn
	buf        []byte
	start, end int
	left       int  // bytes of the current record that TLS has not got yet
	atOnce     bool // Read must not wait: no whole record there is errNotNow
}

func newRecordConn(c net.Conn) *recordConn { return &recordConn{Conn: c} }

// notNow is a temporary net.Error: TLS passes it on and stays usable.
type notNow struct{}

func (notNow) Error() string   { return "no whole TLS record is here yet" }
func (notNow) Timeout() bool   { return true }
func (notNow) Temporary() bool { return true }

var errNotNow net.Error = notNow{}

// another reports whether a whole record is there at a record boundary.
func (r *recordConn) another() bool {
	have := r.end - r.start
	return r.left == 0 && have >= tlsHeader && have >= tlsHeader+r.length()
}

// length is what the header at start says, without the header.
func (r *recordConn) length() int { return int(binary.BigEndian.Uint16(r.buf[r.start+3:])) }

// Read gives bytes of the current record only.
func (r *recordConn) Read(p []byte) (int, error) {
	if r.atOnce && r.left == 0 && !r.another() {
		return 0, errNotNow
	}
	for r.left == 0 {
		if r.end-r.start >= tlsHeader {
			r.left = tlsHeader + r.length()
			break
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	if r.start == r.end {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.start:min(r.end, r.start+r.left)])
	r.start += n
	r.left -= n
	return n, nil
}

func (r *recordConn) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, receiveBuffer)
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	n, err := r.Conn.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}
