package relaycrypto

import (
	"fmt"

	"chive/tor/handshake"
	"chive/tor/keccak"
)

// NewClientRendezvousLayer is a client's layer to the onion service that it met
// at a rendezvous point: one more hop after that relay, with AES-256 and SHA3-256
// (rend-spec-v3 section 4.2.1). Its tags are the first 20 bytes of the digest.
// It fails only on a Go build whose cryptography is restricted.
func NewClientRendezvousLayer(keys handshake.HSKeyMaterial) (*Layer, error) {
	return newRendezvousLayer(keys.Kf, keys.Df, keys.Kb, keys.Db)
}

// NewServiceRendezvousLayer is the service's end of the same: away from the
// service is towards the client, so the directions change places.
func NewServiceRendezvousLayer(keys handshake.HSKeyMaterial) (*Layer, error) {
	return newRendezvousLayer(keys.Kb, keys.Db, keys.Kf, keys.Df)
}

func newRendezvousLayer(outKey, outSeed, inKey, inSeed [32]byte) (*Layer, error) {
	l := new(tor1Layer)
	if err := l.forward.init(outKey[:], keccak.New256(), outSeed[:]); err != nil {
		return nil, fmt.Errorf("rendezvous layer, forward: %w", err)
	}
	if err := l.backward.init(inKey[:], keccak.New256(), inSeed[:]); err != nil {
		return nil, fmt.Errorf("rendezvous layer, backward: %w", err)
	}
	return &Layer{tor1: l}, nil
}
