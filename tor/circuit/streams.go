package circuit

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"chive/tor/cell"
)

type streamState uint8

const (
	streamPending streamState = iota
	streamOpen
	streamHalfClosed // we ended it; the far end does not know yet
)

// stream is the circuit's half of a stream: its state and windows, in cells.
type stream struct {
	state         streamState
	packageWindow int
	deliverWindow int
	unacked       int  // cells the application took since our last SENDME
	resolve       bool // asks for a name: only RESOLVED or END may come
	connected     bool // CONNECTED came, perhaps after we ended it

	// With congestion control only:
	waiting int           // bytes of DATA that the application has not taken
	came    int           // bytes of DATA since our last XOFF
	told    bool          // our XOFF went out, and no XON since
	stops   stops         // what the far end said
	pace    pace          // likewise
	expires time.Duration // of one that we ended: nothing comes later
}

// Begin opens a stream to target ("host:port", tor-spec §6.2) and appends the
// BEGIN cell.
func (c *Circuit) Begin(dst []byte, target string, flags uint32) ([]byte, cell.StreamID, error) {
	data, err := cell.AppendBegin(nil, target, flags)
	if err != nil {
		return dst, 0, err
	}
	return c.begin(dst, cell.RelayBegin, data)
}

// BeginDir opens a stream to the last hop's own directory (tor-spec §6.2.1). A conflux
// set has none: ErrNoDirectory.
func (c *Circuit) BeginDir(dst []byte) ([]byte, cell.StreamID, error) {
	if c.over != nil {
		return dst, 0, ErrNoDirectory
	}
	return c.begin(dst, cell.RelayBeginDir, nil)
}

// Resolve asks the exit for the addresses of a name (tor-spec §6.4).
func (c *Circuit) Resolve(dst []byte, name string) ([]byte, cell.StreamID, error) {
	data, err := cell.AppendResolve(nil, name)
	if err != nil {
		return dst, 0, err
	}
	dst, id, err := c.begin(dst, cell.RelayResolve, data)
	if err == nil {
		c.streams[id].resolve = true
	}
	return dst, id, err
}

// receiveResolved ends a stream that asked for a name; no other may get it.
func (c *Circuit) receiveResolved(hop int, id cell.StreamID, s *stream, data []byte) (Event, error) {
	if !s.resolve {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: RESOLVED on a connection", ErrUnexpected))
	}
	answers, err := cell.ParseResolved(data)
	if err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	c.drop(id)
	if s.state == streamHalfClosed {
		c.counters.Dropped++
		return Event{}, nil
	}
	return Event{Kind: Resolved, Stream: id, Answers: answers}, nil
}

// Format is how the last hop's relay cells lie.
func (c *Circuit) Format() cell.RelayFormat { return c.stack.Format(c.stack.Len() - 1) }

func (c *Circuit) maxData(command cell.RelayCommand) int {
	if c.over != nil {
		return c.over.MaxData(command)
	}
	return c.Format().MaxData(command)
}

func (c *Circuit) begin(dst []byte, command cell.RelayCommand, data []byte) ([]byte, cell.StreamID, error) {
	if c.onion != plain {
		return dst, 0, ErrNotOpen
	}
	return c.open(dst, command, data)
}

func (c *Circuit) open(dst []byte, command cell.RelayCommand, data []byte) ([]byte, cell.StreamID, error) {
	if c.state != Open || c.cfg.Leg {
		return dst, 0, ErrNotOpen
	}
	if most := c.maxData(command); len(data) > most {
		return dst, 0, fmt.Errorf("%v of %d bytes, and %d is the most: %w", command, len(data), most, cell.ErrRelayLength)
	}
	id, err := c.freeID()
	if err != nil {
		return dst, 0, err
	}
	c.streams[id] = &stream{packageWindow: streamWindow, deliverWindow: streamWindow}
	c.counters.Streams++
	return c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: command, Stream: id}, data), id, nil
}

// find is streams[id].
func (c *Circuit) find(id cell.StreamID) *stream {
	if c.last == nil || c.lastID != id {
		c.last, c.lastID = c.streams[id], id
	}
	return c.last
}

func (c *Circuit) drop(id cell.StreamID) {
	delete(c.streams, id)
	c.last = nil
}

// freeID walks on from a random start, so that ids say nothing about how many
// streams there were before.
func (c *Circuit) freeID() (cell.StreamID, error) {
	if len(c.streams) >= maxStreams {
		return 0, ErrNoStreamID
	}
	if c.nextID == 0 {
		var b [2]byte
		if _, err := io.ReadFull(c.cfg.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("stream id: %w", err)
		}
		c.nextID = cell.StreamID(binary.BigEndian.Uint16(b[:]))
	}
	for {
		id := c.nextID
		c.nextID++
		if _, taken := c.streams[id]; id != 0 && !taken {
			return id, nil
		}
	}
}

