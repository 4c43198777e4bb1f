package connection

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chive/actors/limits"
	"chive/internal/rawio"
)

// How much one read from the socket takes, in bytes: several TLS records, which
// relays write in bursts of small ones. The buffer grows on a busy connection.
const (
	receiveBuffer    = 64 << 10
	maxReceiveBuffer = 256 << 10
)

// leastRead is how many bytes a bandwidth limit must allow before any are read.
const leastRead = 4096

// While less than sparseBytes come in each sparseTime they are acknowledged at once. Relays
// leave Nagle's algorithm on: a cell that comes alone waits there until the one before is
// acknowledged, which else takes up to 40 ms. Where more comes it fills segments, which
// wait for nothing, and an acknowledgement for each read would only cost.
const (
	sparseBytes = 16 << 10
	sparseTime  = 10 * time.Millisecond
)

// sparse counts what came in this sparseTime and the one before.
type sparse struct {
	since         time.Time
	bytes, before int
}

// came counts n bytes, and says whether little came lately.
func (s *sparse) came(n int, now time.Time) bool {
	if age := now.Sub(s.since); age >= sparseTime {
		if s.before = s.bytes; age >= 2*sparseTime {
			s.before = 0
		}
		s.since, s.bytes = now, 0
	}
	s.bytes += n
	return max(s.bytes, s.before) < sparseBytes
}

// tlsHeader is the length of a TLS record's header, in bytes.
const tlsHeader = 5

// recordConn sits between the socket and TLS. It reads much at once and gives
// TLS one record at a time, so that it always knows whether another whole
// record is there already: then several can be read without waiting, and go on
// as one batch.
//
// Towards the socket it can be told never to wait (writeAtOnce): what the
// socket does not take is kept, and settle sends it. So any goroutine may write
// through TLS, and none but the writer ever waits for the relay. Between hold and
// release records are kept as well, to go with one write.
type recordConn struct {
	net.Conn
	buf        []byte
	start, end int
	left       int  // bytes of the current record that TLS has not got yet
	filled     bool // the last read left no room: there is probably more
	atOnce     bool // Read must not wait: no whole record there is errNotNow

	read  func(fd uintptr) (done bool) // made once; nil: read as any connection
	limit *limits.Bucket               // nil: none
	stop  <-chan struct{}              // closed: wait for no limit any more

	into    []byte      // what read fills,
	got     int         // how much came
	readErr error       // and why nothing
	waited  bool        // nothing was there at first: the reader puts it back
	waits   atomic.Bool // for a limit of ours: what came may not have been read
	sparse  sparse

	raw   syscall.RawConn              // nil: no socket
	try   func(fd uintptr) (done bool) // made once: one write that does not wait
	given []byte                       // what try writes,
	took  int                          // how much of it the socket took,
	tried error                        // and why not more

	bounded time.Time // when it was last looked how much
	unsent  int       // may wait in the socket, in bytes; 0: it has no bound but its buffer

	outMu    sync.Mutex // protects the fields below and those of try
	kept     []byte     // encrypted, and not yet taken by the socket
	spare    []byte     // the other buffer of kept
	holding  bool       // more records come at once
	full     bool       // the socket did not take all of kept: settle is to send it
	settling bool       // settle writes: whatever comes must go behind it
}

// mostHeld is how many bytes of records go with one write: what the kernel takes as one
// packet of its own.
const mostHeld = 64 << 10

// How many bytes wait in the socket for its congestion window, or the relay's: one window
// more, as C tor's scheduler (KIST) has it, between two bounds. Below half of that the socket
// takes more. What waits there can't be overtaken.
const (
	leastUnsent = 32 << 10
	mostUnsent  = 1 << 20
	boundEvery  = 50 * time.Millisecond // the window is looked up no more often
)

func newRecordConn(c net.Conn) *recordConn {
	r := &recordConn{Conn: c}
	s, ok := c.(syscall.Conn)
	if !ok {
		return r
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return r // closed: the first read will say so
	}
	r.raw = raw
	r.read = func(fd uintptr) bool {
		r.got, r.readErr = rawio.Read(fd, r.into)
		if r.got > 0 && r.sparse.came(r.got, time.Now()) {
			rawio.AckNow(fd)
		}
		if r.readErr == syscall.EAGAIN {
			r.waited = true
			return false
		}
		return true
	}
	return r
}

