package relaycrypto

import (
	"fmt"

	"chive/tor/cell"
	"chive/tor/cgo"
	"chive/tor/handshake"
)

// RelayLayer is a relay's end of the layer it shares with the client. chive is no
// relay: this serves test relays and the proofs that both ends agree.
type RelayLayer struct {
	tor1 *tor1Layer
	cgo  *cgoRelayLayer
}

type cgoRelayLayer struct {
	forward  cgo.RelayForward
	backward cgo.RelayBackward
}

// NewRelayLayer makes a relay's layer from the keys of one served handshake.
func NewRelayLayer(keys handshake.KeyMaterial) (*RelayLayer, error) {
	l, err := newTor1(keys)
	return &RelayLayer{tor1: l}, err
}

// NewCGORelayLayer makes a relay's layer of Counter Galois Onion.
func NewCGORelayLayer(keys *handshake.CGOKeyMaterial) (*RelayLayer, error) {
	l := new(cgoRelayLayer)
	if err := l.forward.Init(&keys.Forward); err != nil {
		return nil, fmt.Errorf("forward layer: %w", err)
	}
	if err := l.backward.Init(&keys.Backward); err != nil {
		return nil, fmt.Errorf("backward layer: %w", err)
	}
	return &RelayLayer{cgo: l}, nil
}

// Format is how the hop's messages lie in its cells.
func (r *RelayLayer) Format() cell.RelayFormat {
	if r.cgo != nil {
		return cell.RelayV1
	}
	return cell.RelayV0
}

// Receive takes this hop's layer off a cell that travels away from the client, in
// place, and tells whether the cell is for this hop; if so the body is plaintext in
// the hop's format. If not, it is what the next hop must receive (tor-spec 5.5.2.2).
func (r *RelayLayer) Receive(command cell.Command, body []byte) (recognized bool) {
	b := fixed(body)
	if r.cgo != nil {
		return r.cgo.forward.Receive(byte(command), b)
	}
	r.tor1.forward.crypt(b)
	return r.tor1.forward.recognizes(body)
}

// Originate makes a plaintext body a cell that this hop sends to the client and puts
// its layer on it, in place. The hops before it put theirs on with Pass.
func (r *RelayLayer) Originate(command cell.Command, body []byte) {
	b := fixed(body)
	if r.cgo != nil {
		r.cgo.backward.Originate(byte(command), b)
		return
	}
	r.tor1.backward.take(body)
	r.tor1.backward.stamp(body)
	r.tor1.backward.crypt(b)
}

// Pass puts this hop's layer on a cell that a later hop originated, in place
// (tor-spec 5.5.3.1).
func (r *RelayLayer) Pass(command cell.Command, body []byte) {
	b := fixed(body)
	if r.cgo != nil {
		r.cgo.backward.Pass(byte(command), b)
		return
	}
	r.tor1.backward.crypt(b)
}

// ForwardTag is the tag of the last cell this hop recognized: what its SENDME carries
// if it acknowledges that cell.
func (r *RelayLayer) ForwardTag() Tag {
	if r.cgo != nil {
		tag := r.cgo.forward.Tag()
		return tagOf(tag[:])
	}
	return tagOf(r.tor1.forward.tag[:])
}

// BackwardTag is the tag of the last cell this hop originated: what the client's
// SENDME must carry if it acknowledges that cell.
func (r *RelayLayer) BackwardTag() Tag {
	if r.cgo != nil {
		tag := r.cgo.backward.Tag()
		return tagOf(tag[:])
	}
	return tagOf(r.tor1.backward.tag[:])
}
