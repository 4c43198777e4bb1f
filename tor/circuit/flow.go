package circuit

import (
	"crypto/subtle"
	"fmt"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/relaycrypto"
)

// flow is how many cells may be on their way to and from the last hop: by congestion
// control where the hop granted it (proposal 324), else by the fixed windows of tor-spec
// §7.3 and §7.4.
type flow struct {
	vegas         *congestion.Vegas // nil: fixed windows
	increment     int               // DATA cells that a circuit-level SENDME is for
	packageWindow int               // fixed windows only
	deliverWindow int
	tags          []relaycrypto.Tag // of cells that SENDMEs are due for: tags[tagHead:]
	tagHead       int
	sinceTag      int // DATA cells sealed since the last tag
	dataIn        uint64
	granted       uint64   // DATA cells that the far end may have sent in all; fixed windows only
	sendme        [32]byte // the body of the last that we sent
}

// fixed is the flow by fixed windows, of which ours begins with window.
func fixed(window int) flow {
	return flow{increment: circuitIncrement, packageWindow: window, deliverWindow: circuitWindow, granted: circuitWindow}
}

// onTheirWay is how many DATA cells may have come in all by the time the far end has read
// what we send now.
func (f *flow) onTheirWay(p congestion.Params) uint64 {
	if f.vegas != nil {
		return f.dataIn + uint64(farWindow(p))
	}
	return f.granted
}

// farWindow is more cells than the far end has on their way under congestion control. Its
// window is not known here: twice where slow start ends is beyond what any is.
func farWindow(p congestion.Params) int { return 2 * p.SlowStartMax }

// room is how many DATA cells may be sent.
func (f *flow) room() int {
	if f.vegas != nil {
		return f.vegas.Room()
	}
	return f.packageWindow
}

// expect notes the tag of a cell that the far end acknowledges.
func (f *flow) expect(tag relaycrypto.Tag) {
	if f.tagHead > len(f.tags)/2 { // move down what is left, now and then
		n := copy(f.tags, f.tags[f.tagHead:])
		f.tags, f.tagHead = f.tags[:n], 0
	}
	f.tags = append(f.tags, tag)
}

// circuitSendme takes a circuit-level SENDME: the far end proves with a tag
// that it has read what we sent, and our window grows (proposal 289).
func (c *Circuit) circuitSendme(hop int, data []byte) (Event, error) {
	f := &c.flow
	if f.tagHead == len(f.tags) {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: none is expected", ErrSendme))
	}
	want := f.tags[f.tagHead]
	version, tag, err := cell.ParseSendme(data, len(want.Bytes()))
	if err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if version != 1 {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: version %d", ErrSendme, version))
	}
	if subtle.ConstantTimeCompare(tag, want.Bytes()) != 1 {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: wrong tag", ErrSendme))
	}
	f.tagHead++
	if f.vegas != nil {
		if err := f.vegas.Acknowledged(c.cfg.Now(), c.Blocked); err != nil {
			return Event{}, c.violation(hop+1, fmt.Errorf("%w: %w", ErrWindow, err))
		}
		return Event{Kind: MayPackage}, nil
	}
	f.packageWindow += circuitIncrement
	if f.packageWindow > circuitWindow {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: circuit package window", ErrWindow))
	}
	return Event{Kind: MayPackage}, nil
}

// packaged counts a DATA cell just sealed. One in so many is one the far end
// acknowledges with its tag.
func (c *Circuit) packaged(s *stream, bytes int) {
	if c.CongestionControl() {
		s.stops.sent(bytes)
		s.pace.spend(bytes)
	}
	if c.over != nil {
		return // a leg counts it
	}
	f := &c.flow
	if f.vegas != nil {
		if f.vegas.Sent(c.cfg.Now) {
			f.expect(c.stack.ForwardTag(c.stack.Len() - 1))
		}
		return
	}
	f.packageWindow--
	s.packageWindow--
	f.sinceTag++
	if f.sinceTag == circuitIncrement {
		f.sinceTag = 0
		f.expect(c.stack.ForwardTag(c.stack.Len() - 1))
	}
}

// delivered counts a DATA cell just received, and appends our circuit-level
// SENDME when it is the last of those that one is for.
func (c *Circuit) delivered(dst []byte, hop int) ([]byte, error) {
	f := &c.flow
	if c.over != nil { // a leg has acknowledged it
		f.dataIn++
		c.expireHalfClosed()
		return dst, nil
	}
	f.deliverWindow--
	if f.deliverWindow < 0 {
		return dst, c.violation(hop+1, fmt.Errorf("%w: circuit deliver window", ErrWindow))
	}
	f.dataIn++
	c.expireHalfClosed()
	if f.deliverWindow > circuitWindow-f.increment {
		return dst, nil
	}
	f.deliverWindow += f.increment
	f.granted += uint64(f.increment)
	tag := c.stack.BackwardTag(hop)
	body := cell.AppendSendmeV1(f.sendme[:0], tag.Bytes())
	return c.seal(dst, cell.Relay, hop, cell.RelayHeader{Cmd: cell.RelaySendme}, body), nil
}

// streamSendme takes a stream-level SENDME. It carries no tag: the circuit's
// does for all its streams.
func (c *Circuit) streamSendme(hop int, id cell.StreamID, s *stream) (Event, error) {
	if s.state == streamPending || s.resolve || c.CongestionControl() {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: SENDME of a stream", ErrUnexpected))
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

// receiveXoff stops a stream: the far end's application does not take what we send.
func (c *Circuit) receiveXoff(hop int, s *stream, data []byte) (Event, error) {
	if !c.CongestionControl() || s.resolve {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: XOFF", ErrUnexpected))
	}
	if err := cell.ParseXoff(data); err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if err := s.stops.xoff(c.cfg.FlowParams); err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if s.state == streamHalfClosed {
		c.counters.Dropped++
	}
	return Event{}, nil
}

// receiveXon lets a stream go on, at the rate that the far end's application takes.
func (c *Circuit) receiveXon(hop int, id cell.StreamID, s *stream, data []byte) (Event, error) {
	if !c.CongestionControl() || s.resolve {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: XON", ErrUnexpected))
	}
	rate, err := cell.ParseXon(data)
	if err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if err := s.stops.xon(c.cfg.FlowParams); err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if s.state == streamHalfClosed {
		c.counters.Dropped++
		return Event{}, nil
	}
	s.pace.set(rate, c.cfg.Now())
	return Event{Kind: MayPackage, Stream: id}, nil
}
