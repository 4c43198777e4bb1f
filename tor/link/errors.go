package link

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"chive/tor/cert"
)

// Errors that callers match with errors.Is. Every error of a handshake is one
// of them.
var (
	// ErrProtocol: a cell that is malformed, out of order or oversize.
	ErrProtocol = errors.New("link: protocol violation")
	// ErrVersion: no link protocol version in common. It is an ErrProtocol.
	ErrVersion = fmt.Errorf("%w: no common version", ErrProtocol)
	// ErrCert: the certificates do not prove what they must.
	ErrCert = errors.New("link: certificates prove nothing")
	// ErrExpired: a certificate is outside its validity; the error holds a
	// *ExpiredError with the times.
	ErrExpired = cert.ErrExpired
	// ErrIdentity: the relay proved an identity that was not asked for; the
	// error is an *IdentityError.
	ErrIdentity = errors.New("link: not the relay asked for")
)

// ExpiredError is in an error chain that errors.Is an ErrExpired; it carries
// the validity of the certificate.
type ExpiredError = cert.ExpiredError

// IdentityError says which identity was asked for and which was proven.
type IdentityError struct{ Want, Got Identity }

func (e *IdentityError) Error() string {
	return fmt.Sprintf("%v: want %v, got %v", ErrIdentity, e.Want, e.Got)
}

// Is makes errors.Is(err, ErrIdentity) true.
func (e *IdentityError) Is(target error) bool { return target == ErrIdentity }

// Identity is what a relay is known by. A zero key is one that is not asked
// for.
type Identity struct {
	RSA     [20]byte // SHA1 of the RSA identity key (fingerprint)
	Ed25519 [32]byte // Ed25519 identity key
}

// String is the fingerprint in hexadecimal and the Ed25519 key in unpadded
// base64, as relays write them, leaving out what is zero.
func (i Identity) String() string {
	var parts []string
	if i.RSA != [20]byte{} {
		parts = append(parts, fmt.Sprintf("$%X", i.RSA))
	}
	if i.Ed25519 != [32]byte{} {
		parts = append(parts, "ed25519:"+base64.RawStdEncoding.EncodeToString(i.Ed25519[:]))
	}
	if len(parts) == 0 {
		return "any relay"
	}
	return strings.Join(parts, " ")
}

// accepts reports whether got is every key that i asks for.
func (i Identity) accepts(got Identity) bool {
	return (i.RSA == [20]byte{} || i.RSA == got.RSA) &&
		(i.Ed25519 == [32]byte{} || i.Ed25519 == got.Ed25519)
}
