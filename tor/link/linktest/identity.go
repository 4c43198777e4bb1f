package linktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"chive/tor/cert"
	"chive/tor/link"
)

const (
	rsaBits = 1024

	// Validity of the certificates, measured from the time passed in.
	signingLifetime = 30 * 24 * time.Hour
	linkLifetime    = 2 * 24 * time.Hour
	crossLifetime   = 180 * 24 * time.Hour
)

// The TLS certificate's dates are looked at by nobody, so they need no clock.
var (
	tlsNotBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	tlsNotAfter  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// RelayIdentity holds the keys of a relay that matter on a connection.
type RelayIdentity struct {
	RSA     *rsa.PrivateKey    // 1024 bits
	Ed25519 ed25519.PrivateKey // identity
	Signing ed25519.PrivateKey
	TLS     *ecdsa.PrivateKey

	tlsDER []byte
}

// MakeRelayIdentity makes the keys of a new relay and its TLS certificate. The
// Ed25519 keys come from random, the others from the system: the standard
// library no longer takes a source for them.
func MakeRelayIdentity(random io.Reader) (*RelayIdentity, error) {
	id := new(RelayIdentity)
	for _, key := range []*ed25519.PrivateKey{&id.Ed25519, &id.Signing} {
		seed := make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, fmt.Errorf("make relay identity: %w", err)
		}
		*key = ed25519.NewKeyFromSeed(seed)
	}
	var err error
	if id.RSA, err = rsa.GenerateKey(rand.Reader, rsaBits); err != nil {
		return nil, fmt.Errorf("make RSA identity: %w", err)
	}
	if id.TLS, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make TLS key: %w", err)
	}
	if id.tlsDER, err = selfSigned(id.TLS, tlsNotBefore, tlsNotAfter); err != nil {
		return nil, fmt.Errorf("make TLS certificate: %w", err)
	}
	return id, nil
}

// Identity is what the relay is known by.
func (id *RelayIdentity) Identity() link.Identity {
	return link.Identity{RSA: cert.RSADigest(&id.RSA.PublicKey), Ed25519: public(id.Ed25519)}
}

// TLSCertificate is the certificate for the relay's TLS listener. Its leaf's
// DER, Certificate[0], is what CertsCell takes.
func (id *RelayIdentity) TLSCertificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{id.tlsDER}, PrivateKey: id.TLS}
}

func public(key ed25519.PrivateKey) [32]byte {
	return [32]byte(key.Public().(ed25519.PublicKey))
}

func selfSigned(key crypto.Signer, notBefore, notAfter time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "www.example.net"},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}