// Sendable is how many DATA cells the stream may send now. It may before CONNECTED came:
// the exit keeps what it gets until it is connected (optimistic data, proposal 174).
func (c *Circuit) Sendable(id cell.StreamID) int {
	s := c.streams[id]
	if s == nil || s.state == streamHalfClosed || s.resolve || c.state != Open {
		return 0
	}
	if s.stops.stopped {
		return 0
	}
	if c.CongestionControl() {
		return min(c.Room(), s.pace.room(c.cfg.Now))
	}
	return max(0, min(s.packageWindow, c.flow.room()))
}

// Paced is how long the stream has to wait for nothing but the rate that its far end asked
// for; 0 if it may send, or if something else holds it back, whose end Receive reports.
func (c *Circuit) Paced(id cell.StreamID) time.Duration {
	s := c.streams[id]
	if !c.CongestionControl() || c.Room() == 0 || s == nil || s.state == streamHalfClosed || s.stops.stopped || c.state != Open {
		return 0
	}
	return s.pace.wait(c.cfg.Now)
}

// Send packages as much of data as the windows allow, up to limit cells,
// appends the cells and returns how many bytes went.
func (c *Circuit) Send(dst []byte, id cell.StreamID, data []byte, limit int) ([]byte, int) {
	room := min(c.Sendable(id), limit)
	s := c.streams[id]
	sent := 0
	if room <= 0 {
		return dst, 0
	}
	full := c.maxData(cell.RelayData)
	if hop := c.stack.Len() - 1; c.over == nil && c.stack.Ahead(hop) {
		return c.sendAhead(dst, id, s, data, room, full)
	}
	for ; room > 0 && sent < len(data); room-- {
		n := min(len(data)-sent, full)
		dst = c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayData, Stream: id}, data[sent:sent+n])
		c.packaged(s, n)
		sent += n
	}
	return dst, sent
}

// sendAhead is Send with each cell begun before the one before it is sealed.
func (c *Circuit) sendAhead(dst []byte, id cell.StreamID, s *stream, data []byte, room, full int) ([]byte, int) {
	hop, h := c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayData, Stream: id}
	sent, begun := 0, 0 // bytes of cells that are sealed, and of the one that is not
	for ; room > 0 && sent+begun < len(data); room-- {
		rest := data[sent+begun:]
		n := min(len(rest), full)
		at := len(dst)
		dst = c.plain(dst, cell.Relay, hop, h, rest[:n])
		if begun > 0 {
			c.wrap(dst[at-cell.FixedLen:], cell.Relay, hop)
			c.packaged(s, begun)
		}
		sent, begun = sent+begun, n
	}
	if begun > 0 {
		c.wrap(dst[len(dst)-cell.FixedLen:], cell.Relay, hop)
		c.packaged(s, begun)
	}
	return dst, sent + begun
}

// Consumed tells that the application took the content of so many DATA cells, of so many
// bytes, and appends what lets the stream go on, XON or the stream-level SENDMEs that this
// earns: a slow reader stops its own stream only.
func (c *Circuit) Consumed(dst []byte, id cell.StreamID, cells, bytes int) []byte {
	s := c.streams[id]
	if s == nil || s.state != streamOpen || c.state != Open {
		return dst
	}
	if c.CongestionControl() {
		s.waiting -= bytes
		if s.told && s.waiting <= c.xoffAt()/xonBelow {
			s.told = false
			dst = c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayXon, Stream: id}, cell.AppendXon(nil, 0))
		}
		return dst
	}
	s.unacked += cells
	for s.unacked >= streamIncrement {
		s.unacked -= streamIncrement
		s.deliverWindow += streamIncrement
		dst = c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelaySendme, Stream: id}, nil)
	}
	return dst
}

// End ends the stream from our side and appends the END cell. The reason is
// always MISC: a client's reasons are nobody's business (tor-spec §6.3).
func (c *Circuit) End(dst []byte, id cell.StreamID) ([]byte, error) {
	return c.endFor(dst, id, cell.EndMisc)
}

func (c *Circuit) endFor(dst []byte, id cell.StreamID, reason cell.EndReason) ([]byte, error) {
	s := c.streams[id]
	if s == nil || s.state == streamHalfClosed {
		return dst, ErrNoStream
	}
	if c.state != Open {
		return dst, ErrNotOpen
	}
	c.halfClose(id, s)
	return c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayEnd, Stream: id},
		cell.AppendEnd(nil, reason, netip.Addr{}, 0)), nil
}

