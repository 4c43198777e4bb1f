package testnet

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // the Tor protocol's fingerprint (tor-spec 1.2)
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Bit sizes as on the public network: tor-spec 1.1 and dir-spec 1.
const (
	relayIdentityBits = 1024
	authIdentityBits  = 3072
	authSigningBits   = 2048
)

// makeRelayIdentity writes the RSA identity of the relay with this data
// directory and returns its fingerprint, 40 upper-case hex digits. tor makes the
// other keys itself as it starts; this one is needed earlier, in everybody's
// torrc.
func makeRelayIdentity(dataDir string) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, relayIdentityBits)
	if err != nil {
		return "", fmt.Errorf("make a relay identity: %w", err)
	}
	if err := writeKey(filepath.Join(dataDir, "keys", "secret_id_key"), key); err != nil {
		return "", err
	}
	fp := fingerprint(&key.PublicKey)
	return fmt.Sprintf("%X", fp[:]), nil
}

// makeAuthority writes an authority's signing key and certificate (dir-spec
// 3.1) and returns the fingerprint of its identity, the v3ident. The identity
// key itself is dropped: a running authority has no use for it.
func makeAuthority(dataDir, dirAddress string, now time.Time) (string, error) {
	identity, err := rsa.GenerateKey(rand.Reader, authIdentityBits)
	if err != nil {
		return "", fmt.Errorf("make an authority identity: %w", err)
	}
	signing, err := rsa.GenerateKey(rand.Reader, authSigningBits)
	if err != nil {
		return "", fmt.Errorf("make an authority signing key: %w", err)
	}
	cert, err := authorityCertificate(identity, signing, dirAddress, now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		return "", err
	}
	keys := filepath.Join(dataDir, "keys")
	if err := writeKey(filepath.Join(keys, "authority_signing_key"), signing); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(keys, "authority_certificate"), cert, 0o600); err != nil {
		return "", err
	}
	fp := fingerprint(&identity.PublicKey)
	return fmt.Sprintf("%X", fp[:]), nil
}

// authorityCertificate is a key certificate, dir-spec 3.1.
func authorityCertificate(identity, signing *rsa.PrivateKey, dirAddress string, from, to time.Time) ([]byte, error) {
	fp := fingerprint(&identity.PublicKey)
	var b bytes.Buffer
	fmt.Fprintf(&b, "dir-key-certificate-version 3\ndir-address %s\nfingerprint %X\n", dirAddress, fp[:])
	fmt.Fprintf(&b, "dir-key-published %s\ndir-key-expires %s\n", torTime(from), torTime(to))
	b.WriteString("dir-identity-key\n")
	b.Write(pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&identity.PublicKey)))
	b.WriteString("dir-signing-key\n")
	b.Write(pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&signing.PublicKey)))
	cross, err := rsa.SignPKCS1v15(nil, signing, crypto.Hash(0), fp[:])
	if err != nil {
		return nil, fmt.Errorf("cross-certify an authority key: %w", err)
	}
	b.WriteString("dir-key-crosscert\n")
	b.Write(pemBlock("ID SIGNATURE", cross))
	b.WriteString("dir-key-certification\n")
	digest := sha1.Sum(b.Bytes())
	sig, err := rsa.SignPKCS1v15(nil, identity, crypto.Hash(0), digest[:])
	if err != nil {
		return nil, fmt.Errorf("certify an authority key: %w", err)
	}
	b.Write(pemBlock("SIGNATURE", sig))
	return b.Bytes(), nil
}

func fingerprint(k *rsa.PublicKey) [sha1.Size]byte { return sha1.Sum(x509.MarshalPKCS1PublicKey(k)) }

func writeKey(path string, k *rsa.PrivateKey) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)), 0o600)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func torTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
