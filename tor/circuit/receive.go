package circuit

import (
	"fmt"
	"net/netip"

	"chive/tor/cell"
)

// EventKind names what a received cell meant.
type EventKind uint8

// What Receive can report. Most cells that only move a window report None.
const (
	None       EventKind = iota
	Extended             // one more hop is there, and more are to come
	Opened               // the last hop is there
	Connected            // the stream's target answered
	Data                 // bytes for the stream
	Ended                // the far end ended the stream
	Resolved             // the exit answered for a name
	MayPackage           // a window opened: blocked streams may send again
	Message              // a leg has a message for its set: Command, Stream and Data

	RendezvousEstablished // the rendezvous point waits for the service
	Rendezvous            // the service came; Data is its half of the handshake
	IntroduceAck          // the introduction point's answer

	IntroEstablished // the introduction point waits for clients
	Introduce2       // a client asks to be met
	Asked            // a client begins a stream to Port
)

// Event is what one received cell meant.
type Event struct {
	Kind   EventKind
	Stream cell.StreamID
	Data   []byte         // of Data, Message, introductions and rendezvous: the payload, inside the cell's body
	Port   uint16         // Asked
	Reason cell.EndReason // Ended
	Addr   netip.Addr     // Connected: the address the exit reached, if it said

	Answers []cell.Answer // Resolved: what the exit answered; it may have nothing to say

	Command cell.RelayCommand // Message
}

// Receive takes one cell that arrived for this circuit, decrypting body in
// place. Cells to send in answer are appended to dst, which is returned. An
// error is always an *Error: the circuit is then closed, and the caller sends
// DESTROY (unless the far side did) and lets go of it.
func (c *Circuit) Receive(dst []byte, command cell.Command, body []byte) ([]byte, Event, error) {
	return c.ReceiveBefore(dst, command, body, nil)
}

// ReceiveBefore is Receive of a cell behind which the body of a RELAY cell is here already: the
// next call must be for that, unless this one fails. Two cells in a row may cost less so. A nil
// next is none.
func (c *Circuit) ReceiveBefore(dst []byte, command cell.Command, body, next []byte) ([]byte, Event, error) {
	if c.state == Closed || c.state == New {
		return dst, Event{}, c.violation(0, ErrClosed)
	}
	c.counters.In++
	switch command {
	case cell.Relay:
		return c.receiveRelay(dst, command, body, next)
	case cell.Created2, cell.CreatedFast:
		return c.receiveCreated(dst, command, body)
	case cell.Destroy:
		reason := cell.ParseDestroy(body)
		return dst, Event{}, c.fail(&Error{Reason: reason, Hop: c.nextHop(), Err: fmt.Errorf("%w: %v", ErrDestroyed, reason)})
	default:
		return dst, Event{}, c.violation(1, fmt.Errorf("%w: %v", ErrUnexpected, command))
	}
}

// nextHop is the hop that is being reached for while building, else 0.
func (c *Circuit) nextHop() int {
	if c.state == Building {
		return c.stack.Len() + 1
	}
	return 0
}

func (c *Circuit) receiveCreated(dst []byte, command cell.Command, body []byte) ([]byte, Event, error) {
	wanted := cell.Created2
	if c.fast != nil {
		wanted = cell.CreatedFast
	}
	if c.state != Building || c.stack.Len() != 0 || command != wanted {
		return dst, Event{}, c.violation(1, fmt.Errorf("%w: %v", ErrUnexpected, command))
	}
	if c.fast != nil {
		keys, err := c.fast.Finish(body)
		c.fast = nil
		return c.addHop(dst, hopKeys{tor1: keys}, err)
	}
	reply, err := cell.ParseCreated2(body)
	if err != nil {
		return dst, Event{}, c.violation(1, err)
	}
	keys, err := c.shaken(reply)
	return c.addHop(dst, keys, err)
}

// addHop takes the keys of the hop just reached and asks for the next.
func (c *Circuit) addHop(dst []byte, keys hopKeys, err error) ([]byte, Event, error) {
	hop := c.stack.Len() + 1
	c.ntor, c.ntor3 = nil, nil
	if err != nil {
		return dst, Event{}, c.violation(hop, err)
	}
	kh := keys.kh()
	layer, err := keys.layer()
	if err != nil {
		return dst, Event{}, c.fail(&Error{Reason: cell.DestroyInternal, Hop: hop, Err: err})
	}
	c.stack.Add(layer)
	if c.stack.Len() == len(c.cfg.Path) {
		if c.cfg.Leg && c.flow.vegas == nil {
			return dst, Event{}, c.violation(hop, ErrNoCongestionControl)
		}
		c.state, c.kh = Open, kh
		return dst, Event{Kind: Opened}, nil
	}
	dst, err = c.extend(dst)
	return dst, Event{Kind: Extended}, err
}

