package stream

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"chive/actors/block"
	"chive/actors/limits"
	"chive/internal/rawio"
	"chive/messages/chivev1"
)

// credits is how many blocks may be on their way from the application to the relay.
const credits = 2

// drainTime is how long a socket is read on after the far end ended.
const drainTime = 5 * time.Second

// socket is the application's end with what the actor and the reader goroutine
// share of it.
type socket struct {
	conn     Conn
	raw      syscall.RawConn
	credit   chan struct{}
	stop     chan struct{} // closed: the reader must end
	blocked  atomic.Int64  // since when the reader waits for credit (moment); 0: it does not
	limit    *limits.Bucket
	draining atomic.Bool // the reader drops what it reads and closes in the end

	// state of write, so that its closure is made once
	out    []byte
	wrote  int
	wErr   error
	writer func(fd uintptr) bool
}

func newSocket(conn Conn, limit *limits.Bucket) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, raw: raw, limit: limit, credit: make(chan struct{}, credits), stop: make(chan struct{})}
	for range credits {
		s.credit <- struct{}{}
	}
	s.writer = func(fd uintptr) bool {
		s.wrote, s.wErr = rawio.Write(fd, s.out)
		return true
	}
	return s, nil
}

// tryWrite writes what the socket takes at once, without waiting.
func (s *socket) tryWrite(p []byte) (int, error) {
	s.out, s.wrote, s.wErr = p, 0, nil
	err := s.raw.Write(s.writer)
	s.out = nil
	if err == nil {
		err = s.wErr
	}
	if err == syscall.EAGAIN {
		err = nil
	}
	return s.wrote, err
}

// read posts what the application sends, a block at a time and only against
// credit, until the socket ends or stop is closed. While nothing comes it
// holds no buffer.
func (s *socket) read(post func(*block.Block)) error {
	var (
		b    *block.Block
		n    int
		rErr error
		fast bool // the application would have filled a small block, and has both credits
	)
	reader := func(fd uintptr) bool {
		most := block.MaxData
		if fast {
			b, most = block.GetLarge(block.DataOut), block.MaxLargeData
		} else {
			b = block.Get(block.DataOut)
		}
		n, rErr = rawio.Read(fd, b.Buf[:most])
		fast = n >= block.MaxData
		if n > 0 {
			return true
		}
		b.Free()
		b = nil
		return rErr != syscall.EAGAIN
	}
	for {
		if !s.awaitCredit() {
			return net.ErrClosed
		}
		b = nil
		err := s.raw.Read(reader)
		switch {
		case err == nil && b != nil:
			b.Bytes, b.Credit, b.Here = b.Buf[:n], s.credit, true
			post(b)
			s.limit.Count(n)
			s.limit.Spend(n, s.stop)
			// Slow streams, of which there may be many, keep small blocks.
			fast = fast && len(s.credit) == credits
			continue
		case s.draining.Load():
			s.drain()
			return net.ErrClosed
		case err != nil:
			return err
		case rErr != nil:
			return rErr
		default:
			return io.EOF
		}
	}
}

// awaitCredit reports false when the reader must end.
func (s *socket) awaitCredit() bool {
	select {
	case <-s.credit:
		return true
	default:
	}
	s.blocked.Store(moment())
	defer s.blocked.Store(0)
	select {
	case <-s.stop:
		return false
	case <-s.credit:
		return true
	}
}

// drain reads the socket to its end, or for drainTime, and closes it.
func (s *socket) drain() {
	_ = s.conn.SetReadDeadline(time.Now().Add(drainTime)) // fails only if it is closed already
	var scrap [512]byte
	var over bool
	for !over {
		err := s.raw.Read(func(fd uintptr) bool {
			n, err := rawio.Read(fd, scrap[:])
			over = n == 0
			return err != syscall.EAGAIN
		})
		over = over || err != nil
	}
	_ = s.conn.Close()
}

// finish sends FIN and lets the reader drain and close. running tells whether
// the reader goroutine is there to do it.
func (s *socket) finish(running bool) {
	// The application may be gone: then there is nothing to save.
	if c, ok := s.conn.(Closer); ok {
		_ = c.CloseWrite() // it tells its application more than a socket can
	} else {
		_ = s.raw.Control(func(fd uintptr) { _ = rawio.CloseWrite(fd) })
	}
	if !running {
		_ = s.conn.Close()
		return
	}
	s.draining.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	select {
	case s.credit <- struct{}{}: // or here, if it waits for credit
	default:
	}
}

// abort closes the socket so that the application sees an error, not an end:
// something it should have got is missing.
func (s *socket) abort() {
	if tcp, ok := s.conn.(interface{ SetLinger(sec int) error }); ok { // unix sockets have none
		_ = tcp.SetLinger(0)
	}
	close(s.stop)
	_ = s.conn.Close()
}

// socketEnd is how a stream ends whose socket fails with err. An application that closes its
// connection while data is on its way is seen as a reset, by whoever of reader and writer is
// first; it is no failure of anything.
func socketEnd(err error) chivev1.Outcome {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		return chivev1.Outcome_OUTCOME_CANCELLED
	}
	return chivev1.Outcome_OUTCOME_CLIENT_IO
}
