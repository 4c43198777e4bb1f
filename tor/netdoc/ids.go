package netdoc

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Digest is a SHA-1 digest of a DER-encoded RSA key: what names a relay ("RSA identity"), an authority
// ("v3 identity") or an authority's signing key.
type Digest [20]byte

// Ed25519ID is a relay's Ed25519 master identity key (tor-spec 1.1).
type Ed25519ID [32]byte

// MDDigest is the SHA-256 digest of a microdescriptor's text (dir-spec 3.9.2, the "m" line).
type MDDigest [32]byte

// KeyID names one authority certificate: an authority identity and the signing key it certifies. It is the pair
// a client asks for with "/tor/keys/fp-sk/" (dir-spec B.1).
type KeyID struct {
	Identity   Digest // digest of the authority identity key
	SigningKey Digest // digest of the medium-term signing key
}

// String is the identity in 40 upper-case hexadecimal digits, the form used in documents.
func (d Digest) String() string { return strings.ToUpper(hex.EncodeToString(d[:])) }

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is the key in unpadded base64, the form used in documents.
func (id Ed25519ID) String() string { return base64.RawStdEncoding.EncodeToString(id[:]) }

// IsZero reports whether the relay has no Ed25519 identity.
func (id Ed25519ID) IsZero() bool { return id == Ed25519ID{} }

// String is the digest in unpadded base64, the form used in documents and in microdescriptor requests.
func (d MDDigest) String() string { return base64.RawStdEncoding.EncodeToString(d[:]) }

// IsZero reports whether the consensus named no microdescriptor.
func (d MDDigest) IsZero() bool { return d == MDDigest{} }

// String is "identity-signingkey" in hexadecimal, the form used in certificate requests (dir-spec B.1).
func (k KeyID) String() string { return k.Identity.String() + "-" + k.SigningKey.String() }

// ParseDigest reads 40 hexadecimal digits in either case, with or without a leading "$".
func ParseDigest(s string) (Digest, error) {
	d, ok := parseHexDigest([]byte(strings.TrimPrefix(s, "$")))
	if !ok {
		return Digest{}, fmt.Errorf("%q is not an RSA identity: want 40 hexadecimal digits", s)
	}
	return d, nil
}

// ParseEd25519ID reads an Ed25519 identity in base64, with or without padding.
func ParseEd25519ID(s string) (Ed25519ID, error) {
	var id Ed25519ID
	if !decodeBase64(id[:], []byte(s)) {
		return Ed25519ID{}, fmt.Errorf("%q is not an Ed25519 identity: want 43 base64 characters", s)
	}
	return id, nil
}

// ParseMDDigest reads a microdescriptor digest in base64, with or without padding.
func ParseMDDigest(s string) (MDDigest, error) {
	var d MDDigest
	if !decodeBase64(d[:], []byte(s)) {
		return MDDigest{}, fmt.Errorf("%q is not a microdescriptor digest: want 43 base64 characters", s)
	}
	return d, nil
}

// parseHexDigest decodes exactly 40 hexadecimal digits.
func parseHexDigest(b []byte) (d Digest, ok bool) {
	if len(b) != 2*len(d) {
		return d, false
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return Digest{}, false
	}
	return d, true
}

// decodeBase64 fills dst, whose length the text must match exactly; padding may be present or not.
func decodeBase64(dst, text []byte) bool {
	for i := 0; i < 2 && len(text) > 0 && text[len(text)-1] == '='; i++ {
		text = text[:len(text)-1]
	}
	if base64.RawStdEncoding.EncodedLen(len(dst)) != len(text) {
		return false
	}
	n, err := base64.RawStdEncoding.Decode(dst, text)
	return err == nil && n == len(dst)
}

// Errors that callers tell apart. A parser's error is a *ParseError that wraps one of the first three.
var (
	// ErrMalformed: the text breaks the document format.
	ErrMalformed = errors.New("malformed document")
	// ErrTooLarge: the text goes past one of this package's caps.
	ErrTooLarge = errors.New("document too large")
	// ErrFlavor: a well-formed status document of another kind than the microdesc-flavour consensus.
	ErrFlavor = errors.New("not a microdesc-flavour consensus")
)

// ParseError says where in which document parsing stopped.
type ParseError struct {
	Document string // "consensus", "authority certificate", "microdescriptor"
	Line     int    // first line is 1; 0 when the error is about the whole text
	Err      error
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("parse %s: %v", e.Document, e.Err)
	}
	return fmt.Sprintf("parse %s: line %d: %v", e.Document, e.Line, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// malformed is the one way parsers say what is wrong with a text.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
