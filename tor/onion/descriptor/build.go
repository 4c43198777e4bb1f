package descriptor

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/edwards25519/field"

	"chive/tor/cell"
	"chive/tor/cert"
	"chive/tor/netdoc"
	"chive/tor/onion"
)

const (
	// DefaultLifetime is what C tor writes.
	DefaultLifetime = 3 * time.Hour
	// CertLifetime is for how long C tor's certificates in a descriptor hold.
	CertLifetime = 54 * time.Hour

	padMultiple    = 10000 // of the first layer's plaintext
	clientMultiple = 16    // of the auth-client lines
)

// ErrTooLarge: the descriptor would be longer than MaxSize: too many authorised
// clients or introduction points.
var ErrTooLarge = errors.New("descriptor too large")

// Signer is what a service needs of one period to publish. The blinded secret key
// is not among it: a certificate made by [CertifySigningKey], here or where the
// identity key is kept, stands for it.
type Signer struct {
	Blinded       onion.BlindedKey
	Subcredential onion.Subcredential
	SigningKey    ed25519.PrivateKey
	SigningCert   []byte

	Revision uint64
	Lifetime time.Duration // whole minutes, up to 12 hours
	// CertExpires is when the introduction points' certificates end.
	CertExpires time.Time
	// Clients are the public x25519 keys of those who may read the descriptor;
	// empty: everyone who knows the address. How many there are is hidden up to
	// a multiple of sixteen.
	Clients [][32]byte
}

// CertifySigningKey certifies a descriptor's signing key with the period's blinded
// secret key, until expires rounded up to a whole hour.
func CertifySigningKey(blinded *onion.SecretKey, signing ed25519.PublicKey, expires time.Time) []byte {
	return cert.SignEd25519With(blinded.PublicKey(), blinded.Sign, cert.Ed25519{
		Type: cert.TypeHSSigning, Expires: expires, KeyType: cert.KeyEd25519, Key: [32]byte(signing), HasSignedWith: true,
	})
}

// Build writes a descriptor. Errors: ErrTooLarge, those of rand, and what no
// client would accept (too many introduction points, bad keys).
func (s *Signer) Build(rand io.Reader, d *Descriptor) ([]byte, error) {
	inner, err := s.inner(d)
	if err != nil {
		return nil, err
	}
	l := layer{constant: innerConstant, blinded: s.Blinded, subcredential: s.Subcredential, revision: s.Revision}
	lines, ephemeral, err := s.clientLines(rand, &l)
	if err != nil {
		return nil, err
	}
	sealed, err := l.seal(rand, inner)
	if err != nil {
		return nil, err
	}
	var middle bytes.Buffer
	fmt.Fprintf(&middle, "desc-auth-type x25519\ndesc-auth-ephemeral-key %s\n", b64(ephemeral[:]))
	for _, c := range lines {
		fmt.Fprintf(&middle, "auth-client %s %s %s\n", rawB64(c.id[:]), rawB64(c.iv[:]), rawB64(c.cookie[:]))
	}
	middle.WriteString("encrypted\n")
	writeObject(&middle, messageType, sealed)
	// C tor ends without a newline here, so everyone does.
	text := bytes.TrimSuffix(middle.Bytes(), []byte("\n"))
	text = append(text, make([]byte, (padMultiple-len(text)%padMultiple)%padMultiple)...)
	l.constant, l.cookie = middleConstant, nil
	if sealed, err = l.seal(rand, text); err != nil {
		return nil, err
	}
	return s.outer(sealed)
}

// outer writes and signs the outer document.
func (s *Signer) outer(sealed []byte) ([]byte, error) {
	if s.Lifetime < time.Minute || s.Lifetime > maxLifetime {
		return nil, fmt.Errorf("descriptor lifetime %v is not within a minute and %v", s.Lifetime, maxLifetime)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "hs-descriptor 3\ndescriptor-lifetime %d\ndescriptor-signing-key-cert\n", s.Lifetime/time.Minute)
	writeObject(&b, certType, s.SigningCert)
	fmt.Fprintf(&b, "revision-counter %d\nsuperencrypted\n", s.Revision)
	writeObject(&b, messageType, sealed)
	signature := ed25519.Sign(s.SigningKey, append([]byte(signaturePrefix), b.Bytes()...))
	fmt.Fprintf(&b, "signature %s\n", rawB64(signature))
	if b.Len() >= MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, directories take less than %d", ErrTooLarge, b.Len(), MaxSize)
	}
	return b.Bytes(), nil
}

