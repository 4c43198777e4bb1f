package relaydouble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"chive/tor/cell"
	"chive/tor/relaycrypto"
)

// Circuit is the relays' end of one circuit, all hops of it.
type Circuit struct {
	conn *Conn
	id   cell.CircID

	mu      sync.Mutex
	cond    sync.Cond // a window opened, bytes came, or something closed
	hops    []*circuitHop
	streams map[cell.StreamID]*Stream
	early   int    // RELAY_EARLY cells from the client
	out     []byte // cells encrypted and not yet handed to the connection
	closed  bool
	lax     bool // ignore the package windows (a fault)
}

// circuitHop is one layer of a circuit with its windows, in cells.
type circuitHop struct {
	hop       *Hop
	layer     *relaycrypto.RelayLayer
	congested bool // congestion control is granted: streams have no windows
	increment int  // DATA cells a SENDME is for
	pack      int  // DATA cells we may still send
	deliver   int  // DATA cells the client may still send; with congestion control it says when a SENDME is due
	sent      int  // DATA cells sent since the last tag
	tags      []relaycrypto.Tag
}

// ID returns the circuit's id on its connection.
func (c *Circuit) ID() cell.CircID { return c.id }

func newCircuit(conn *Conn, id cell.CircID) *Circuit {
	c := &Circuit{conn: conn, id: id, streams: map[cell.StreamID]*Stream{}}
	c.cond.L = &c.mu
	return c
}

// addHop puts a finished handshake's layer on the circuit.
func (c *Circuit) addHop(h *Hop, with agreed) error {
	var (
		layer *relaycrypto.RelayLayer
		err   error
	)
	if with.cgo != nil {
		layer, err = relaycrypto.NewCGORelayLayer(with.cgo)
	} else {
		layer, err = relaycrypto.NewRelayLayer(with.keys)
	}
	if err != nil {
		return err
	}
	window := c.conn.relay.opts.CircWindow
	added := &circuitHop{hop: h, layer: layer, increment: circIncrement, pack: window, deliver: circWindow}
	if with.increment > 0 {
		added.congested, added.increment = true, with.increment
	}
	if with.cgo != nil {
		c.conn.relay.seen.update(func(s *Seen) { s.CGOHops++ })
	}
	c.hops = append(c.hops, added)
	return nil
}

// receive handles a RELAY or RELAY_EARLY cell from the client.
func (c *Circuit) receive(cmd cell.Command, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	err := c.handle(cmd, body)
	if err != nil {
		reason := cell.DestroyProtocol
		if protocol := (*protocolError)(nil); errors.As(err, &protocol) {
			c.conn.relay.seen.violation(fmt.Errorf("circuit %v: %w", c.id, err))
		} else if refused := (*refusedError)(nil); errors.As(err, &refused) {
			reason = refused.reason
		}
		c.Destroy(reason)
	}
	c.flush()
}

