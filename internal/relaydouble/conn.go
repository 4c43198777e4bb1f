package relaydouble

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"chive/tor/cell"
)

// errScripted closes a connection because a fault said so.
var errScripted = errors.New("closed by a fault")

// highWater is how many bytes may wait for the socket before producers of DATA
// wait: enough to keep it busy, and little enough to keep latency low.
const highWater = 256 << 10

// Conn is one client's connection to a hop: a reader that handles cells in turn, and
// a writer that sends what the circuits have queued.
//
// Locks: Circuit.mu before Conn.mu; neither is held while reading or writing the
// socket, so neither end of a full pipe can block the other.
type Conn struct {
	relay *Relay
	hop   *Hop
	raw   net.Conn
	tls   *tls.Conn

	circuits map[cell.CircID]*Circuit // touched by the reader only

	mu      sync.Mutex
	cond    sync.Cond // room in queue, something in queue, or closed
	queue   []byte    // cells to be written
	stalled bool      // write nothing more
	last    bool      // close once the queue is written
	deaf    bool      // read nothing more
	err     error     // why it closed
	done    chan struct{}
}

func newConn(r *Relay, h *Hop, raw net.Conn) *Conn {
	c := &Conn{
		relay: r, hop: h, raw: raw, circuits: map[cell.CircID]*Circuit{},
		done: make(chan struct{}),
	}
	c.cond.L = &c.mu
	return c
}

// Close closes the connection at once: what is queued is lost, and TLS is not told.
func (c *Conn) Close() { c.close(errScripted) }

func (c *Conn) close(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	close(c.done)
	c.cond.Broadcast()
	_ = c.raw.Close()
}

// Finish closes the connection once what is queued is written.
func (c *Conn) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = true
	c.cond.Broadcast()
}

// Stall stops all reading and writing; the connection stays open.
func (c *Conn) Stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled, c.deaf = true, true
}

// StopReading stops reading; what is queued is still written.
func (c *Conn) StopReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = true
}

// serve is the life of a connection.
func (c *Conn) serve() {
	defer c.relay.forget(c)
	defer c.closeCircuits()
	var err error
	c.relay.pass(AtAccept, Moment{Conn: c}, func(*Moment) { err = c.talk() })
	if err == nil {
		c.waitIfDeaf()
		err = io.EOF
	}
	c.close(err)
}

func (c *Conn) talk() error {
	c.tls = tls.Server(c.raw, c.hop.tlsConfig)
	if err := c.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.relay.spawn("writer", c.write)
	in := &cellReader{conn: c, buf: make([]byte, 0, 64<<10)}
	var err error
	c.relay.pass(AtTLS, Moment{Conn: c}, func(*Moment) { err = c.greet(in) })
	if err == nil {
		err = c.read(in)
	}
	if protocol := (*protocolError)(nil); errors.As(err, &protocol) {
		c.relay.seen.violation(err)
	}
	return err
}

// protocolError is something a client must not do.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

func violationf(format string, args ...any) error {
	return &protocolError{fmt.Errorf(format, args...)}
}

// read handles cells until the connection ends.
func (c *Conn) read(in *cellReader) error {
	for {
		circ, cmd, body, err := in.next()
		if err != nil {
			return err
		}
		if err := c.receive(circ, cmd, body); err != nil {
			return err
		}
	}
}

func (c *Conn) receive(id cell.CircID, cmd cell.Command, body []byte) error {
	switch cmd {
	case cell.Padding, cell.Vpadding, cell.PaddingNegotiate:
		c.relay.seen.update(func(s *Seen) { s.Padding++ })
		return nil
	case cell.Create2, cell.CreateFast:
		return c.create(id, cmd, body)
	case cell.Relay, cell.RelayEarly:
		if circuit := c.circuits[id]; circuit != nil {
			circuit.receive(cmd, body)
		}
		return nil // section 5.5.1: a cell for an unknown circuit is dropped
	case cell.Destroy:
		if circuit := c.circuits[id]; circuit != nil {
			c.relay.pass(AtDestroyIn, Moment{Conn: c, Circuit: circuit}, func(*Moment) {
				reason := cell.ParseDestroy(body)
				delete(c.circuits, id)
				circuit.mu.Lock()
				circuit.gone()
				circuit.mu.Unlock()
				c.relay.seen.update(func(s *Seen) { s.Destroys = append(s.Destroys, reason) })
			})
		}
		return nil
	default:
		return violationf("%v cell on an open link", cmd)
	}
}

func (c *Conn) closeCircuits() {
	for _, circuit := range c.circuits {
		circuit.mu.Lock()
		circuit.gone()
		circuit.mu.Unlock()
	}
}

// Send queues bytes as they are, whole cells or garbage.
func (c *Conn) Send(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.last {
		return
	}
	c.queue = append(c.queue, b...)
	c.cond.Broadcast()
}

// awaitRoom blocks while the queue is full. It returns false when the connection is
// closed.
func (c *Conn) awaitRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.queue) >= highWater {
		c.cond.Wait()
	}
	return c.err == nil
}

// write is the writer: it takes the whole queue and writes it in TLS records of
// whole cells.
func (c *Conn) write() {
	var batch []byte
	for {
		c.mu.Lock()
		for c.err == nil && !c.last && (len(c.queue) == 0 || c.stalled) {
			c.cond.Wait()
		}
		if c.err != nil {
			c.mu.Unlock()
			return
		}
		last := c.last
		batch, c.queue = c.queue, batch[:0]
		c.cond.Broadcast()
		c.mu.Unlock()
		for rest := batch; len(rest) > 0; {
			n := min(len(rest), cellsPerRecord*cell.FixedLen)
			if _, err := c.tls.Write(rest[:n]); err != nil {
				c.close(fmt.Errorf("write: %w", err))
				return
			}
			rest = rest[n:]
		}
		if last {
			c.close(errScripted)
			return
		}
	}
}

// waitIfDeaf blocks a reader that must not read until the connection is closed.
func (c *Conn) waitIfDeaf() {
	c.mu.Lock()
	deaf := c.deaf
	c.mu.Unlock()
	if deaf {
		<-c.done
	}
}

// cellReader cuts the bytes of a connection into cells.
type cellReader struct {
	conn *Conn
	buf  []byte // unread bytes are buf[at:]
	at   int
}

// next returns the next cell; body is valid until the following call.
func (r *cellReader) next() (cell.CircID, cell.Command, []byte, error) {
	for {
		circ, cmd, body, n, err := cell.Next(r.buf[r.at:])
		if err != nil {
			return 0, 0, nil, &protocolError{err}
		}
		if n > 0 {
			r.at += n
			r.conn.waitIfDeaf()
			return circ, cmd, body, nil
		}
		if err := r.fill(); err != nil {
			return 0, 0, nil, err
		}
	}
}

// versions returns the versions of the VERSIONS cell that must come first.
func (r *cellReader) versions() ([]uint16, error) {
	for {
		versions, n, err := cell.ParseVersionsCell(r.buf[r.at:])
		if err != nil {
			return nil, &protocolError{err}
		}
		if n > 0 {
			r.at += n
			return versions, nil
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

func (r *cellReader) fill() error {
	r.conn.waitIfDeaf()
	rest := copy(r.buf[:cap(r.buf)], r.buf[r.at:])
	r.buf, r.at = r.buf[:rest], 0
	n, err := r.conn.tls.Read(r.buf[rest:cap(r.buf)])
	r.buf = r.buf[:rest+n]
	if n > 0 {
		return nil
	}
	return err
}
