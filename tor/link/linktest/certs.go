package linktest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"chive/tor/cell"
	"chive/tor/cert"
)

// Mutations are the ways in which a CERTS cell can be wrong; the zero value is
// a right one. A client must refuse every single one of them.
type Mutations struct {
	// WrongTLSDigest certifies another TLS certificate (type 5).
	WrongTLSDigest bool
	// Expired lists types whose validity ended an hour ago.
	Expired []cert.Type
	// NotYetValid lets the RSA identity's validity (type 2) begin tomorrow.
	NotYetValid bool
	// BadSignature lists types of which the last bit is flipped.
	BadSignature []cert.Type
	// UnnamedSigner leaves the signed-with extension out of type 4.
	UnnamedSigner bool
	// WrongKeyType lists types (4, 5) that say they certify an RSA digest.
	WrongKeyType []cert.Type
	// CrossOther lets type 7 certify another Ed25519 identity.
	CrossOther bool
	// SignedBy lists types (4, 5, 7) that another relay's keys sign.
	SignedBy map[cert.Type]*RelayIdentity
	// Swapped puts types 4 and 5 in each other's place.
	Swapped bool
	// Omit and Duplicate list types that are missing, or there twice.
	Omit, Duplicate []cert.Type
	// Replace has bytes in place of certificates, of these or other types.
	Replace map[cert.Type][]byte
}

// CertsCell is a whole CERTS cell (4-byte circuit id) with the relay's
// certificates, valid at now, for a TLS certificate. It panics if keys cannot
// sign.
func (id *RelayIdentity) CertsCell(now time.Time, tlsCertDER []byte, m Mutations) []byte {
	return cell.AppendVariable(nil, 0, cell.Certs, cell.AppendCerts(nil, id.certs(now, tlsCertDER, m)))
}

func (id *RelayIdentity) certs(now time.Time, tlsCertDER []byte, m Mutations) []cell.CertEntry {
	bodies := map[cert.Type][]byte{
		cert.TypeRSAIdentity:     id.rsaIdentity(now, m),
		cert.TypeIdentitySigning: id.identitySigning(now, m),
		cert.TypeSigningLink:     id.signingLink(now, tlsCertDER, m),
		cert.TypeRSACross:        id.rsaCross(now, m),
	}
	if m.Swapped {
		a, b := cert.TypeIdentitySigning, cert.TypeSigningLink
		bodies[a], bodies[b] = bodies[b], bodies[a]
	}
	for _, kind := range m.BadSignature {
		bodies[kind] = slices.Clone(bodies[kind])
		bodies[kind][len(bodies[kind])-1] ^= 1
	}
	for kind, body := range m.Replace {
		bodies[kind] = body
	}
	var entries []cell.CertEntry
	for kind := cert.Type(0); kind <= maxType(bodies); kind++ {
		body, ok := bodies[kind]
		if !ok || slices.Contains(m.Omit, kind) {
			continue
		}
		entries = append(entries, cell.CertEntry{Type: uint8(kind), Body: body})
		if slices.Contains(m.Duplicate, kind) {
			entries = append(entries, cell.CertEntry{Type: uint8(kind), Body: body})
		}
	}
	return entries
}

func maxType(bodies map[cert.Type][]byte) (top cert.Type) {
	for kind := range bodies {
		top = max(top, kind)
	}
	return top
}

func (m Mutations) expires(kind cert.Type, now time.Time, lifetime time.Duration) time.Time {
	if slices.Contains(m.Expired, kind) {
		return now.Add(-2 * time.Hour) // rounded up to an hour when signed
	}
	return now.Add(lifetime)
}

func (m Mutations) keyType(kind cert.Type, right cert.KeyType) cert.KeyType {
	if slices.Contains(m.WrongKeyType, kind) {
		return cert.KeyRSASHA256
	}
	return right
}

func (m Mutations) signer(kind cert.Type, own *RelayIdentity) *RelayIdentity {
	if other := m.SignedBy[kind]; other != nil {
		return other
	}
	return own
}

func (id *RelayIdentity) identitySigning(now time.Time, m Mutations) []byte {
	kind := cert.TypeIdentitySigning
	c := cert.Ed25519{
		Type:          kind,
		Expires:       m.expires(kind, now, signingLifetime),
		KeyType:       m.keyType(kind, cert.KeyEd25519),
		Key:           public(id.Signing),
		HasSignedWith: !m.UnnamedSigner,
	}
	body := cert.SignEd25519(id.Ed25519, c)
	if other := m.signer(kind, id); other != id {
		// Names this identity, but another one's key signed.
		signed := body[:len(body)-ed25519.SignatureSize]
		body = append(slices.Clone(signed), ed25519.Sign(other.Ed25519, signed)...)
	}
	return body
}

func (id *RelayIdentity) signingLink(now time.Time, tlsCertDER []byte, m Mutations) []byte {
	kind := cert.TypeSigningLink
	c := cert.Ed25519{
		Type:    kind,
		Expires: m.expires(kind, now, linkLifetime),
		KeyType: m.keyType(kind, cert.KeyX509SHA256),
		Key:     sha256.Sum256(tlsCertDER),
	}
	if m.WrongTLSDigest {
		c.Key[0] ^= 1
	}
	return cert.SignEd25519(m.signer(kind, id).Signing, c)
}

func (id *RelayIdentity) rsaCross(now time.Time, m Mutations) []byte {
	kind := cert.TypeRSACross
	identity := public(id.Ed25519)
	if m.CrossOther {
		identity[0] ^= 1
	}
	body, err := cert.SignRSACross(m.signer(kind, id).RSA, identity, m.expires(kind, now, crossLifetime))
	if err != nil {
		panic(fmt.Sprintf("linktest: %v", err))
	}
	return body
}

func (id *RelayIdentity) rsaIdentity(now time.Time, m Mutations) []byte {
	notBefore := now.Add(-24 * time.Hour)
	notAfter := m.expires(cert.TypeRSAIdentity, now, crossLifetime)
	if m.NotYetValid {
		notBefore = now.Add(24 * time.Hour)
	}
	der, err := selfSigned(id.RSA, notBefore, notAfter)
	if err != nil {
		panic(fmt.Sprintf("linktest: %v", err))
	}
	return der
}
