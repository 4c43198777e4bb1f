package relaymsg

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/crypto/cryptobyte"

	"chive/tor/handshake"
)

const establishPrefix = "Tor establish-intro cell v1"

// Cookie names one meeting at a rendezvous point.
type Cookie [20]byte

// DoSParams asks an introduction point to slow INTRODUCE2 down (rend-spec-v3
// section 3.1.1.1), in cells a second. Zero in either turns the defence off.
type DoSParams struct{ Rate, Burst uint32 }

func (p DoSParams) check() error {
	if p.Rate > math.MaxInt32 || p.Burst > math.MaxInt32 {
		return fmt.Errorf("%w: introduction rate %d and burst %d, at most %d", ErrMalformed, p.Rate, p.Burst, math.MaxInt32)
	}
	if p.Rate > 0 && p.Burst > 0 && p.Burst < p.Rate {
		return fmt.Errorf("%w: introduction burst %d is below the rate %d", ErrMalformed, p.Burst, p.Rate)
	}
	return nil
}

func (p DoSParams) extension() Extension {
	b := []byte{2, 1}
	b = binary.BigEndian.AppendUint64(b, uint64(p.Rate))
	b = append(b, 2)
	return Extension{Type: extDoS, Body: binary.BigEndian.AppendUint64(b, uint64(p.Burst))}
}

// parseDoS reads the parameters; unknown ones are ignored.
func parseDoS(body []byte) (*DoSParams, error) {
	s := cryptobyte.String(body)
	var count uint8
	if !s.ReadUint8(&count) {
		return nil, fmt.Errorf("%w: denial-of-service parameters", ErrMalformed)
	}
	p := new(DoSParams)
	for range count {
		var kind uint8
		var value uint64
		if !s.ReadUint8(&kind) || !s.ReadUint64(&value) {
			return nil, fmt.Errorf("%w: denial-of-service parameters", ErrMalformed)
		}
		if dst := map[uint8]*uint32{1: &p.Rate, 2: &p.Burst}[kind]; dst != nil {
			*dst = uint32(min(value, math.MaxUint32)) // what is cut is above the limit still
		}
	}
	return p, p.check()
}

// EstablishIntro is an ESTABLISH_INTRO message.
type EstablishIntro struct {
	AuthKey [32]byte   // names the introduction circuit from now on (KP_hs_ipt_sid)
	DoS     *DoSParams // nil: the relay's own; only for relays with HSIntro=5
}

// AppendEstablishIntro makes the message for the circuit whose last hop's
// handshake gave kh. Errors: ErrMalformed for parameters out of range.
func AppendEstablishIntro(dst []byte, authKey ed25519.PrivateKey, kh [20]byte, dos *DoSParams) ([]byte, error) {
	start := len(dst)
	dst = appendAuthKey(dst, [32]byte(authKey.Public().(ed25519.PublicKey)))
	var extensions []Extension
	if dos != nil {
		if err := dos.check(); err != nil {
			return nil, err
		}
		extensions = append(extensions, dos.extension())
	}
	dst, err := appendExtensions(dst, extensions)
	if err != nil {
		return nil, err
	}
	mac := handshake.HSMAC(kh[:], dst[start:])
	dst = append(dst, mac[:]...)
	signature := ed25519.Sign(authKey, append([]byte(establishPrefix), dst[start:]...))
	dst = append(dst, 0, ed25519.SignatureSize)
	return append(dst, signature...), nil
}

// ParseEstablishIntro is the relay's half: it checks the MAC and the signature.
// Errors: ErrMalformed, ErrAuth.
func ParseEstablishIntro(data []byte, kh [20]byte) (EstablishIntro, error) {
	s := cryptobyte.String(data)
	var e EstablishIntro
	var ok bool
	if e.AuthKey, ok = readAuthKey(&s); !ok {
		return e, fmt.Errorf("ESTABLISH_INTRO: %w", ErrMalformed)
	}
	extensions, ok := readExtensions(&s)
	authenticated := data[:len(data)-len(s)]
	var mac [32]byte
	if !ok || !s.CopyBytes(mac[:]) {
		return e, fmt.Errorf("ESTABLISH_INTRO: %w", ErrMalformed)
	}
	signed := data[:len(data)-len(s)]
	var signature cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&signature) || len(signature) != ed25519.SignatureSize {
		return e, fmt.Errorf("ESTABLISH_INTRO: %w", ErrMalformed)
	}
	want := handshake.HSMAC(kh[:], authenticated)
	if subtle.ConstantTimeCompare(want[:], mac[:]) != 1 ||
		!ed25519.Verify(e.AuthKey[:], append([]byte(establishPrefix), signed...), signature) {
		return e, fmt.Errorf("ESTABLISH_INTRO: %w", ErrAuth)
	}
	if body, found := find(extensions, extDoS); found {
		dos, err := parseDoS(body)
		if err != nil {
			return e, fmt.Errorf("ESTABLISH_INTRO: %w", err)
		}
		e.DoS = dos
	}
	return e, nil
}

// AppendIntroEstablished makes an INTRO_ESTABLISHED message.
func AppendIntroEstablished(dst []byte) []byte { return append(dst, 0) }

// ParseIntroEstablished checks an INTRO_ESTABLISHED message; old relays sent an
// empty one. Its extensions mean nothing yet.
func ParseIntroEstablished(data []byte) error {
	s := cryptobyte.String(data)
	if len(s) == 0 {
		return nil
	}
	if _, ok := readExtensions(&s); !ok {
		return fmt.Errorf("INTRO_ESTABLISHED: %w", ErrMalformed)
	}
	return nil
}

// AppendEstablishRend makes an ESTABLISH_RENDEZVOUS message. The answer,
// RENDEZVOUS_ESTABLISHED, is empty, and whatever it carries is ignored.
func AppendEstablishRend(dst []byte, cookie Cookie) []byte { return append(dst, cookie[:]...) }

// ParseEstablishRend is the relay's half. Bytes after the cookie are ignored.
func ParseEstablishRend(data []byte) (Cookie, error) {
	if len(data) < len(Cookie{}) {
		return Cookie{}, fmt.Errorf("ESTABLISH_RENDEZVOUS: %w", ErrMalformed)
	}
	return Cookie(data), nil
}
