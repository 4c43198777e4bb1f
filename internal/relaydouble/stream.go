package relaydouble

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"

	"chive/tor/cell"
)

// ErrStreamClosed is what writing to a stream gives once either end has ended it.
var ErrStreamClosed = errors.New("stream closed")

// connectedTTL is the TTL in seconds that CONNECTED carries.
const connectedTTL = 60

// Handler serves one stream in a goroutine of its own. The stream is connected at
// the first Connect, Read or Write, and ended with DONE when the handler returns;
// EndWith ends it, or refuses it, in another way.
type Handler func(s *Stream)

// Stream is the relay's end of a stream.
type Stream struct {
	circuit *Circuit
	id      cell.StreamID
	hop     int
	target  string // host:port; empty for BEGIN_DIR

	// All below: circuit.mu.
	pack, deliver int
	in            []byte // received and not yet read: in[at:]
	at            int
	unacked       int  // cells in in that no SENDME has covered
	stopped       bool // the client's XOFF came, and no XON since
	connected     bool
	ended         bool // our END is sent
	remoteEnded   bool
}

// Target returns the host:port of BEGIN; it is empty for BEGIN_DIR.
func (s *Stream) Target() string { return s.target }

// ID returns the stream's id on its circuit.
func (s *Stream) ID() cell.StreamID { return s.id }

// begin takes BEGIN and BEGIN_DIR (tor-spec 6.2).
func (c *Circuit) begin(hop int, h cell.RelayHeader, data []byte) error {
	// An id is free again once we have ended its stream: the client does not answer
	// END with END.
	if old := c.streams[h.Stream]; h.Stream == 0 || (old != nil && !old.ended) {
		return violationf("%v on stream %v", h.Cmd, h.Stream)
	}
	s := &Stream{circuit: c, id: h.Stream, hop: hop, pack: streamWindow, deliver: streamWindow}
	handler := c.conn.relay.opts.Dir
	if h.Cmd == cell.RelayBegin {
		b, err := cell.ParseBegin(data)
		if err != nil {
			return &protocolError{err}
		}
		s.target = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		handler = c.conn.relay.opts.Handler
	}
	c.streams[s.id] = s
	c.conn.relay.seen.update(func(seen *Seen) {
		seen.Streams++
		seen.Targets = append(seen.Targets, s.target)
	})
	c.conn.relay.pass(AtBegin, Moment{Conn: c.conn, Circuit: c, Stream: s, Hop: hop}, func(*Moment) {
		if handler == nil {
			s.end(cell.EndNotDirectory)
			return
		}
		c.conn.relay.seen.update(func(seen *Seen) { seen.OpenStreams++ })
		c.conn.relay.spawn("stream", func() { s.run(handler) })
	})
	return nil
}