func (c *Circuit) receiveData(dst []byte, hop int, id cell.StreamID, s *stream, data []byte) ([]byte, Event, error) {
	if !s.connected {
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: DATA before CONNECTED", ErrUnexpected))
	}
	if len(data) == 0 {
		return dst, Event{}, c.violation(hop+1, ErrEmptyData)
	}
	dst, err := c.delivered(dst, hop)
	if err != nil {
		return dst, Event{}, err
	}
	if s.state == streamHalfClosed && c.streams[id] != s { // it has just expired
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: DATA that was sent after our END", ErrStreamID))
	}
	if !c.CongestionControl() {
		s.deliverWindow--
		if s.deliverWindow < 0 {
			return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: stream deliver window", ErrWindow))
		}
	}
	if s.state == streamHalfClosed {
		c.counters.Dropped++
		return dst, Event{}, nil
	}
	if c.CongestionControl() {
		if dst, err = c.queued(dst, hop, id, s, len(data)); err != nil {
			return dst, Event{}, err
		}
	}
	return dst, Event{Kind: Data, Stream: id, Data: data}, nil
}

// xonBelow: a stream that was told to stop goes on when only this part of what stopped it
// is left, so that its application never runs dry while XON is on its way.
const xonBelow = 4

// leastXoff is the fewest full cells that a stream is told to stop for, whatever the
// consensus says: what its application took is told of 25 cells at a time, and what is left
// untold must not keep XON back.
const leastXoff = 25 * xonBelow

// xoffAt is how many bytes of a stream wait for its application when the far end is told to
// stop. The consensus says it in cells, and a cell is what C tor takes it for. It is bytes as
// the far end checks bytes (see stops): cells may have one each.
func (c *Circuit) xoffAt() int { return max(c.cfg.XoffClient, leastXoff) * cell.MaxRelayDataV1 }

// mostWaiting is how many bytes of a stream may wait for its application: what XON left and
// what XOFF is for, and what is on its way then.
func (c *Circuit) mostWaiting() int {
	onTheirWay := farWindow(c.cfg.Congestion)
	if c.over != nil {
		onTheirWay = c.over.OnTheirWay()
	}
	return c.xoffAt()/xonBelow + c.xoffAt() + onTheirWay*cell.MaxRelayData
}

// queued counts a cell of data under congestion control: a stream has no window, but is
// told to stop when its application does not take what comes. The far end hears of that a
// round trip later, in which it may send a window. No XOFF goes for less than the far end
// must have sent since the last one (proposal 324 §4.1.4): it closes the circuit, or takes
// the cell for none.
func (c *Circuit) queued(dst []byte, hop int, id cell.StreamID, s *stream, bytes int) ([]byte, error) {
	s.waiting += bytes
	s.came = min(s.came+bytes, c.xoffAt())
	if s.waiting > c.mostWaiting() {
		return dst, c.violation(hop+1, fmt.Errorf("%w: %d bytes wait for an application after XOFF", ErrWindow, s.waiting))
	}
	if !s.told && s.waiting >= c.xoffAt() && s.came >= c.xoffAt() {
		s.told, s.came = true, 0
		dst = c.seal(dst, cell.Relay, hop, cell.RelayHeader{Cmd: cell.RelayXoff, Stream: id}, cell.AppendXoff(nil))
	}
	return dst, nil
}

func (c *Circuit) receiveConnected(hop int, id cell.StreamID, s *stream, data []byte) (Event, error) {
	addr, _, err := cell.ParseConnected(data)
	if err != nil {
		return Event{}, c.violation(hop+1, err)
	}
	if s.connected || s.resolve {
		return Event{}, c.violation(hop+1, fmt.Errorf("%w: second CONNECTED", ErrUnexpected))
	}
	s.connected = true
	if s.state == streamHalfClosed {
		c.counters.Dropped++
		return Event{}, nil
	}
	s.state = streamOpen
	return Event{Kind: Connected, Stream: id, Addr: addr}, nil
}

func (c *Circuit) receiveEnd(hop int, id cell.StreamID, s *stream, data []byte) (Event, error) {
	c.drop(id)
	if s.state == streamHalfClosed {
		c.counters.Dropped++
		return Event{}, nil
	}
	reason, _, _ := cell.ParseEnd(data)
	return Event{Kind: Ended, Stream: id, Reason: reason}, nil
}
