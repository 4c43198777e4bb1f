package relaydouble

import (
	"bytes"

	"chive/tor/cell"
)

// dataIn takes a DATA cell from the client: windows first, then the stream
// (tor-spec 7.3, 7.4).
func (c *Circuit) dataIn(hop int, id cell.StreamID, data []byte) error {
	if !c.conn.relay.script.has(AtDataIn) {
		return c.takeData(hop, id, data)
	}
	var err error
	m := Moment{Conn: c.conn, Circuit: c, Stream: c.streams[id], Hop: hop, Data: data}
	c.conn.relay.pass(AtDataIn, m, func(m *Moment) { err = c.takeData(hop, id, m.Data) })
	return err
}

func (c *Circuit) takeData(hop int, id cell.StreamID, data []byte) error {
	h, s := c.hops[hop], c.streams[id]
	seen := &c.conn.relay.seen
	seen.data(&seen.dataIn, &seen.bytesIn, 1, len(data))
	switch {
	case s == nil || s.hop != hop:
		return violationf("DATA on unknown stream %v", id)
	case len(data) == 0:
		return violationf("DATA without data on stream %v", id)
	case s.remoteEnded:
		return violationf("DATA after END on stream %v", id)
	}
	if h.deliver--; h.deliver < 0 {
		return violationf("circuit window overrun at hop %d", hop)
	}
	if s.deliver--; s.deliver < 0 && !h.congested {
		return violationf("stream window overrun on stream %v", id)
	}
	if h.deliver <= circWindow-h.increment {
		h.deliver += h.increment
		c.sendmeOut(hop)
	}
	s.take(data)
	return nil
}

// sendmeOut acknowledges the DATA cell that was last recognized at hop.
func (c *Circuit) sendmeOut(hop int) {
	tag := c.hops[hop].layer.ForwardTag()
	c.conn.relay.pass(AtSendmeOut, Moment{Conn: c.conn, Circuit: c, Hop: hop, Tag: tag.Bytes()}, func(m *Moment) {
		c.emit(hop, cell.RelayHeader{Cmd: cell.RelaySendme}, cell.AppendSendmeV1(nil, m.Tag))
	})
}

// sendmeIn takes a SENDME from the client and checks that it was due.
func (c *Circuit) sendmeIn(hop int, id cell.StreamID, data []byte) error {
	if id != 0 {
		return c.streamSendmeIn(hop, id)
	}
	var err error
	c.conn.relay.pass(AtSendmeIn, Moment{Conn: c.conn, Circuit: c, Hop: hop}, func(*Moment) {
		err = c.circuitSendmeIn(hop, data)
	})
	return err
}

func (c *Circuit) circuitSendmeIn(hop int, data []byte) error {
	h := c.hops[hop]
	tagLen := cell.SendmeTagLen
	if h.layer.Format() == cell.RelayV1 {
		tagLen = cell.SendmeTagLenCGO
	}
	version, tag, err := cell.ParseSendme(data, tagLen)
	switch {
	case err != nil:
		return &protocolError{err}
	case version != 1:
		return violationf("SENDME version %d", version)
	case len(h.tags) == 0:
		return violationf("SENDME at hop %d that was not due", hop)
	case !bytes.Equal(tag, h.tags[0].Bytes()):
		return violationf("SENDME at hop %d with a wrong tag", hop)
	}
	h.tags = h.tags[1:]
	h.pack += h.increment
	c.conn.relay.seen.update(func(s *Seen) { s.CircuitSendmes++ })
	c.cond.Broadcast()
	return nil
}

func (c *Circuit) streamSendmeIn(hop int, id cell.StreamID) error {
	if c.hops[hop].congested {
		return violationf("SENDME on stream %v under congestion control", id)
	}
	c.conn.relay.seen.update(func(s *Seen) { s.StreamSendmes++ })
	s := c.streams[id]
	if s == nil || s.hop != hop {
		return nil // the stream may have ended while the SENDME was on its way
	}
	s.pack += streamIncrement
	if s.pack > streamWindow && !c.lax {
		return violationf("SENDME on stream %v that was not due", id)
	}
	c.cond.Broadcast()
	return nil
}

// xoffIn takes XOFF and XON from the client.
func (c *Circuit) xoffIn(hop int, h cell.RelayHeader, data []byte) error {
	s := c.streams[h.Stream]
	var err error
	if h.Cmd == cell.RelayXoff {
		err = cell.ParseXoff(data)
	} else {
		_, err = cell.ParseXon(data)
	}
	switch stop := h.Cmd == cell.RelayXoff; {
	case err != nil:
		return &protocolError{err}
	case !c.hops[hop].congested:
		return violationf("%v without congestion control", h.Cmd)
	case s == nil || s.hop != hop:
		return violationf("%v on unknown stream %v", h.Cmd, h.Stream)
	case stop && s.stopped:
		return violationf("second XOFF on stream %v", h.Stream)
	default:
		s.stopped = stop
		c.conn.relay.seen.update(func(seen *Seen) {
			if stop {
				seen.Xoffs++
			} else {
				seen.Xons++
			}
		})
		c.cond.Broadcast()
		return nil
	}
}

// sendData packages one DATA cell; c.mu is held and the windows have been looked at.
func (c *Circuit) sendData(s *Stream, data []byte) {
	if !c.conn.relay.script.has(AtDataOut) {
		c.packData(s, data)
		return
	}
	m := Moment{Conn: c.conn, Circuit: c, Stream: s, Hop: s.hop, Data: bytes.Clone(data)}
	c.conn.relay.pass(AtDataOut, m, func(m *Moment) { c.packData(s, m.Data) })
}

func (c *Circuit) packData(s *Stream, data []byte) {
	h := c.hops[s.hop]
	c.emit(s.hop, cell.RelayHeader{Cmd: cell.RelayData, Stream: s.id}, data)
	h.pack--
	s.pack--
	if h.sent++; h.sent == h.increment {
		h.sent = 0
		h.tags = append(h.tags, h.layer.BackwardTag())
	}
}