// writeAtOnce makes Write never wait from now on. A connection that is no
// socket keeps everything for settle.
func (r *recordConn) writeAtOnce() {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	r.bound(time.Now())
	r.try = func(fd uintptr) bool {
		r.took, r.tried = rawio.Write(fd, r.given)
		return true
	}
}

// bound has the socket take no more than it can send, and a little. It is called by who may
// write.
func (r *recordConn) bound(now time.Time) {
	if r.raw == nil || now.Sub(r.bounded) < boundEvery {
		return
	}
	r.bounded = now
	_ = r.raw.Control(func(fd uintptr) { // closed: the next write will say so
		r.unsent = rawio.BoundUnsent(fd, leastUnsent, mostUnsent)
	})
}

// Write gives whole records to the socket, or keeps them.
func (r *recordConn) Write(p []byte) (int, error) {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	switch {
	case r.try == nil:
		return r.Conn.Write(p)
	case len(r.kept) == 0 && !r.holding && !r.settling:
		took, err := r.offer(p)
		if err != nil {
			return took, err
		}
		r.kept = append(r.kept, p[took:]...)
		return len(p), nil
	}
	r.kept = append(r.kept, p...)
	if r.holding && len(r.kept) < mostHeld {
		return len(p), nil
	}
	return len(p), r.push()
}

// offer gives bytes to the socket and says how many it took without waiting.
func (r *recordConn) offer(p []byte) (took int, err error) {
	if r.raw != nil {
		r.given, r.took, r.tried = p, 0, nil
		err = r.raw.Write(r.try)
		r.given, took = nil, r.took
		if err == nil && r.tried != syscall.EAGAIN {
			err = r.tried
		}
	}
	r.full = took < len(p)
	return took, err
}

// push offers what is kept, unless that is settle's already.
func (r *recordConn) push() error {
	if r.full || r.settling || len(r.kept) == 0 {
		return nil
	}
	took, err := r.offer(r.kept)
	r.kept = r.kept[:copy(r.kept, r.kept[took:])]
	return err
}

// hold has records wait for others until release.
func (r *recordConn) hold() {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	r.holding = true
}

func (r *recordConn) release() error {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	r.holding = false
	return r.push()
}

// backlog reports whether something is kept for settle.
func (r *recordConn) backlog() bool {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	return len(r.kept) > 0
}

// settle sends what was kept and waits for the socket to take it.
func (r *recordConn) settle() error {
	for {
		r.outMu.Lock()
		kept := r.kept
		r.settling, r.full = len(kept) > 0, false
		r.kept, r.spare = r.spare[:0], nil
		r.outMu.Unlock()
		if len(kept) == 0 {
			return nil
		}
		// A part at a time: a relay that takes little must not be taken for one that takes
		// nothing.
		for rest := kept; len(rest) > 0; {
			if err := r.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				return err
			}
			n, err := r.Conn.Write(rest[:min(len(rest), mostHeld)])
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		// A deadline that has passed would fail the writes that don't wait.
		if err := r.SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
		r.outMu.Lock()
		r.spare = kept[:0]
		r.outMu.Unlock()
	}
}

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
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if len(r.buf) == 0 || r.filled && len(r.buf) < maxReceiveBuffer {
		r.buf = append(make([]byte, 0, max(receiveBuffer, 4*len(r.buf))), r.buf[:r.end]...)
		r.buf = r.buf[:cap(r.buf)]
	}
	if r.limit != nil {
		r.waits.Store(true)
	}
	room := r.limit.Grant(len(r.buf)-r.end, leastRead, r.stop)
	if r.limit != nil {
		r.waits.Store(false)
	}
	if room == 0 {
		return net.ErrClosed
	}
	n, err := r.receive(r.buf[r.end : r.end+room])
	r.limit.Refund(room - n)
	r.limit.Count(n)
	r.end += n
	r.filled = r.end == len(r.buf)
	if n > 0 {
		return nil
	}
	return err
}

// receive waits for bytes from the socket.
func (r *recordConn) receive(p []byte) (int, error) {
	if r.read == nil {
		return r.Conn.Read(p)
	}
	r.into, r.got, r.readErr = p, 0, nil
	err := r.raw.Read(r.read)
	r.into = nil
	switch {
	case err != nil:
		return 0, err
	case r.readErr != nil:
		return 0, r.readErr
	case r.got == 0:
		return 0, io.EOF
	}
	return r.got, nil
}
