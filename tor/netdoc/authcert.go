package netdoc

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

const certDoc = "authority certificate"

// AuthCert is one authority's certificate (dir-spec 3.1): its long-term identity key vouches for the medium-term
// key that signs consensuses. ParseAuthCerts makes only certificates whose signatures are good.
type AuthCert struct {
	Identity         Digest // the authority's v3 identity: digest of IdentityKey
	IdentityKey      *rsa.PublicKey
	SigningKey       *rsa.PublicKey
	SigningKeyDigest Digest
	Published        time.Time
	Expires          time.Time
	Raw              []byte // the certificate's text, a copy
}

// KeyID names the certificate.
func (a *AuthCert) KeyID() KeyID { return KeyID{a.Identity, a.SigningKeyDigest} }

// Bounds on authorities' RSA keys. dir-spec 3.1 gives the minimum; the maximum keeps one check below a
// millisecond. Tor's RSA keys all have the exponent 65537 (tor-spec 0.3).
const (
	minRSABits  = 1024
	maxRSABits  = 8192
	rsaExponent = 65537
)

// certItems are the items every certificate has exactly once, by bit.
const (
	certFingerprint = 1 << iota
	certPublished
	certExpires
	certIdentityKey
	certSigningKey
	certCrosscert
	certAll = 1<<iota - 1
)

// ParseAuthCerts reads concatenated certificates and verifies each: the fingerprint is that of the identity key,
// the identity key signed the certificate, the signing key signed the identity. It returns the good ones; a bad
// one does not hide those after it, but makes the error non-nil. Times are not checked.
func ParseAuthCerts(b []byte) ([]*AuthCert, error) {
	if _, err := newScanner(certDoc, b, MaxCertsSize, maxCertObjects); err != nil {
		return nil, err
	}
	var certs []*AuthCert
	var errs []error
	for start := skipNewlines(b, 0); start < len(b); {
		end := nextStart(b, start, "dir-key-certificate-version")
		s := &scanner{doc: certDoc, text: b[:end], pos: start, maxObjects: maxCertObjects}
		cert, err := parseAuthCert(s)
		if err != nil {
			errs = append(errs, err)
		} else {
			certs = append(certs, cert)
		}
		start = end
	}
	return certs, errors.Join(errs...)
}

func skipNewlines(b []byte, pos int) int {
	for pos < len(b) && b[pos] == '\n' {
		pos++
	}
	return pos
}

// nextStart is the offset of the next line after start that begins with keyword, or the text's end.
func nextStart(b []byte, start int, keyword string) int {
	needle := []byte("\n" + keyword)
	for pos := start; ; {
		n := bytes.Index(b[pos:], needle)
		if n < 0 {
			return len(b)
		}
		pos += n + 1
		if after := pos + len(keyword); after == len(b) || !keywordChar[b[after]] {
			return pos
		}
	}
}

// certBuilder gathers one certificate's items.
type certBuilder struct {
	cert        AuthCert
	seen        int
	fingerprint Digest
	crosscert   []byte
}

func parseAuthCert(s *scanner) (*AuthCert, error) {
	var it item
	if ok, err := s.next(&it); err != nil {
		return nil, err
	} else if !ok {
		return nil, s.fail(s.pos, malformed("empty certificate"))
	}
	begin := it.start
	if string(it.keyword) != "dir-key-certificate-version" {
		return nil, s.fail(begin, malformed("certificate starts with %q", clip(it.keyword)))
	}
	if version := it.args.next(); string(version) != "3" {
		return nil, s.fail(begin, malformed("certificate version %q, want 3", clip(version)))
	}
	var b certBuilder
	for {
		ok, err := s.next(&it)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, s.fail(s.pos, malformed("certificate without dir-key-certification"))
		}
		if string(it.keyword) == "dir-key-certification" {
			break
		}
		if err := b.add(&it); err != nil {
			return nil, s.fail(it.start, err)
		}
	}
	certified := sha1.Sum(s.text[begin:it.lineEnd])
	if err := b.finish(certified, &it); err != nil {
		return nil, s.fail(it.start, err)
	}
	b.cert.Raw = slices.Clone(s.text[begin:s.pos])
	if ok, err := s.next(&it); err != nil {
		return nil, err
	} else if ok {
		return nil, s.fail(it.start, malformed("%q after the end of the certificate", clip(it.keyword)))
	}
	return &b.cert, nil
}

