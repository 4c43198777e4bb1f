package circuit

import (
	"fmt"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/handshake"
	"chive/tor/relaycrypto"
)

// KH is what the handshake with the last hop of the path bound: an ESTABLISH_INTRO
// proves with it that it is for this circuit. Zero before the circuit is open.
func (c *Circuit) KH() [20]byte { return c.kh }

// EstablishIntro asks the last hop to be an introduction point of ours, and appends the
// cell.
func (c *Circuit) EstablishIntro(dst, message []byte) ([]byte, error) {
	return c.ask(dst, introAsked, cell.RelayEstablishIntro, message)
}

// Meet sends RENDEZVOUS1 to the last hop and adds the client, who waits behind it, as one
// hop more: from then on he can begin streams. inc is as for Join.
func (c *Circuit) Meet(dst, message []byte, keys handshake.HSKeyMaterial, onion congestion.Params, inc int) ([]byte, error) {
	layer, err := relaycrypto.NewServiceRendezvousLayer(keys)
	if err != nil {
		return dst, c.fail(&Error{Reason: cell.DestroyInternal, Hop: c.stack.Len() + 1, Err: err})
	}
	if dst, err = c.ask(dst, serving, cell.RelayRendezvous1, message); err != nil {
		return dst, err
	}
	c.join(layer, onion, inc)
	return dst, nil
}

// receiveBegin takes a client's wish for a stream. He may send on it at once, and reuse an
// id whose END he has read.
func (c *Circuit) receiveBegin(hop int, id cell.StreamID, data []byte) (Event, error) {
	port, err := cell.ParseBeginPort(data)
	if err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if s := c.find(id); id == 0 || s != nil && s.state != streamHalfClosed {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: BEGIN", ErrStreamID))
	} else if s != nil {
		c.drop(id)
	}
	if len(c.streams) >= maxStreams {
		return Event{}, c.violation(hop+1, ErrNoStreamID)
	}
	c.streams[id] = &stream{packageWindow: streamWindow, deliverWindow: streamWindow, connected: true}
	c.last = nil
	c.counters.Streams++
	return Event{Kind: Asked, Stream: id, Port: port}, nil
}

// Accept tells the client that the target of his stream is there, and appends CONNECTED.
// It names no address: where the service is is nobody's business.
func (c *Circuit) Accept(dst []byte, id cell.StreamID) ([]byte, error) {
	s := c.streams[id]
	if c.onion != serving || s == nil || s.state != streamPending {
		return dst, ErrNoStream
	}
	if c.state != Open {
		return dst, ErrNotOpen
	}
	s.state = streamOpen
	return c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayConnected, Stream: id}, nil), nil
}

// EndFor ends a client's stream, accepted or not, and appends END with the reason.
func (c *Circuit) EndFor(dst []byte, id cell.StreamID, reason cell.EndReason) ([]byte, error) {
	if c.onion != serving {
		return dst, ErrNoStream
	}
	return c.endFor(dst, id, reason)
}
