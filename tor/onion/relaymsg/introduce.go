package relaymsg

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/crypto/cryptobyte"

	"chive/tor/cell"
	"chive/tor/handshake"
)

const legacyIDLen = 20

// minIntroduce is the length up to which C tor pads header and plaintext of an
// INTRODUCE1, before the handshake adds its 64 bytes.
const minIntroduce = 246

// Request is what a client tells the service through the introduction point,
// unreadable to that relay (rend-spec-v3 section 3.3).
type Request struct {
	Cookie     Cookie
	Extensions []Extension     // ascending by type, each type once
	OnionKey   [32]byte        // ntor key of the rendezvous point
	Specs      []cell.LinkSpec // name the rendezvous point; for EXTEND2, verbatim
}

// Extension is the body of the first extension of a type.
func (r *Request) Extension(kind uint8) ([]byte, bool) { return find(r.Extensions, kind) }

func (r *Request) append(dst []byte) ([]byte, error) {
	dst = append(dst, r.Cookie[:]...)
	dst, err := appendExtensions(dst, r.Extensions)
	if err != nil {
		return nil, err
	}
	dst = append(dst, onionKeyNtor, 0, byte(len(r.OnionKey)))
	dst = append(dst, r.OnionKey[:]...)
	return cell.AppendLinkSpecs(dst, r.Specs)
}

// ParseRequest reads the opened part of an INTRODUCE2 and ignores the padding.
// Slices alias data. Errors: ErrMalformed, those of link specifiers. A zero onion
// key is refused; low-order ones end in the handshake.
func ParseRequest(data []byte) (*Request, error) {
	s := cryptobyte.String(data)
	r := new(Request)
	if !s.CopyBytes(r.Cookie[:]) {
		return nil, fmt.Errorf("introduction request: %w", ErrMalformed)
	}
	var ok bool
	if r.Extensions, ok = readExtensions(&s); !ok {
		return nil, fmt.Errorf("introduction request: extensions: %w", ErrMalformed)
	}
	var kind uint8
	var key cryptobyte.String
	if !s.ReadUint8(&kind) || kind != onionKeyNtor || !s.ReadUint16LengthPrefixed(&key) || len(key) != len(r.OnionKey) {
		return nil, fmt.Errorf("introduction request: onion key: %w", ErrMalformed)
	}
	copy(r.OnionKey[:], key)
	specs, _, err := cell.ParseLinkSpecs(s)
	if err != nil {
		return nil, fmt.Errorf("introduction request: %w", err)
	}
	if r.OnionKey == [32]byte{} || len(specs) == 0 {
		return nil, fmt.Errorf("introduction request: no rendezvous point: %w", ErrMalformed)
	}
	r.Specs = specs
	return r, nil
}

// Introduce1 makes an INTRODUCE1 message: the request, padded as C tor does and
// sealed with the handshake, which is to this introduction point's authentication
// key. Errors: ErrTooLong, those of link specifiers.
func Introduce1(h *handshake.HSNtor, authKey [32]byte, r *Request) ([]byte, error) {
	header := appendAuthKey(make([]byte, legacyIDLen), authKey)
	header = append(header, 0) // no extension is readable to the relay
	plain, err := r.append(nil)
	if err != nil {
		return nil, fmt.Errorf("INTRODUCE1: %w", err)
	}
	if pad := minIntroduce - len(header) - len(plain); pad > 0 {
		plain = append(plain, make([]byte, pad)...)
	}
	if n := len(header) + len(plain) + handshake.HSNtorOverhead; n > maxData {
		return nil, fmt.Errorf("INTRODUCE1 of %d bytes: %w", n, ErrTooLong)
	}
	return append(header, h.Seal(header, plain)...), nil
}

// Introduce2 is an INTRODUCE1 or INTRODUCE2 message: they are the same. Its slices
// alias the data it was read from.
type Introduce2 struct {
	AuthKey   [32]byte // which introduction circuit it is for
	Header    []byte   // what the handshake authenticates beside Encrypted
	Encrypted []byte   // for HSNtorService.Open
}

// ParseIntroduce2 reads the readable part. A service compares AuthKey with its
// circuit's, remembers Encrypted against replay and opens it; then ParseRequest
// reads what was inside. Error: ErrMalformed.
func ParseIntroduce2(data []byte) (Introduce2, error) {
	s := cryptobyte.String(data)
	var m Introduce2
	var legacy [legacyIDLen]byte
	if !s.CopyBytes(legacy[:]) || legacy != [legacyIDLen]byte{} {
		return m, fmt.Errorf("INTRODUCE2: %w", ErrMalformed)
	}
	var ok bool
	if m.AuthKey, ok = readAuthKey(&s); !ok {
		return m, fmt.Errorf("INTRODUCE2: %w", ErrMalformed)
	}
	if _, ok = readExtensions(&s); !ok || len(s) < handshake.HSNtorOverhead {
		return m, fmt.Errorf("INTRODUCE2: %w", ErrMalformed)
	}
	m.Header, m.Encrypted = data[:len(data)-len(s)], s
	return m, nil
}

// AckStatus is the introduction point's answer to a client.
type AckStatus uint16

// The statuses of rend-spec-v3 section 3.2.2.
const (
	AckSuccess   AckStatus = 0 // passed on to the service
	AckUnknownID AckStatus = 1 // no service with this authentication key here
	AckBadFormat AckStatus = 2
	AckCantRelay AckStatus = 3
)

// String is the status in words.
func (s AckStatus) String() string {
	switch s {
	case AckSuccess:
		return "passed on"
	case AckUnknownID:
		return "no such service here"
	case AckBadFormat:
		return "bad message format"
	case AckCantRelay:
		return "cannot pass it on"
	}
	return "status " + strconv.Itoa(int(s))
}

// AppendIntroduceAck makes an INTRODUCE_ACK message.
func AppendIntroduceAck(dst []byte, s AckStatus) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(s)), 0)
}

// ParseIntroduceAck reads an INTRODUCE_ACK message.
func ParseIntroduceAck(data []byte) (AckStatus, error) {
	s := cryptobyte.String(data)
	var status uint16
	if !s.ReadUint16(&status) {
		return 0, fmt.Errorf("INTRODUCE_ACK: %w", ErrMalformed)
	}
	if _, ok := readExtensions(&s); !ok {
		return 0, fmt.Errorf("INTRODUCE_ACK: %w", ErrMalformed)
	}
	return AckStatus(status), nil
}