// refusedError ends a circuit for a reason that is not the client's fault.
type refusedError struct {
	reason cell.DestroyReason
	err    error
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func (c *Circuit) handle(cmd cell.Command, body []byte) error {
	if cmd == cell.RelayEarly {
		c.conn.relay.seen.update(func(s *Seen) { s.RelayEarly++ })
		if c.early++; c.early > maxRelayEarly {
			return violationf("more than %d RELAY_EARLY cells", maxRelayEarly)
		}
	}
	hop := -1
	for i, h := range c.hops {
		if h.layer.Receive(cmd, body) {
			hop = i
			break
		}
	}
	if hop < 0 {
		return violationf("relay cell that no hop recognizes")
	}
	h, data, err := c.hops[hop].layer.Format().Parse(body)
	if err != nil {
		return &protocolError{err}
	}
	return c.dispatch(cmd, hop, h, data)
}

func (c *Circuit) dispatch(cmd cell.Command, hop int, h cell.RelayHeader, data []byte) error {
	switch h.Cmd {
	case cell.RelayExtend2:
		return c.extend(cmd, hop, h, data)
	case cell.RelayBegin, cell.RelayBeginDir:
		return c.begin(hop, h, data)
	case cell.RelayResolve:
		return c.resolve(hop, h)
	case cell.RelayData:
		return c.dataIn(hop, h.Stream, data)
	case cell.RelaySendme:
		return c.sendmeIn(hop, h.Stream, data)
	case cell.RelayEnd:
		return c.endIn(hop, h.Stream, data)
	case cell.RelayXoff, cell.RelayXon:
		return c.xoffIn(hop, h, data)
	case cell.RelayDrop, cell.RelayPaddingNegotiate:
		c.conn.relay.seen.update(func(s *Seen) { s.Padding++ })
		return nil
	case cell.RelayTruncate:
		c.hops = c.hops[:hop+1]
		c.emit(hop, cell.RelayHeader{Cmd: cell.RelayTruncated}, []byte{byte(cell.DestroyRequested)})
		return nil
	default:
		return violationf("%v relay cell", h.Cmd)
	}
}

// emit seals one relay cell from a hop to the client and puts it in line. Points of
// the script are passed here; c.mu is held.
func (c *Circuit) emit(hop int, h cell.RelayHeader, data []byte) {
	if !c.conn.relay.script.has(AtRelayOut) {
		c.seal(cell.Relay, hop, h, data, false)
		return
	}
	c.conn.relay.pass(AtRelayOut, Moment{Conn: c.conn, Circuit: c, Hop: hop}, func(m *Moment) {
		c.seal(cell.Relay, hop, h, data, m.BadDigest)
	})
}

var zeroCell [cell.FixedLen]byte

// paddingLen is how many random bytes a cell with room carries after four zero
// ones, so that the tag of a SENDME cannot be guessed (tor-spec 7.3).
const paddingLen = 16

// seal encrypts one relay cell from a hop to the client, with as much of the data as the
// hop's format holds. A header length of zero is
// that of data; any other is sent as it is (a fault).
func (c *Circuit) seal(cmd cell.Command, hop int, h cell.RelayHeader, data []byte, badDigest bool) {
	if c.closed || hop >= len(c.hops) {
		return
	}
	format := c.hops[hop].layer.Format()
	data = data[:min(len(data), format.MaxData(h.Cmd))]
	claimed := h.Length
	h.Length = len(data)
	start := len(c.out)
	c.out = append(c.out, zeroCell[:]...)
	cell.PutHeader(c.out[start:], c.id, cmd)
	body := c.out[start+cell.HeaderLen:]
	space := put(format, body, h)
	copy(space, data)
	if claimed != 0 {
		binary.BigEndian.PutUint16(body[lengthAt[format]:], uint16(claimed))
	}
	if pad := space[len(data):]; len(pad) > 4 {
		_, _ = io.ReadFull(c.conn.relay.opts.Rand, pad[4:min(len(pad), 4+paddingLen)])
	}
	c.hops[hop].layer.Originate(cmd, body)
	if badDigest {
		body[digestAt] ^= 1
	}
	for i := hop - 1; i >= 0; i-- {
		c.hops[i].layer.Pass(cmd, body)
	}
}

// put writes a header, even one that the format is not to have: a stream's message of no
// stream. A circuit's message of a stream is one of the circuit where the format has no room
// to say otherwise.
func put(format cell.RelayFormat, body []byte, h cell.RelayHeader) []byte {
	if format == cell.RelayV0 {
		return format.Put(body, h)
	}
	ofStream := format.MaxData(h.Cmd) == cell.MaxRelayDataV1
	if !ofStream {
		h.Stream = 0
		return format.Put(body, h)
	}
	stream := h.Stream
	h.Stream = max(h.Stream, 1)
	space := format.Put(body, h)
	binary.BigEndian.PutUint16(body[len(body)-len(space)-2:], uint16(stream))
	return space
}

// digestAt is the offset of the digest field in a relay cell's body, format V0. Its
// cipher is a stream: a bit flipped in ciphertext is that bit flipped in plaintext. In
// format V1 any bit will do.
const digestAt = 5

// lengthAt is the offset of the length field.
var lengthAt = map[cell.RelayFormat]int{cell.RelayV0: 9, cell.RelayV1: 17}

// flush hands the sealed cells to the connection; c.mu is held.
func (c *Circuit) flush() {
	if len(c.out) == 0 {
		return
	}
	c.conn.Send(c.out)
	c.out = c.out[:0]
}

// Destroy sends DESTROY with a reason and forgets the circuit. Actions may call it.
func (c *Circuit) Destroy(reason cell.DestroyReason) {
	if c.closed {
		return
	}
	c.out = cell.AppendFixed(c.out, c.id, cell.Destroy, cell.AppendDestroy(nil, reason))
	c.flush()
	c.gone()
}

// gone ends the circuit and its streams without a word; c.mu is held.
func (c *Circuit) gone() {
	if c.closed {
		return
	}
	c.closed = true
	if len(c.hops) > 0 {
		c.conn.relay.seen.update(func(s *Seen) { s.OpenCircuits-- })
	}
	c.cond.Broadcast()
}
