package cgo

import "crypto/subtle"

// state is one direction of one hop at one end.
type state struct {
	uiv   uiv
	nonce [TagLen]byte // N
	chain [TagLen]byte // T'
	tag   [TagLen]byte // of the last cell that was this hop's own
}

func (s *state) init(keys *[KeysLen]byte, decrypts bool) error {
	copy(s.nonce[:], keys[uivLen:])
	return s.uiv.init((*[uivLen]byte)(keys[:]), decrypts)
}

// Tag is the wire tag of the last cell that this hop originated or recognized: what a
// SENDME for it carries. It is all zeros before the first.
func (s *state) Tag() [TagLen]byte { return s.tag }

// decrypt passes a cell at the client. The chain is what lies towards the relay: what comes
// in when the cell goes away from the client, too, for the client undoes beforehand what
// the relay will do.
func (s *state) decrypt(command byte, body *[BodyLen]byte) (wire [TagLen]byte) {
	wire = [TagLen]byte(body[:])
	s.uiv.decrypt(&s.chain, command, body)
	s.chain = wire
	return wire
}

// encrypt passes a cell at the relay.
func (s *state) encrypt(command byte, body *[BodyLen]byte) {
	s.uiv.encrypt(&s.chain, command, body)
	s.chain = [TagLen]byte(body[:])
}

// own tells whether a cell carries the nonce.
func (s *state) own(body *[BodyLen]byte) bool {
	return subtle.ConstantTimeCompare(body[:TagLen], s.nonce[:]) == 1
}

// ClientForward is the client's end of what it shares with a hop, away from the client.
type ClientForward struct{ state }

// Init takes the direction's keys. It fails only on a Go build whose AES is restricted.
func (c *ClientForward) Init(keys *[KeysLen]byte) error { return c.init(keys, true) }

// Originate makes the body, whose first TagLen bytes are free, a cell of this hop's, in
// place. The hops before it are passed afterwards.
func (c *ClientForward) Originate(command byte, body *[BodyLen]byte) {
	copy(body[:], c.nonce[:])
	c.decrypt(command, body)
	c.tag = [TagLen]byte(body[:])
	c.uiv.update(&c.nonce)
}

// Pass takes a cell for a later hop past this one, in place.
func (c *ClientForward) Pass(command byte, body *[BodyLen]byte) { c.decrypt(command, body) }

// ClientBackward is the client's end towards the client.
type ClientBackward struct{ state }

// Init takes the direction's keys.
func (c *ClientBackward) Init(keys *[KeysLen]byte) error { return c.init(keys, true) }

// Receive takes this hop's layer off a cell, in place, and tells whether the hop sent it; if
// not, the next hop may have.
func (c *ClientBackward) Receive(command byte, body *[BodyLen]byte) (recognized bool) {
	wire := c.decrypt(command, body)
	if !c.own(body) {
		return false
	}
	c.tag, c.nonce = wire, wire
	c.uiv.update(&c.nonce)
	return true
}

// RelayForward is a relay's end away from the client. chive is no relay: the relays' half is
// for test relays and for the proof that both ends agree.
type RelayForward struct{ state }

// Init takes the direction's keys.
func (r *RelayForward) Init(keys *[KeysLen]byte) error { return r.init(keys, false) }

// Receive puts this hop's layer on a cell from the client, in place, and tells whether that
// made it a cell for this hop; if not, the body is for the next.
func (r *RelayForward) Receive(command byte, body *[BodyLen]byte) (recognized bool) {
	wire := [TagLen]byte(body[:])
	r.encrypt(command, body)
	if !r.own(body) {
		return false
	}
	r.tag = wire
	r.uiv.update(&r.nonce)
	return true
}

// RelayBackward is a relay's end towards the client.
type RelayBackward struct{ state }

// Init takes the direction's keys.
func (r *RelayBackward) Init(keys *[KeysLen]byte) error { return r.init(keys, false) }

// Originate makes the body, whose first TagLen bytes are free, a cell that this hop sends,
// in place.
func (r *RelayBackward) Originate(command byte, body *[BodyLen]byte) {
	copy(body[:], r.nonce[:])
	r.encrypt(command, body)
	r.tag, r.nonce = r.chain, r.chain
	r.uiv.update(&r.nonce)
}

// Pass puts this hop's layer on a cell that a later hop sent, in place.
func (r *RelayBackward) Pass(command byte, body *[BodyLen]byte) { r.encrypt(command, body) }
