package cert

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

const (
	crossPrefix = "Tor TLS RSA/Ed25519 cross-certificate"

	// rsaIdentityBits is the size of every relay's RSA identity key
	// (tor-spec section 4.2).
	rsaIdentityBits = 1024

	// maxX509Len bounds an identity certificate; real ones take about 450
	// bytes.
	maxX509Len = 8192
)

// RSACross is a parsed cross certificate (type 7, cert-spec section 2.3): an
// RSA identity key certifies an Ed25519 identity key.
type RSACross struct {
	Ed25519 [32]byte
	Expires time.Time // whole hours, UTC; valid up to and including it

	signed, signature []byte
}

// ParseRSACross parses a cross certificate that takes up the whole of b. It
// keeps a reference to b.
func ParseRSACross(b []byte) (*RSACross, error) {
	s := cryptobyte.String(b)
	c := new(RSACross)
	var hours uint32
	var signature cryptobyte.String
	if !s.CopyBytes(c.Ed25519[:]) || !s.ReadUint32(&hours) || !s.ReadUint8LengthPrefixed(&signature) || !s.Empty() {
		return nil, fmt.Errorf("%w: cross certificate of %d bytes", ErrMalformed, len(b))
	}
	c.Expires, c.signature = expiry(hours), signature
	c.signed = b[:len(c.Ed25519)+4]
	return c, nil
}

// Verify checks that signer signed the certificate and that it is not expired
// at now.
func (c *RSACross) Verify(signer *rsa.PublicKey, now time.Time) error {
	// The padded message is the bare digest, without a DigestInfo: hash 0.
	if err := rsa.VerifyPKCS1v15(signer, 0, crossDigest(c.signed), c.signature); err != nil {
		return fmt.Errorf("%v: %w", TypeRSACross, ErrSignature)
	}
	if now.After(c.Expires) {
		return &ExpiredError{Name: TypeRSACross.String(), NotAfter: c.Expires, Now: now}
	}
	return nil
}

// SignRSACross makes a cross certificate; expires is rounded up to a whole
// hour.
func SignRSACross(signer *rsa.PrivateKey, ed25519 [32]byte, expires time.Time) ([]byte, error) {
	b := binary.BigEndian.AppendUint32(ed25519[:], expiryHours(expires))
	// PKCS #1 v1.5 signatures are deterministic: no randomness is needed.
	signature, err := rsa.SignPKCS1v15(nil, signer, crypto.Hash(0), crossDigest(b))
	if err != nil {
		return nil, fmt.Errorf("sign cross certificate: %w", err)
	}
	b = append(b, byte(len(signature)))
	return append(b, signature...), nil
}

func crossDigest(signed []byte) []byte {
	h := sha256.New()
	h.Write([]byte(crossPrefix))
	h.Write(signed)
	return h.Sum(nil)
}

// RSAIdentity is a verified RSA identity certificate (type 2).
type RSAIdentity struct {
	Key       *rsa.PublicKey
	Digest    [20]byte // the relay's fingerprint, see [RSADigest]
	NotBefore time.Time
	NotAfter  time.Time
}

// ParseRSAIdentity parses a self-signed X.509 certificate of a 1024-bit RSA
// key and checks its signature (tor-spec section 4.2). Names and extensions
// mean nothing to Tor and are not looked at.
func ParseRSAIdentity(der []byte) (*RSAIdentity, error) {
	if len(der) > maxX509Len {
		return nil, fmt.Errorf("%w: X.509 of %d bytes", ErrMalformed, len(der))
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() != rsaIdentityBits {
		return nil, fmt.Errorf("%v is not of a 1024-bit RSA key: %w", TypeRSAIdentity, ErrKey)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return nil, fmt.Errorf("%v: %w: %w", TypeRSAIdentity, ErrSignature, err)
	}
	return &RSAIdentity{Key: key, Digest: RSADigest(key), NotBefore: c.NotBefore, NotAfter: c.NotAfter}, nil
}

// CheckTime gives an *ExpiredError if now is outside the validity.
func (i *RSAIdentity) CheckTime(now time.Time) error {
	if now.Before(i.NotBefore) || now.After(i.NotAfter) {
		return &ExpiredError{Name: TypeRSAIdentity.String(), NotBefore: i.NotBefore, NotAfter: i.NotAfter, Now: now}
	}
	return nil
}

// RSADigest is the fingerprint of an RSA key: SHA1 of its PKCS #1 encoding
// (tor-spec section 0.3).
func RSADigest(key *rsa.PublicKey) [20]byte {
	return sha1.Sum(x509.MarshalPKCS1PublicKey(key))
}
