package relaydouble

import (
	"bytes"
	"errors"

	"chive/tor/cell"
	"chive/tor/handshake"
)

// create answers CREATE_FAST and CREATE2 (tor-spec section 5.1).
func (c *Conn) create(id cell.CircID, cmd cell.Command, body []byte) error {
	if id>>31 != 1 {
		return violationf("%v on circuit %v: an initiator's ids have the top bit set", cmd, id)
	}
	if old := c.circuits[id]; old != nil && !old.ended() {
		return violationf("%v on circuit %v, which is in use", cmd, id)
	}
	circuit := newCircuit(c, id)
	c.circuits[id] = circuit
	circuit.mu.Lock()
	defer circuit.mu.Unlock()
	defer circuit.flush()
	var err error
	c.relay.pass(AtCreate, Moment{Conn: c, Circuit: circuit}, func(*Moment) {
		err = circuit.answerCreate(cmd, body)
	})
	if err != nil {
		circuit.Destroy(cell.DestroyProtocol)
		if errors.Is(err, handshake.ErrWrongRelay) {
			return nil // a stale onion key is no violation
		}
		c.relay.seen.violation(err)
	}
	return nil
}

func (c *Circuit) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Circuit) answerCreate(cmd cell.Command, body []byte) error {
	h, rand := c.conn.hop, c.conn.relay.opts.Rand
	var (
		reply []byte
		with  agreed
		err   error
	)
	if cmd == cell.CreateFast {
		reply, with.keys, err = handshake.ServeFast(rand, body)
	} else {
		reply, with, err = c.serveCreate2(h, body)
	}
	if err != nil {
		return err
	}
	if err := c.addHop(h, with); err != nil {
		return err
	}
	c.conn.relay.seen.update(func(s *Seen) {
		s.Circuits++
		s.OpenCircuits++
		if cmd == cell.CreateFast {
			s.CreateFast++
		}
	})
	c.conn.relay.pass(AtCreated, Moment{Conn: c.conn, Circuit: c, Reply: reply}, func(m *Moment) {
		if cmd == cell.CreateFast {
			c.out = cell.AppendFixed(c.out, c.id, cell.CreatedFast, m.Reply)
		} else {
			c.out = cell.AppendFixed(c.out, c.id, cell.Created2, cell.AppendCreated2(nil, m.Reply))
		}
	})
	return nil
}

// agreed is what a handshake with a hop came to.
type agreed struct {
	keys      handshake.KeyMaterial
	cgo       *handshake.CGOKeyMaterial // nil: tor1, with keys
	increment int                       // cells a SENDME is for under congestion control; 0: not granted
}

func (c *Circuit) serveCreate2(h *Hop, body []byte) ([]byte, agreed, error) {
	htype, skin, err := cell.ParseCreate2(body)
	if err != nil {
		return nil, agreed{}, &protocolError{err}
	}
	return c.serveHandshake(h, htype, skin)
}

// serveHandshake answers for a hop.
func (c *Circuit) serveHandshake(h *Hop, htype uint16, skin []byte) (reply []byte, with agreed, err error) {
	random := c.conn.relay.opts.Rand
	switch htype {
	case handshake.TypeNtor:
		reply, with.keys, err = handshake.ServeNtor(random, h.RSA(), h.onionSecret, skin)
		return reply, with, err
	case handshake.TypeNtor3:
		var (
			keys [handshake.CGOKeyMaterialLen]byte
			wish handshake.Wish
		)
		grant := func(message []byte) (answer []byte, err error) {
			wish, answer, err = c.grant(message)
			return answer, err
		}
		reply, err = handshake.ServeNtor3(random, h.Ed25519(), h.onionSecret, handshake.CircuitVerification, skin, grant, keys[:])
		if wish.CongestionControl {
			with.increment = c.conn.relay.opts.SendmeIncrement
		}
		if wish.CGO {
			cgo := handshake.CGOKeyMaterialOf(&keys)
			with.cgo = &cgo
		} else {
			with.keys = handshake.KeyMaterialOf((*[handshake.KeyMaterialLen]byte)(keys[:]))
		}
		return reply, with, err
	default:
		return nil, agreed{}, violationf("handshake type %d is not served", htype)
	}
}