// inner writes the second layer's plaintext.
func (s *Signer) inner(d *Descriptor) ([]byte, error) {
	if len(d.Intros) > MaxIntroPoints {
		return nil, fmt.Errorf("%w: %d introduction points, at most %d", ErrTooLarge, len(d.Intros), MaxIntroPoints)
	}
	var b bytes.Buffer
	b.WriteString("create2-formats")
	for _, n := range d.Handshakes {
		fmt.Fprintf(&b, " %d", n)
	}
	b.WriteByte('\n')
	if len(d.IntroAuth) > 0 {
		fmt.Fprintf(&b, "intro-auth-required %s\n", strings.Join(d.IntroAuth, " "))
	}
	if d.SingleOnion {
		b.WriteString("single-onion-service\n")
	}
	if f := d.FlowControl; f != nil {
		versions, _ := strings.CutPrefix(f.Versions.String(), string(netdoc.ProtoFlowCtrl)+"=")
		fmt.Fprintf(&b, "flow-control %s %d\n", versions, f.SendmeInc)
	}
	if list := d.Protocols.String(); list != "" {
		fmt.Fprintf(&b, "proto %s\n", list)
	}
	if d.PoW != nil {
		fmt.Fprintf(&b, "pow-params %s\n", d.PoW)
	}
	for i := range d.Intros {
		if err := s.writeIntro(&b, &d.Intros[i]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func (s *Signer) writeIntro(b *bytes.Buffer, ip *IntroPoint) error {
	specs, err := cell.AppendLinkSpecs(nil, ip.Specs)
	if err != nil {
		return fmt.Errorf("introduction point: %w", err)
	}
	if err := ip.Check(); err != nil {
		return err
	}
	fmt.Fprintf(b, "%s %s\nonion-key ntor %s\nauth-key\n", introKeyword, b64(specs), b64(ip.OnionKey[:]))
	writeObject(b, certType, s.introCert(cert.TypeHSIntroAuth, ip.AuthKey))
	fmt.Fprintf(b, "enc-key ntor %s\nenc-key-cert\n", b64(ip.EncKey[:]))
	writeObject(b, certType, s.introCert(cert.TypeHSIntroEnc, edwards(ip.EncKey)))
	return nil
}

// Check refuses keys that are zero or of low order.
func (ip *IntroPoint) Check() error {
	if !usablePoint(ip.OnionKey) || !usablePoint(ip.EncKey) || !onion.ValidKey(ip.AuthKey) {
		return errIntro
	}
	return nil
}

func (s *Signer) introCert(kind cert.Type, key [32]byte) []byte {
	return cert.SignEd25519(s.SigningKey, cert.Ed25519{
		Type: kind, Expires: s.CertExpires, KeyType: cert.KeyEd25519, Key: key, HasSignedWith: true,
	})
}

// edwards is the Ed25519 form, with sign 0, of a curve25519 public key (proposal
// 228 appendix A): y = (u-1)/(u+1).
func edwards(public [32]byte) [32]byte {
	u, err := new(field.Element).SetBytes(public[:])
	if err != nil {
		panic(err) // 32 bytes are an element
	}
	one := new(field.Element).One()
	num, den := new(field.Element).Subtract(u, one), new(field.Element).Add(u, one)
	return [32]byte(num.Multiply(num, den.Invert(den)).Bytes())
}

// clientLines makes the auth-client lines, real ones and fillers, and sets the
// cookie of the layer that they open. They are sorted, which for pseudo-random
// identifiers is a shuffle.
func (s *Signer) clientLines(rand io.Reader, l *layer) ([]authClient, [32]byte, error) {
	var private, public [32]byte
	if _, err := io.ReadFull(rand, private[:]); err != nil {
		return nil, public, fmt.Errorf("descriptor's ephemeral key: %w", err)
	}
	priv, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return nil, public, fmt.Errorf("descriptor's ephemeral key: %w", err)
	}
	copy(public[:], priv.PublicKey().Bytes())
	lines := make([]authClient, max((len(s.Clients)+clientMultiple-1)/clientMultiple, 1)*clientMultiple)
	for i := range lines {
		c := &lines[i]
		for _, part := range [][]byte{c.id[:], c.iv[:], c.cookie[:]} {
			if _, err := io.ReadFull(rand, part); err != nil {
				return nil, public, fmt.Errorf("auth-client line: %w", err)
			}
		}
	}
	if len(s.Clients) > 0 {
		l.cookie = make([]byte, cookieLen)
		if _, err := io.ReadFull(rand, l.cookie); err != nil {
			return nil, public, fmt.Errorf("descriptor cookie: %w", err)
		}
	}
	for i, client := range s.Clients {
		id, key, err := clientKeys(s.Subcredential, private, client)
		if err != nil {
			return nil, public, fmt.Errorf("authorised client's key: %w", err)
		}
		lines[i].id = id
		copy(lines[i].cookie[:], l.cookie)
		ctr(key, lines[i].iv, lines[i].cookie[:])
	}
	slices.SortFunc(lines, func(a, b authClient) int { return bytes.Compare(a.id[:], b.id[:]) })
	return lines, public, nil
}

// writeObject writes an object in lines of 64 characters.
func writeObject(b *bytes.Buffer, kind string, data []byte) {
	fmt.Fprintf(b, "-----BEGIN %s-----\n", kind)
	text := b64(data)
	for len(text) > 0 {
		n := min(64, len(text))
		b.WriteString(text[:n])
		b.WriteByte('\n')
		text = text[n:]
	}
	fmt.Fprintf(b, "-----END %s-----\n", kind)
}

func b64(b []byte) string    { return base64.StdEncoding.EncodeToString(b) }
func rawB64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }
