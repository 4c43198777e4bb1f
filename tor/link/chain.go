package link

import (
	"crypto/subtle"
	"fmt"
	"time"

	"chive/tor/cell"
	"chive/tor/cert"
)

// VerifyCerts checks the body of a responder's CERTS cell: the certificates in
// it tie both of the relay's identity keys to the TLS certificate, whose DER
// has the given SHA256 digest, and all are valid at now. It returns the
// identity so proven. Conditions: tor-spec section 4.2, "to authenticate the
// responder as having a given Ed25519,RSA identity key combination".
func VerifyCerts(body []byte, tlsCertSHA256 [32]byte, now time.Time) (Identity, error) {
	entries, err := cell.ParseCerts(body)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	byType := make(map[cert.Type][]byte, len(entries))
	for _, e := range entries {
		kind := cert.Type(e.Type)
		if _, dup := byType[kind]; dup {
			return Identity{}, fmt.Errorf("%w: two of %v", ErrCert, kind)
		}
		byType[kind] = e.Body
	}
	for _, kind := range [...]cert.Type{cert.TypeRSAIdentity, cert.TypeIdentitySigning, cert.TypeSigningLink, cert.TypeRSACross} {
		if _, ok := byType[kind]; !ok {
			return Identity{}, fmt.Errorf("%w: no %v", ErrCert, kind)
		}
	}
	ed25519, err := verifyEd25519(byType[cert.TypeIdentitySigning], byType[cert.TypeSigningLink], tlsCertSHA256, now)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrCert, err)
	}
	rsa, err := verifyRSA(byType[cert.TypeRSAIdentity], byType[cert.TypeRSACross], ed25519, now)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrCert, err)
	}
	return Identity{RSA: rsa, Ed25519: ed25519}, nil
}

// verifyEd25519 checks identity → signing key → TLS certificate and returns
// the identity.
func verifyEd25519(identitySigning, signingLink []byte, tlsCertSHA256 [32]byte, now time.Time) (identity [32]byte, err error) {
	signing, err := parseTyped(identitySigning, cert.TypeIdentitySigning)
	if err != nil {
		return identity, err
	}
	if !signing.HasSignedWith {
		return identity, fmt.Errorf("%v does not name the identity: %w", signing.Type, cert.ErrKey)
	}
	if signing.KeyType != cert.KeyEd25519 {
		return identity, fmt.Errorf("%v certifies key type %d: %w", signing.Type, signing.KeyType, cert.ErrKey)
	}
	if err := signing.Verify(signing.SignedWith, now); err != nil {
		return identity, err
	}
	link, err := parseTyped(signingLink, cert.TypeSigningLink)
	if err != nil {
		return identity, err
	}
	// Versions of Tor before 0.4.5.1 wrote type 1 here (cert-spec A.4).
	if link.KeyType != cert.KeyX509SHA256 && link.KeyType != cert.KeyEd25519 {
		return identity, fmt.Errorf("%v certifies key type %d: %w", link.Type, link.KeyType, cert.ErrKey)
	}
	if err := link.Verify(signing.Key, now); err != nil {
		return identity, err
	}
	if subtle.ConstantTimeCompare(link.Key[:], tlsCertSHA256[:]) != 1 {
		return identity, fmt.Errorf("%v is for another TLS certificate: %w", link.Type, cert.ErrKey)
	}
	return signing.SignedWith, nil
}

func parseTyped(b []byte, want cert.Type) (*cert.Ed25519, error) {
	c, err := cert.ParseEd25519(b)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", want, err)
	}
	if c.Type != want {
		return nil, fmt.Errorf("%w: %v in place of %v", cert.ErrMalformed, c.Type, want)
	}
	return c, nil
}

// verifyRSA checks RSA identity → Ed25519 identity and returns the
// fingerprint of the former.
func verifyRSA(rsaIdentity, rsaCross []byte, ed25519 [32]byte, now time.Time) (digest [20]byte, err error) {
	identity, err := cert.ParseRSAIdentity(rsaIdentity)
	if err != nil {
		return digest, err
	}
	if err := identity.CheckTime(now); err != nil {
		return digest, err
	}
	cross, err := cert.ParseRSACross(rsaCross)
	if err != nil {
		return digest, err
	}
	if cross.Ed25519 != ed25519 {
		return digest, fmt.Errorf("%v is for another Ed25519 identity: %w", cert.TypeRSACross, cert.ErrKey)
	}
	if err := cross.Verify(identity.Key, now); err != nil {
		return digest, err
	}
	return identity.Digest, nil
}
