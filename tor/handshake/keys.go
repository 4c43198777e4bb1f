package handshake

import (
	"errors"
	"fmt"
)

// Handshake types as numbered in CREATE2 and EXTEND2 cells (tor-spec 5.1,
// proposal 332 for ntor3).
const (
	TypeTAP   uint16 = 0
	TypeNtor  uint16 = 2
	TypeNtor3 uint16 = 3
)

// Errors of both handshakes; callers match them with errors.Is.
var (
	// ErrAuth means that the peer's proof is wrong: it does not hold the onion
	// key we asked for, or the reply was changed on the way.
	ErrAuth = errors.New("handshake authentication failed")
	// ErrShort means that a message is shorter than its fixed length.
	ErrShort = errors.New("handshake message too short")
	// ErrLowOrder means that a peer's curve25519 point makes the shared secret
	// the same for every key (the "point at infinity" of tor-spec 5.1.4).
	ErrLowOrder = errors.New("handshake with a low-order curve point")
	// ErrWrongRelay means that an onionskin names an identity or an onion key
	// that the serving relay does not have.
	ErrWrongRelay = errors.New("onionskin is for another relay or onion key")
	// ErrSpent means that Finish was called a second time.
	ErrSpent = errors.New("handshake already finished")
)

// KeyMaterial is what one hop's handshake yields (tor-spec 5.2): digest seeds and
// AES-128 keys, "forward" meaning away from the client. KH is the value that binds
// the circuit to its handshake (the rendezvous and introduction protocols use it;
// for CREATE_FAST it has already served as the relay's proof).
//
// It is a secret: it prints as "[redacted]" and ought to be wiped once a layer has
// been built from it.
type KeyMaterial struct {
	Df, Db [20]byte
	Kf, Kb [16]byte
	KH     [20]byte
}

// KeyMaterialLen is the number of bytes a KDF must yield for one KeyMaterial.
const KeyMaterialLen = 20 + 20 + 16 + 16 + 20

// Wipe overwrites the keys with zeroes. Best effort: copies made by the caller or
// by the runtime are out of reach.
func (k *KeyMaterial) Wipe() { *k = KeyMaterial{} }

// Format implements fmt.Formatter so that no verb can print a key.
func (KeyMaterial) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// CGOKeyMaterial is what a handshake yields for a hop with Counter Galois Onion (proposal
// 359): the keys of either direction, as package cgo takes them, and KH as in KeyMaterial.
// It is a secret like that.
type CGOKeyMaterial struct {
	Forward, Backward [cgoKeysLen]byte
	KH                [20]byte
}

const (
	cgoKeysLen = 80
	// CGOKeyMaterialLen is the number of bytes a KDF must yield for one CGOKeyMaterial.
	CGOKeyMaterialLen = 2*cgoKeysLen + 20
)

// Wipe overwrites the keys with zeroes, as far as that goes.
func (k *CGOKeyMaterial) Wipe() { *k = CGOKeyMaterial{} }

// Format implements fmt.Formatter so that no verb can print a key.
func (CGOKeyMaterial) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// CGOKeyMaterialOf cuts a key stream of ntor-v3.
func CGOKeyMaterialOf(k *[CGOKeyMaterialLen]byte) (m CGOKeyMaterial) {
	copy(m.Forward[:], k[0:])
	copy(m.Backward[:], k[cgoKeysLen:])
	copy(m.KH[:], k[2*cgoKeysLen:])
	return m
}

// KeyMaterialOf cuts a key stream of ntor or ntor-v3: Df, Db, Kf, Kb, KH (tor-spec 5.2.2).
func KeyMaterialOf(k *[KeyMaterialLen]byte) (m KeyMaterial) {
	copy(m.Df[:], k[0:])
	copy(m.Db[:], k[20:])
	copy(m.Kf[:], k[40:])
	copy(m.Kb[:], k[56:])
	copy(m.KH[:], k[72:])
	return m
}

// keysFast cuts the output of KDF-TOR: KH, Df, Db, Kf, Kb (tor-spec 5.2.1).
func keysFast(k *[KeyMaterialLen]byte) (m KeyMaterial) {
	copy(m.KH[:], k[0:])
	copy(m.Df[:], k[20:])
	copy(m.Db[:], k[40:])
	copy(m.Kf[:], k[60:])
	copy(m.Kb[:], k[76:])
	return m
}