func (b *certBuilder) add(it *item) error {
	var bit int
	var ok bool
	var err error
	switch string(it.keyword) {
	case "dir-key-certificate-version":
		return malformed("certificate version given twice")
	case "fingerprint":
		bit = certFingerprint
		if b.fingerprint, ok = parseHexDigest(it.args.next()); !ok {
			err = malformed("bad fingerprint")
		}
	case "dir-key-published":
		bit = certPublished
		if b.cert.Published, ok = parseTime(&it.args); !ok {
			err = malformed("bad time in dir-key-published")
		}
	case "dir-key-expires":
		bit = certExpires
		if b.cert.Expires, ok = parseTime(&it.args); !ok {
			err = malformed("bad time in dir-key-expires")
		}
	case "dir-identity-key":
		bit = certIdentityKey
		b.cert.IdentityKey, b.cert.Identity, err = parseRSAKey(it)
	case "dir-signing-key":
		bit = certSigningKey
		b.cert.SigningKey, b.cert.SigningKeyDigest, err = parseRSAKey(it)
	case "dir-key-crosscert":
		bit = certCrosscert
		b.crosscert, err = signatureObject(it, "ID SIGNATURE", "SIGNATURE")
	default:
		return nil
	}
	if b.seen&bit != 0 {
		return malformed("%s given twice", it.keyword)
	}
	b.seen |= bit
	return err
}

// finish checks that everything is there and that all of it is signed.
func (b *certBuilder) finish(certified [sha1.Size]byte, last *item) error {
	if b.seen != certAll {
		return malformed("certificate lacks a required item")
	}
	if b.fingerprint != b.cert.Identity {
		return malformed("fingerprint %v is not the identity key's, %v", b.fingerprint, b.cert.Identity)
	}
	certification, err := signatureObject(last, "SIGNATURE")
	if err != nil {
		return err
	}
	if !verifyRaw(b.cert.IdentityKey, certified[:], certification) {
		return malformed("the identity key of authority %v did not sign its certificate", b.cert.Identity)
	}
	if !verifyRaw(b.cert.SigningKey, b.cert.Identity[:], b.crosscert) {
		return malformed("the signing key in the certificate of authority %v did not sign the identity", b.cert.Identity)
	}
	return nil
}

// verifyRaw checks a PKCS#1 v1.5 signature of a bare digest, without the algorithm identifier (dir-spec 1.3).
func verifyRaw(key *rsa.PublicKey, digest, signature []byte) bool {
	return rsa.VerifyPKCS1v15(key, crypto.Hash(0), digest, signature) == nil
}

// parseRSAKey decodes a PKCS#1 public key and refuses keys that no authority has.
func parseRSAKey(it *item) (*rsa.PublicKey, Digest, error) {
	if string(it.objType) != "RSA PUBLIC KEY" {
		return nil, Digest{}, malformed("%s without an RSA PUBLIC KEY", it.keyword)
	}
	der, err := it.decodeObject()
	if err != nil {
		return nil, Digest{}, err
	}
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, Digest{}, malformed("%s: %v", it.keyword, err)
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, Digest{}, malformed("%s has %d bits, want %d to %d", it.keyword, bits, minRSABits, maxRSABits)
	}
	if key.E != rsaExponent || key.N.Bit(0) == 0 {
		return nil, Digest{}, malformed("%s is not an RSA key with exponent %d", it.keyword, rsaExponent)
	}
	return key, sha1.Sum(der), nil
}

// signatureObject decodes an object of one of the given types and of a length that an RSA signature can have.
func signatureObject(it *item, types ...string) ([]byte, error) {
	if !slices.Contains(types, string(it.objType)) {
		return nil, malformed("%s without an object of type %s", it.keyword, types[0])
	}
	signature, err := it.decodeObject()
	if err != nil {
		return nil, err
	}
	if len(signature) < minRSABits/8 || len(signature) > maxRSABits/8 {
		return nil, malformed("%s: signature of %d bytes", it.keyword, len(signature))
	}
	return signature, nil
}
