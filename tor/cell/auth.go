package cell

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// CertEntry is one certificate of a CERTS cell: its type (tor-spec section
// 4.2) and its bytes.
type CertEntry struct {
	Type uint8
	Body []byte
}

// ParseCerts reads the body of a CERTS cell. Unknown types are kept; what
// follows the last certificate is ignored. The entries alias body. Neither
// duplicates nor the certificates themselves are judged here.
func ParseCerts(body []byte) ([]CertEntry, error) {
	s := cryptobyte.String(body)
	var count uint8
	if !s.ReadUint8(&count) {
		return nil, fmt.Errorf("CERTS: %w", ErrTruncated)
	}
	entries := make([]CertEntry, 0, min(int(count), len(s)/3))
	for range count {
		var entry CertEntry
		var der cryptobyte.String
		if !s.ReadUint8(&entry.Type) || !s.ReadUint16LengthPrefixed(&der) {
			return nil, fmt.Errorf("CERTS: %w", ErrTruncated)
		}
		entry.Body = der
		entries = append(entries, entry)
	}
	return entries, nil
}

// AppendCerts appends the body of a CERTS cell. It panics on more than 255
// entries or a certificate over 65535 bytes.
func AppendCerts(dst []byte, entries []CertEntry) []byte {
	if len(entries) > 0xff {
		panic("cell: too many certificates")
	}
	dst = append(dst, byte(len(entries)))
	for _, e := range entries {
		if len(e.Body) > 0xffff {
			panic("cell: certificate too long")
		}
		dst = append(dst, e.Type)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Body)))
		dst = append(dst, e.Body...)
	}
	return dst
}

// AuthChallengeBody is an AUTH_CHALLENGE cell (tor-spec section 4.3).
type AuthChallengeBody struct {
	Challenge [32]byte
	Methods   []uint16
}

// ParseAuthChallenge reads the body of an AUTH_CHALLENGE cell and ignores what
// follows it.
func ParseAuthChallenge(body []byte) (AuthChallengeBody, error) {
	s := cryptobyte.String(body)
	var c AuthChallengeBody
	var count uint16
	if !s.CopyBytes(c.Challenge[:]) || !s.ReadUint16(&count) || len(s) < 2*int(count) {
		return AuthChallengeBody{}, fmt.Errorf("AUTH_CHALLENGE: %w", ErrTruncated)
	}
	c.Methods = make([]uint16, count)
	for i := range c.Methods {
		s.ReadUint16(&c.Methods[i])
	}
	return c, nil
}

// AppendAuthChallenge appends the body of an AUTH_CHALLENGE cell.
func AppendAuthChallenge(dst []byte, c AuthChallengeBody) []byte {
	dst = append(dst, c.Challenge[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Methods)))
	for _, m := range c.Methods {
		dst = binary.BigEndian.AppendUint16(dst, m)
	}
	return dst
}