// extend appends the EXTEND2 for the next hop, in a RELAY_EARLY cell
// (tor-spec §5.1.2, §5.6).
func (c *Circuit) extend(dst []byte) ([]byte, error) {
	next := c.cfg.Path[c.stack.Len()]
	htype, skin, err := c.shake(next)
	if err != nil {
		return dst, c.fail(&Error{Reason: cell.DestroyInternal, Hop: c.stack.Len() + 1, Err: err})
	}
	if c.early == 0 {
		return dst, c.fail(&Error{Reason: cell.DestroyInternal, Hop: c.stack.Len() + 1, Err: fmt.Errorf("no RELAY_EARLY cell is left")})
	}
	c.early--
	data, err := cell.AppendExtend2(nil, cell.Extend2{
		Specs: linkSpecs(next), HandshakeType: htype, Handshake: skin,
	})
	if err != nil {
		return dst, c.fail(&Error{Reason: cell.DestroyInternal, Hop: c.stack.Len() + 1, Err: err})
	}
	return c.seal(dst, cell.RelayEarly, c.stack.Len()-1, cell.RelayHeader{Cmd: cell.RelayExtend2}, data), nil
}

// linkSpecs lists how to reach a relay, in the order of tor-spec §5.1.2: IPv4, RSA
// identity, Ed25519 identity. As C tor's clients do, it leaves out the IPv6 address: the
// relay that extends would tell us from them by it. (C tor's relays, which test whether
// they can be reached, send both.)
func linkSpecs(h Hop) []cell.LinkSpec {
	addr := h.IPv4
	if !addr.IsValid() {
		addr = h.IPv6
	}
	specs := []cell.LinkSpec{cell.AddrSpec(addr), cell.RSASpec(h.RSA)}
	if h.Ed25519 != ([32]byte{}) {
		specs = append(specs, cell.Ed25519Spec(h.Ed25519))
	}
	return specs
}

func (c *Circuit) receiveRelay(dst []byte, command cell.Command, body, next []byte) ([]byte, Event, error) {
	if c.stack.Len() == 0 || len(body) != cell.BodyLen || next != nil && len(next) != cell.BodyLen {
		return dst, Event{}, c.violation(1, fmt.Errorf("%w: RELAY", ErrUnexpected))
	}
	hop := c.stack.OpenBefore(command, body, next)
	if hop < 0 {
		return dst, Event{}, c.violation(0, ErrUnrecognized)
	}
	h, data, err := c.stack.Format(hop).Parse(body)
	if err != nil {
		return dst, Event{}, c.violation(hop+1, err)
	}
	switch h.Cmd {
	case cell.RelayDrop, cell.RelayPaddingNegotiated: // no relay sends them unasked
		return dst, Event{}, c.receivePadding(hop, h, data)
	case cell.RelayTruncated:
		reason := cell.ParseDestroy(data)
		return dst, Event{}, c.fail(&Error{Reason: reason, Hop: hop + 2, Err: fmt.Errorf("%w: %v", ErrTruncated, reason)})
	}
	if c.padded() {
		c.padding.Received(c.now())
	}
	if hop != c.stack.Len()-1 {
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v from the middle of the path", ErrUnexpected, h.Cmd))
	}
	if c.state == Building {
		return c.receiveBuilding(dst, h, data)
	}
	return c.receiveOpen(dst, hop, h, data)
}

func (c *Circuit) receiveBuilding(dst []byte, h cell.RelayHeader, data []byte) ([]byte, Event, error) {
	hop := c.stack.Len() + 1
	if h.Cmd != cell.RelayExtended2 || h.Stream != 0 || c.ntor == nil && c.ntor3 == nil {
		return dst, Event{}, c.violation(hop, fmt.Errorf("%w: %v while building", ErrUnexpected, h.Cmd))
	}
	reply, err := cell.ParseExtended2(data)
	if err != nil {
		return dst, Event{}, c.violation(hop, err)
	}
	keys, err := c.shaken(reply)
	return c.addHop(dst, keys, err)
}

func (c *Circuit) receiveOpen(dst []byte, hop int, h cell.RelayHeader, data []byte) ([]byte, Event, error) {
	if h.Cmd == cell.RelaySendme && h.Stream == 0 {
		ev, err := c.circuitSendme(hop, data)
		return dst, ev, err
	}
	if c.cfg.Leg {
		return c.receiveLeg(dst, hop, h, data)
	}
	if h.Stream == 0 && ofOnion(h.Cmd) {
		return c.receiveOnion(dst, hop, h.Cmd, data)
	}
	if h.Cmd == cell.RelayBegin && c.onion == serving {
		ev, err := c.receiveBegin(hop, h.Stream, data)
		return dst, ev, err
	}
	s := c.find(h.Stream)
	if s == nil {
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v", ErrStreamID, h.Cmd))
	}
	if c.lapsed(h.Stream, s) {
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v long after our END", ErrStreamID, h.Cmd))
	}
	switch h.Cmd {
	case cell.RelayData:
		return c.receiveData(dst, hop, h.Stream, s, data)
	case cell.RelayConnected:
		ev, err := c.receiveConnected(hop, h.Stream, s, data)
		return dst, ev, err
	case cell.RelayEnd:
		ev, err := c.receiveEnd(hop, h.Stream, s, data)
		return dst, ev, err
	case cell.RelayResolved:
		ev, err := c.receiveResolved(hop, h.Stream, s, data)
		return dst, ev, err
	case cell.RelaySendme:
		ev, err := c.streamSendme(hop, h.Stream, s)
		return dst, ev, err
	case cell.RelayXoff:
		ev, err := c.receiveXoff(hop, s, data)
		return dst, ev, err
	case cell.RelayXon:
		ev, err := c.receiveXon(hop, h.Stream, s, data)
		return dst, ev, err
	default:
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v", ErrUnexpected, h.Cmd))
	}
}