// resolve takes RESOLVE (tor-spec 6.4), whose stream ends with the answer.
func (c *Circuit) resolve(hop int, h cell.RelayHeader) error {
	if old := c.streams[h.Stream]; h.Stream == 0 || (old != nil && !old.ended) {
		return violationf("%v on stream %v", h.Cmd, h.Stream)
	}
	s := &Stream{circuit: c, id: h.Stream, hop: hop, ended: true}
	c.streams[s.id] = s
	c.conn.relay.pass(AtResolve, Moment{Conn: c.conn, Circuit: c, Stream: s, Hop: hop}, func(*Moment) {
		answer := cell.AppendResolved(nil, connectedTTL, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		c.emit(hop, cell.RelayHeader{Cmd: cell.RelayResolved, Stream: s.id}, answer)
	})
	return nil
}

func (s *Stream) run(handler Handler) {
	defer s.circuit.conn.relay.seen.update(func(seen *Seen) { seen.OpenStreams-- })
	defer s.EndWith(cell.EndDone)
	handler(s)
}

// Connect sends CONNECTED, once. Read and Write do it on their own.
func (s *Stream) Connect() {
	c := s.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	s.connect()
	c.flush()
}

func (s *Stream) connect() {
	if s.connected || s.gone() {
		return
	}
	s.connected = true
	c := s.circuit
	c.conn.relay.pass(AtConnected, Moment{Conn: c.conn, Circuit: c, Stream: s, Hop: s.hop}, func(*Moment) {
		var data []byte
		if s.target != "" {
			data = cell.AppendConnected(nil, netip.AddrFrom4([4]byte{127, 0, 0, 1}), connectedTTL)
		}
		c.emit(s.hop, cell.RelayHeader{Cmd: cell.RelayConnected, Stream: s.id}, data)
	})
}

// gone tells that nothing more can be sent; circuit.mu is held.
func (s *Stream) gone() bool { return s.circuit.closed || s.ended || s.remoteEnded }

// EndWith ends the stream with a reason, which refuses it when it is not yet
// connected. Later calls do nothing.
func (s *Stream) EndWith(reason cell.EndReason) {
	c := s.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	s.end(reason)
	c.flush()
}

// Close ends the stream with DONE.
func (s *Stream) Close() error {
	s.EndWith(cell.EndDone)
	return nil
}

func (s *Stream) end(reason cell.EndReason) {
	s.endRaw(cell.AppendEnd(nil, reason, netip.Addr{}, 0))
}

// endRaw sends an END with the data given; circuit.mu is held. The client may have
// DATA on its way, so the stream is remembered until its id is used again.
func (s *Stream) endRaw(data []byte) {
	if s.gone() {
		return
	}
	s.ended = true
	s.in, s.at = nil, 0
	s.circuit.emit(s.hop, cell.RelayHeader{Cmd: cell.RelayEnd, Stream: s.id}, data)
	s.circuit.cond.Broadcast()
}

// endIn takes the client's END.
func (c *Circuit) endIn(hop int, id cell.StreamID, data []byte) error {
	s := c.streams[id]
	if s == nil || s.hop != hop {
		return violationf("END on unknown stream %v", id)
	}
	c.conn.relay.pass(AtEndIn, Moment{Conn: c.conn, Circuit: c, Stream: s, Hop: hop}, func(*Moment) {
		reason, _, _ := cell.ParseEnd(data)
		c.conn.relay.seen.update(func(seen *Seen) { seen.Ends = append(seen.Ends, reason) })
		s.remoteEnded = true
		delete(c.streams, id)
		c.cond.Broadcast()
	})
	return nil
}

// take puts received data in line for Read; circuit.mu is held.
func (s *Stream) take(data []byte) {
	if s.ended {
		return
	}
	s.in = append(s.in, data...)
	s.unacked++
	s.circuit.cond.Broadcast()
}

// Read implements io.Reader. It returns io.EOF after the client's END, and
// ErrStreamClosed when the circuit or this end has closed the stream.
func (s *Stream) Read(p []byte) (int, error) {
	c := s.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	s.connect()
	for len(s.in) == s.at {
		switch {
		case s.remoteEnded:
			return 0, io.EOF
		case s.gone():
			return 0, ErrStreamClosed
		}
		c.flush()
		c.cond.Wait()
	}
	n := copy(p, s.in[s.at:])
	if s.at += n; s.at == len(s.in) {
		s.in, s.at = s.in[:0], 0
		s.acknowledge()
	}
	return n, nil
}

// acknowledge sends the stream-level SENDMEs that an emptied buffer earns.
func (s *Stream) acknowledge() {
	if s.circuit.hops[s.hop].congested {
		return
	}
	for s.deliver <= streamWindow-streamIncrement && s.unacked >= streamIncrement && !s.gone() {
		s.deliver += streamIncrement
		s.unacked -= streamIncrement
		s.circuit.emit(s.hop, cell.RelayHeader{Cmd: cell.RelaySendme, Stream: s.id}, nil)
	}
}

// Write implements io.Writer: it packages p into DATA cells as the windows and the
// connection allow, up to a TLS record of them at a time.
func (s *Stream) Write(p []byte) (int, error) {
	c := s.circuit
	sent := 0
	for sent < len(p) {
		if !c.conn.awaitRoom() {
			return sent, ErrStreamClosed
		}
		n, err := s.writeSome(p[sent:])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (s *Stream) writeSome(p []byte) (int, error) {
	c := s.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	s.connect()
	for !s.gone() && s.room() <= 0 {
		c.flush()
		c.cond.Wait()
	}
	if s.gone() {
		return 0, ErrStreamClosed
	}
	sent, cells := 0, min(s.room(), cellsPerRecord)
	full := c.hops[s.hop].layer.Format().MaxData(cell.RelayData)
	packed := 0
	for ; packed < cells && sent < len(p) && !s.gone(); packed++ {
		n := min(len(p)-sent, full)
		c.sendData(s, p[sent:sent+n])
		sent += n
	}
	seen := &c.conn.relay.seen
	seen.data(&seen.dataOut, &seen.bytesOut, packed, sent)
	c.flush()
	return sent, nil
}

// room is how many DATA cells the stream may send now; circuit.mu is held.
func (s *Stream) room() int {
	h := s.circuit.hops[s.hop]
	switch {
	case s.circuit.lax:
		return cellsPerRecord
	case !h.congested:
		return min(s.pack, h.pack)
	case s.stopped:
		return 0
	default:
		return h.pack
	}
}
