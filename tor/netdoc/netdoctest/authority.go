package netdoctest

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"chive/tor/netdoc"
)

// Authority is one directory authority with its keys.
type Authority struct {
	Nickname      string
	Identity      netdoc.Digest // v3 identity
	SigningDigest netdoc.Digest
	IdentityKey   *rsa.PrivateKey
	SigningKey    *rsa.PrivateKey
}

func newAuthority(random io.Reader, i, bits int) *Authority {
	a := &Authority{
		Nickname:    fmt.Sprintf("auth%d", i),
		IdentityKey: newRSAKey(random, bits),
		SigningKey:  newRSAKey(random, bits),
	}
	a.Identity, a.SigningDigest = digestOf(a.IdentityKey), digestOf(a.SigningKey)
	return a
}

// Cert is a certificate of the authority for a span of time (dir-spec 3.1).
func (a *Authority) Cert(published, expires time.Time) []byte {
	return a.CertEdited(published, expires, func(b []byte) []byte { return b })
}

// CertEdited is Cert with its text changed before the identity key signs it.
func (a *Authority) CertEdited(published, expires time.Time, edit func([]byte) []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "dir-key-certificate-version 3\nfingerprint %v\ndir-key-published %s\ndir-key-expires %s\n",
		a.Identity, stamp(published), stamp(expires))
	fmt.Fprintf(&b, "dir-identity-key\n%sdir-signing-key\n%s", publicPEM(a.IdentityKey), publicPEM(a.SigningKey))
	fmt.Fprintf(&b, "dir-key-crosscert\n%s", signaturePEM("ID SIGNATURE", signRaw(a.SigningKey, a.Identity[:])))
	b.WriteString("dir-key-certification\n")
	text := edit(b.Bytes())
	digest := sha1.Sum(text)
	return append(text, signaturePEM("SIGNATURE", signRaw(a.IdentityKey, digest[:]))...)
}

// signature is one directory-signature item over body, which ends before the first of them. The algorithm is
// "sha256", or "sha1" for the form without a name.
func (a *Authority) signature(body []byte, algorithm string) []byte {
	const keyword = "directory-signature "
	signed := append(slices.Clip(body), keyword...)
	name, digest := "", []byte(nil)
	switch algorithm {
	case "sha1":
		d := sha1.Sum(signed)
		digest = d[:]
	default:
		d := sha256.Sum256(signed)
		name, digest = algorithm+" ", d[:]
	}
	return fmt.Appendf(nil, "%s%s%v %v\n%s", keyword, name, a.Identity, a.SigningDigest,
		signaturePEM("SIGNATURE", signRaw(a.SigningKey, digest)))
}

// Sign appends the signatures of some authorities to a status document without any. The algorithm is "sha256",
// or "sha1" for the form without a name; any other is written as its name with a SHA-256 digest under it.
func Sign(body []byte, algorithm string, authorities ...*Authority) []byte {
	out := slices.Clone(body)
	for _, a := range authorities {
		out = append(out, a.signature(body, algorithm)...)
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
