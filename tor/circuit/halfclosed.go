package circuit

import "chive/tor/cell"

// A stream that we ended is half closed: cells that the far end sent before it read our
// END are still on their way, and are dropped. How many these can be is known, and one
// more is a violation: a relay that can have cells dropped at will can mark a client's
// traffic with them (proposal 344, §3).
//
//   - DATA: what the stream's window, if there is one, let through, as no SENDME of it
//     follows our END; and as cells come in order, none once all has come that the
//     circuit's window let the far end send before it read the END. Under congestion
//     control its window is not known: a bound for any window stands for it.
//   - SENDME: for what we had sent.
//   - XOFF, XON: as for a stream that we did not end.
//   - CONNECTED: one, if it had not come. RESOLVED or END: one, the last.
//   - Under congestion control none of them later than any cell can be on its way
//     (proposal 324 §4.1.4); over a conflux set they may wait for their turn there.
//
// A circuit remembers maxHalfClosed of them; a cell for an older one is for no stream.

// halfClosed is a stream that we ended.
type halfClosed struct {
	id    cell.StreamID
	s     *stream
	until uint64 // no cell of it comes after that many DATA cells of the circuit
}

// halfClose notes that our END goes out.
func (c *Circuit) halfClose(id cell.StreamID, s *stream) {
	s.state = streamHalfClosed
	if c.flow.vegas != nil {
		s.expires = c.cfg.Now() + max(c.cfg.Linger, c.RTT())
	}
	c.halfClosed = append(c.halfClosed, halfClosed{id, s, c.onTheirWay()})
	if len(c.halfClosed) <= maxHalfClosed {
		return
	}
	keep := c.halfClosed[:0]
	for _, h := range c.halfClosed {
		if c.streams[h.id] == h.s {
			keep = append(keep, h)
		}
	}
	clear(c.halfClosed[len(keep):])
	c.halfClosed = keep
	if len(keep) > maxHalfClosed {
		c.forgetOldest()
	}
}

// forgetOldest drops the stream that we ended first.
func (c *Circuit) forgetOldest() {
	if h := c.halfClosed[0]; c.streams[h.id] == h.s {
		c.drop(h.id)
	}
	c.halfClosed[0] = halfClosed{}
	c.halfClosed = c.halfClosed[1:]
}

// lapsed drops a stream that we ended so long ago that nothing of it can be on its way, and
// says that it did.
func (c *Circuit) lapsed(id cell.StreamID, s *stream) bool {
	if s.state != streamHalfClosed || c.flow.vegas == nil || c.cfg.Now() <= s.expires {
		return false
	}
	c.drop(id)
	return true
}

// expireHalfClosed drops the streams of which nothing can be on its way any more.
func (c *Circuit) expireHalfClosed() {
	for len(c.halfClosed) > 0 && c.halfClosed[0].until < c.flow.dataIn {
		c.forgetOldest()
	}
}

// onTheirWay is how many DATA cells may have come in all by the time the far end has read
// what we send now.
func (c *Circuit) onTheirWay() uint64 {
	if c.over != nil {
		return c.flow.dataIn + uint64(c.over.OnTheirWay())
	}
	return c.flow.onTheirWay(c.cfg.Congestion)
}
