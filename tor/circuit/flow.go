package circuit

import (
	"crypto/subtle"
	"fmt"

	"chive/tor/cell"
)

// circuitSendme takes a circuit-level SENDME: the far end proves with a digest
// that it has read what we sent, and our window grows (proposal 289).
func (c *Circuit) circuitSendme(hop int, data []byte) (Event, error) {
	version, tag, err := cell.ParseSendme(data)
	if err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if version != 1 || c.tagCount == 0 {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: version %d, %d expected", ErrSendme, version, c.tagCount))
	}
	want := c.tags[c.tagHead]
	if subtle.ConstantTimeCompare(tag, want[:]) != 1 {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: wrong digest", ErrSendme))
	}
	c.tagHead = (c.tagHead + 1) % len(c.tags)
	c.tagCount--
	c.packageWindow += circuitIncrement
	if c.packageWindow > circuitWindow {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: circuit package window", ErrWindow))
	}
	return Event{Kind: MayPackage}, nil
}

// packaged counts a DATA cell just sealed. Every hundredth is one the far end
// acknowledges with its digest.
func (c *Circuit) packaged(s *stream) {
	c.packageWindow--
	s.packageWindow--
	c.sinceTag++
	if c.sinceTag < circuitIncrement {
		return
	}
	c.sinceTag = 0
	c.tags[(c.tagHead+c.tagCount)%len(c.tags)] = c.stack.ForwardTag(c.stack.Len() - 1)
	c.tagCount++
}

// delivered counts a DATA cell just received, and appends our circuit-level
// SENDME when it is the hundredth since the last.
func (c *Circuit) delivered(dst []byte, hop int) ([]byte, error) {
	c.deliverWindow--
	if c.deliverWindow < 0 {
		return dst, c.violation(hop+1, fmt.Errorf("%w: circuit deliver window", ErrWindow))
	}
	c.dataIn++
	c.expireHalfClosed()
	if c.deliverWindow > circuitWindow-circuitIncrement {
		return dst, nil
	}
	c.deliverWindow += circuitIncrement
	c.granted += circuitIncrement
	tag := c.stack.BackwardTag(hop)
	var room [32]byte
	body := cell.AppendSendmeV1(room[:0], tag[:])
	return c.seal(dst, cell.Relay, hop, cell.RelayHeader{Cmd: cell.RelaySendme}, body), nil
}

// streamSendme takes a stream-level SENDME. It carries no digest: the circuit's
// does for all its streams.
func (c *Circuit) streamSendme(hop int, id cell.StreamID, s *stream) (Event, error) {
	if s.state == streamPending || s.resolve {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: SENDME before CONNECTED", ErrUnexpected))
	}
	s.packageWindow += streamIncrement
	if s.packageWindow > streamWindow {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: stream package window", ErrWindow))
	}
	if s.state == streamHalfClosed {
		c.counters.Dropped++
		return Event{}, nil
	}
	return Event{Kind: MayPackage, Stream: id}, nil
}
