package cert

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Type is the type of a certificate, one numbering for CERTS cells (tor-spec
// section 4.2) and Ed25519 certificates (cert-spec appendix A.1).
type Type uint8

// The types of cert-spec appendix A.1.
const (
	TypeRSALink         Type = 1 // X.509, obsolete
	TypeRSAIdentity     Type = 2 // X.509, self-signed
	TypeRSAAuth         Type = 3 // X.509, obsolete
	TypeIdentitySigning Type = 4 // identity key certifies signing key
	TypeSigningLink     Type = 5 // signing key certifies TLS certificate
	TypeSigningAuth     Type = 6 // signing key certifies AUTHENTICATE key
	TypeRSACross        Type = 7 // RSA identity certifies Ed25519 identity
	TypeHSSigning       Type = 8
	TypeHSIntroAuth     Type = 9
	TypeNtorCross       Type = 10
	TypeHSIntroEnc      Type = 11
)

// String names the types of a CERTS cell; others are numbers.
func (t Type) String() string {
	switch t {
	case TypeRSALink:
		return "RSA link certificate (type 1)"
	case TypeRSAIdentity:
		return "RSA identity certificate (type 2)"
	case TypeRSAAuth:
		return "RSA authentication certificate (type 3)"
	case TypeIdentitySigning:
		return "identity-signing certificate (type 4)"
	case TypeSigningLink:
		return "signing-link certificate (type 5)"
	case TypeSigningAuth:
		return "signing-authentication certificate (type 6)"
	case TypeRSACross:
		return "RSA-Ed25519 cross certificate (type 7)"
	}
	return "certificate type " + strconv.Itoa(int(t))
}

// KeyType says what the certified 32 bytes are (cert-spec appendix A.4). Old
// versions of Tor wrote KeyEd25519 whatever they certified.
type KeyType uint8

// The key types of cert-spec appendix A.4.
const (
	KeyEd25519    KeyType = 1
	KeyRSASHA256  KeyType = 2
	KeyX509SHA256 KeyType = 3
)

const (
	extSignedWith        = 4
	extAffectsValidation = 1
	hour                 = 3600 // seconds

	// maxEd25519Len bounds a certificate: the fixed 40 bytes, the signature,
	// and room for extensions (the only known one takes 36 bytes).
	maxEd25519Len = 4096
)

// Ed25519 is a parsed compact certificate (cert-spec section 2.1). Only
// [Ed25519.Verify] says anything about whether to believe it.
type Ed25519 struct {
	Type    Type
	Expires time.Time // whole hours, UTC; valid up to and including it
	KeyType KeyType
	Key     [32]byte // the certified key or digest

	// SignedWith is the signing key that the certificate names (extension
	// 04), if HasSignedWith.
	SignedWith    [32]byte
	HasSignedWith bool

	signed    []byte
	signature [ed25519.SignatureSize]byte
}

// ParseEd25519 parses a certificate that takes up the whole of b. It keeps a
// reference to b. An unknown extension that affects validation is refused with
// ErrExtension, anything else with ErrMalformed.
func ParseEd25519(b []byte) (*Ed25519, error) {
	if len(b) > maxEd25519Len {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	s := cryptobyte.String(b)
	var version, kind, keyType, extensions uint8
	var hours uint32
	c := new(Ed25519)
	if !s.ReadUint8(&version) || version != 1 {
		return nil, fmt.Errorf("%w: not version 1", ErrMalformed)
	}
	if !s.ReadUint8(&kind) || !s.ReadUint32(&hours) || !s.ReadUint8(&keyType) ||
		!s.CopyBytes(c.Key[:]) || !s.ReadUint8(&extensions) {
		return nil, fmt.Errorf("%w: truncated", ErrMalformed)
	}
	c.Type, c.KeyType, c.Expires = Type(kind), KeyType(keyType), expiry(hours)
	for range extensions {
		if err := c.readExtension(&s); err != nil {
			return nil, err
		}
	}
	if len(s) != len(c.signature) {
		return nil, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(s))
	}
	c.signed = b[:len(b)-len(s)]
	copy(c.signature[:], s)
	return c, nil
}

func (c *Ed25519) readExtension(s *cryptobyte.String) error {
	var length uint16
	var kind, flags uint8
	var data []byte
	if !s.ReadUint16(&length) || !s.ReadUint8(&kind) || !s.ReadUint8(&flags) || !s.ReadBytes(&data, int(length)) {
		return fmt.Errorf("%w: truncated extension", ErrMalformed)
	}
	switch {
	case kind == extSignedWith && c.HasSignedWith:
		return fmt.Errorf("%w: two signed-with extensions", ErrMalformed)
	case kind == extSignedWith && len(data) != len(c.SignedWith):
		return fmt.Errorf("%w: signed-with extension of %d bytes", ErrMalformed, len(data))
	case kind == extSignedWith:
		copy(c.SignedWith[:], data)
		c.HasSignedWith = true
	case flags&extAffectsValidation != 0:
		return fmt.Errorf("%w: extension type %d", ErrExtension, kind)
	}
	return nil
}

// Verify checks that signer signed the certificate, that a signed-with
// extension, if there is one, names that same key, and that it is not expired
// at now. The caller checks Type and what is certified.
func (c *Ed25519) Verify(signer [32]byte, now time.Time) error {
	if c.HasSignedWith && c.SignedWith != signer {
		return fmt.Errorf("%v names another signing key: %w", c.Type, ErrKey)
	}
	if signer == [32]byte{} || !ed25519.Verify(signer[:], c.signed, c.signature[:]) {
		return fmt.Errorf("%v: %w", c.Type, ErrSignature)
	}
	if now.After(c.Expires) {
		return &ExpiredError{Name: c.Type.String(), NotAfter: c.Expires, Now: now}
	}
	return nil
}

// SignEd25519 makes a certificate over c's Type, Expires (rounded up to a whole
// hour), KeyType and Key; if c.HasSignedWith, it names signer's public key,
// whatever c.SignedWith is.
func SignEd25519(signer ed25519.PrivateKey, c Ed25519) []byte {
	public := [32]byte(signer.Public().(ed25519.PublicKey))
	return SignEd25519With(public, func(b []byte) [ed25519.SignatureSize]byte {
		return [ed25519.SignatureSize]byte(ed25519.Sign(signer, b))
	}, c)
}

// SignEd25519With is SignEd25519 for keys that are not in crypto/ed25519's form,
// as the blinded keys of onion services: sign signs with the key whose public part
// is public.
func SignEd25519With(public [32]byte, sign func(message []byte) [ed25519.SignatureSize]byte, c Ed25519) []byte {
	b := []byte{1, byte(c.Type)}
	b = binary.BigEndian.AppendUint32(b, expiryHours(c.Expires))
	b = append(b, byte(c.KeyType))
	b = append(b, c.Key[:]...)
	if c.HasSignedWith {
		b = append(b, 1, 0, 32, extSignedWith, 0)
		b = append(b, public[:]...)
	} else {
		b = append(b, 0)
	}
	signature := sign(b)
	return append(b, signature[:]...)
}

func expiry(hours uint32) time.Time { return time.Unix(int64(hours)*hour, 0).UTC() }

func expiryHours(t time.Time) uint32 {
	hours := (t.Unix() + hour - 1) / hour
	return uint32(min(max(hours, 0), math.MaxUint32))
}
