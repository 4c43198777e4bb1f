package relaycrypto

import (
	"crypto/sha1"

	"chive/tor/handshake"
)

// RelayLayer is a relay's end of the layer it shares with the client. chive is no
// relay: this serves test relays and the proofs that both ends agree.
type RelayLayer struct {
	layer Layer
}

// NewRelayLayer makes a relay's layer from the keys of one served handshake.
func NewRelayLayer(keys handshake.KeyMaterial) (*RelayLayer, error) {
	l, err := NewLayer(keys)
	if err != nil {
		return nil, err
	}
	return &RelayLayer{layer: *l}, nil
}

// DecryptForward removes this hop's layer from a cell that travels away from the
// client, in place, and tells whether the cell is for this hop; if so recognized
// and digest are zero. If not, the body is what the next hop must receive
// (tor-spec 5.5.2.2).
func (r *RelayLayer) DecryptForward(body []byte) (recognized bool) {
	checkLen(body)
	r.layer.forward.crypt(body)
	return r.layer.forward.recognizes(body)
}

// Originate stamps a plaintext cell that this hop sends to the client and adds
// this hop's layer, in place. The hops before it add theirs with EncryptBackward.
func (r *RelayLayer) Originate(body []byte) {
	checkLen(body)
	r.layer.backward.stamp(body)
	r.layer.backward.crypt(body)
}

// EncryptBackward adds this hop's layer to a cell that a later hop originated, in
// place (tor-spec 5.5.3.1).
func (r *RelayLayer) EncryptBackward(body []byte) {
	checkLen(body)
	r.layer.backward.crypt(body)
}

// ForwardTag is the full running digest after the last cell this hop recognized:
// what its SENDME carries if it acknowledges that cell.
func (r *RelayLayer) ForwardTag() [sha1.Size]byte { return r.layer.forward.tag }

// BackwardTag is the full running digest after the last cell this hop originated:
// what the client's SENDME must carry if it acknowledges that cell.
func (r *RelayLayer) BackwardTag() [sha1.Size]byte { return r.layer.backward.tag }