// grant answers what a client wishes in an ntor-v3 handshake: congestion control, if it
// asks for it and the options grant it. Counter Galois Onion is granted by answering at all;
// a client may ask for it where it is offered only (proposal 346).
func (c *Circuit) grant(message []byte) (wish handshake.Wish, answer []byte, err error) {
	if wish, err = handshake.WishOf(message); err != nil {
		return wish, nil, &protocolError{err}
	}
	o := &c.conn.relay.opts
	if wish.CGO && !(o.CGO && o.SendmeIncrement > 0) {
		return wish, nil, violationf("Counter Galois Onion is asked for and not offered")
	}
	var given []handshake.Extension
	if wish.CongestionControl && o.SendmeIncrement > 0 {
		given = append(given, handshake.Extension{Type: handshake.ExtCCResponse, Body: []byte{byte(o.SendmeIncrement)}})
	}
	m := Moment{Conn: c.conn, Circuit: c, Hop: len(c.hops), Reply: handshake.AppendExtensions(nil, given...)}
	c.conn.relay.pass(AtGrant, m, func(m *Moment) { answer = m.Reply })
	return wish, answer, nil
}

// extend answers EXTEND2 (tor-spec 5.1.2): the next hop is one of this process.
func (c *Circuit) extend(cmd cell.Command, hop int, h cell.RelayHeader, data []byte) error {
	switch {
	case cmd != cell.RelayEarly:
		return violationf("EXTEND2 in a %v cell", cmd)
	case hop != len(c.hops)-1:
		return violationf("EXTEND2 to hop %d of %d", hop+1, len(c.hops))
	case h.Stream != 0:
		return violationf("EXTEND2 on stream %v", h.Stream)
	}
	request, err := cell.ParseExtend2(data)
	if err != nil {
		return &protocolError{err}
	}
	c.conn.relay.pass(AtExtend, Moment{Conn: c.conn, Circuit: c, Hop: hop}, func(*Moment) {
		err = c.answerExtend(hop, request)
	})
	return err
}

func (c *Circuit) answerExtend(hop int, request cell.Extend2) error {
	next, err := c.conn.relay.find(request.Specs)
	if err != nil {
		return err
	}
	if next == c.hops[hop].hop {
		return violationf("EXTEND2 to the hop itself")
	}
	reply, with, err := c.serveHandshake(next, request.HandshakeType, request.Handshake)
	if errors.Is(err, handshake.ErrWrongRelay) {
		return &refusedError{cell.DestroyProtocol, err}
	}
	if err != nil {
		return &protocolError{err}
	}
	c.conn.relay.seen.update(func(s *Seen) { s.Extends++ })
	// The reply comes from the old last hop: the client knows no other layer yet.
	c.conn.relay.pass(AtExtended, Moment{Conn: c.conn, Circuit: c, Hop: hop, Reply: reply}, func(m *Moment) {
		c.emit(hop, cell.RelayHeader{Cmd: cell.RelayExtended2}, cell.AppendCreated2(nil, m.Reply))
	})
	return c.addHop(next, with)
}

// find resolves link specifiers to a hop of this process.
func (r *Relay) find(specs []cell.LinkSpec) (*Hop, error) {
	var rsa, ed []byte
	addrs := 0
	for _, s := range specs {
		switch s.Type {
		case cell.LinkSpecRSA:
			rsa = s.Body
		case cell.LinkSpecEd25519:
			ed = s.Body
		case cell.LinkSpecIPv4, cell.LinkSpecIPv6:
			addrs++
		}
	}
	if rsa == nil || addrs == 0 {
		return nil, violationf("EXTEND2 without RSA identity or address")
	}
	for _, h := range r.hops {
		if id := h.RSA(); !bytes.Equal(id[:], rsa) {
			continue
		}
		if id := h.Ed25519(); ed != nil && !bytes.Equal(id[:], ed) {
			return nil, &refusedError{cell.DestroyORIdentity, errors.New("RSA and Ed25519 identities of two relays")}
		}
		return h, nil
	}
	return nil, &refusedError{cell.DestroyConnectFailed, errors.New("no such relay")}
}
