package relaymsg

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"chive/tor/cell"
)

// Errors of this package; callers match them with errors.Is.
var (
	// ErrMalformed: the data is not such a message.
	ErrMalformed = errors.New("malformed message")
	// ErrAuth: a MAC or signature is wrong.
	ErrAuth = errors.New("message not authenticated")
	// ErrTooLong: the message would not fit into one relay cell.
	ErrTooLong = errors.New("message does not fit into a relay cell")
)

const (
	authKeyEd25519 = 2 // AUTH_KEY_TYPE
	onionKeyNtor   = 1 // ONION_KEY_TYPE

	// maxData is what the smaller of the two relay cell formats carries without
	// a stream.
	maxData = min(cell.MaxRelayData, 490)
)

// Extension is one extension field. What it means depends on the message.
type Extension struct {
	Type uint8
	Body []byte
}

// The extensions of the sealed part of INTRODUCE1 (the numbers are those of the
// ntor-v3 handshake, proposal 358).
const (
	ExtCongestionControl uint8 = 1 // empty: the client wants congestion control
	ExtProofOfWork       uint8 = 2 // a proof, package pow
)

// extDoS is the extension of ESTABLISH_INTRO.
const extDoS uint8 = 1

// find is the first extension of a type, as a repeated one counts once.
func find(list []Extension, kind uint8) ([]byte, bool) {
	for _, e := range list {
		if e.Type == kind {
			return e.Body, true
		}
	}
	return nil, false
}

func appendExtensions(dst []byte, list []Extension) ([]byte, error) {
	if len(list) > 0xff {
		return nil, fmt.Errorf("%w: %d extensions", ErrTooLong, len(list))
	}
	dst = append(dst, byte(len(list)))
	for _, e := range list {
		if len(e.Body) > 0xff {
			return nil, fmt.Errorf("%w: extension %d of %d bytes", ErrTooLong, e.Type, len(e.Body))
		}
		dst = append(dst, e.Type, byte(len(e.Body)))
		dst = append(dst, e.Body...)
	}
	return dst, nil
}

// readExtensions reads the count and the fields. Bodies alias the data.
func readExtensions(s *cryptobyte.String) ([]Extension, bool) {
	var count uint8
	if !s.ReadUint8(&count) {
		return nil, false
	}
	var list []Extension
	for range count {
		var e Extension
		if !s.ReadUint8(&e.Type) || !s.ReadUint8LengthPrefixed((*cryptobyte.String)(&e.Body)) {
			return nil, false
		}
		list = append(list, e)
	}
	return list, true
}

// readAuthKey reads AUTH_KEY_TYPE, AUTH_KEY_LEN and AUTH_KEY.
func readAuthKey(s *cryptobyte.String) (key [32]byte, ok bool) {
	var kind uint8
	var body cryptobyte.String
	ok = s.ReadUint8(&kind) && kind == authKeyEd25519 && s.ReadUint16LengthPrefixed(&body) && len(body) == len(key)
	copy(key[:], body)
	return key, ok
}

func appendAuthKey(dst []byte, key [32]byte) []byte {
	dst = append(dst, authKeyEd25519, 0, byte(len(key)))
	return append(dst, key[:]...)
}
