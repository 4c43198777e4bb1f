package descriptor

import (
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"time"

	"chive/tor/cert"
	"chive/tor/netdoc"
	"chive/tor/onion"
)

// Why a descriptor cannot be used; callers match with errors.Is.
var (
	// ErrMalformed: the text breaks the format, or goes past a cap.
	ErrMalformed = errors.New("malformed descriptor")
	// ErrSignature: not signed by the service it was asked for, or the signing
	// key's certificate is not in force.
	ErrSignature = errors.New("descriptor not signed by the service")
	// ErrDecrypt: the first layer does not open with this subcredential.
	ErrDecrypt = errors.New("descriptor does not open with the service's address")
	// ErrNeedsAuth: the second layer does not open, and no client key was given:
	// the service restricts discovery.
	ErrNeedsAuth = errors.New("descriptor is for authorised clients only")
	// ErrBadAuth: the second layer does not open with the client key given.
	ErrBadAuth = errors.New("descriptor does not open with this client's key")
)

const (
	// MaxSize is what directories of the public network take, in bytes; Build
	// makes nothing longer.
	MaxSize = 50000
	// maxAccepted bounds what is read: consensus parameter HSV3MaxDescriptorSize
	// may allow more than MaxSize.
	maxAccepted = 8 * MaxSize

	maxItems = 4096

	maxLifetime     = 12 * time.Hour
	signaturePrefix = "Tor onion service descriptor sig v3"
	certType        = "ED25519 CERT"
	messageType     = "MESSAGE"
)

// Sealed is the outer document: verified, not yet decrypted.
type Sealed struct {
	Blinded     onion.BlindedKey
	Revision    uint64        // greater is newer, for one blinded key
	Lifetime    time.Duration // how long directories keep it; at most twelve hours
	CertExpires time.Time     // when the signing key ceases to be valid

	signing [32]byte
	sealed  []byte
}

// Open reads the outer document and checks that it was signed for the blinded
// key at now. Errors: ErrMalformed, ErrSignature.
func Open(text []byte, blinded onion.BlindedKey, now time.Time) (*Sealed, error) {
	items, err := netdoc.Items("descriptor", text, maxAccepted, maxItems)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	doc := document(items)
	if err := doc.once("hs-descriptor", "descriptor-lifetime", "descriptor-signing-key-cert",
		"revision-counter", "superencrypted", "signature"); err != nil {
		return nil, err
	}
	if items[0].Keyword != "hs-descriptor" || items[len(items)-1].Keyword != "signature" {
		return nil, fmt.Errorf("%w: does not begin with hs-descriptor and end with signature", ErrMalformed)
	}
	if version := doc.arg("hs-descriptor"); version != "3" {
		return nil, fmt.Errorf("%w: version %.8q", ErrMalformed, version)
	}
	s := &Sealed{Blinded: blinded}
	if s.Lifetime, err = parseLifetime(doc.arg("descriptor-lifetime")); err != nil {
		return nil, err
	}
	if s.Revision, err = strconv.ParseUint(doc.arg("revision-counter"), 10, 64); err != nil {
		return nil, fmt.Errorf("%w: revision-counter", ErrMalformed)
	}
	if s.sealed, err = doc.object("superencrypted", messageType); err != nil {
		return nil, err
	}
	return s, s.verify(doc, text, now)
}

// verify checks the chain from the blinded key to the text.
func (s *Sealed) verify(doc document, text []byte, now time.Time) error {
	object, err := doc.object("descriptor-signing-key-cert", certType)
	if err != nil {
		return err
	}
	c, err := parseCert(object, cert.TypeHSSigning)
	if err != nil {
		return err
	}
	if err := c.Verify(s.Blinded, now); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	s.signing, s.CertExpires = c.Key, c.Expires
	var signature [ed25519.SignatureSize]byte
	if !netdoc.DecodeBase64(signature[:], doc.arg("signature")) {
		return fmt.Errorf("%w: signature", ErrMalformed)
	}
	signed := append([]byte(signaturePrefix), text[doc[0].Start:doc[len(doc)-1].Start]...)
	if !ed25519.Verify(s.signing[:], signed, signature[:]) {
		return ErrSignature
	}
	return nil
}

// parseCert reads a certificate that must name the key that signed it.
func parseCert(object []byte, want cert.Type) (*cert.Ed25519, error) {
	c, err := cert.ParseEd25519(object)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if c.Type != want || c.KeyType != cert.KeyEd25519 || !c.HasSignedWith {
		return nil, fmt.Errorf("%w: %v where type %d with its signing key is due", ErrMalformed, c.Type, want)
	}
	return c, nil
}

func parseLifetime(s string) (time.Duration, error) {
	minutes, err := strconv.ParseUint(s, 10, 16)
	lifetime := time.Duration(minutes) * time.Minute
	if err != nil || lifetime == 0 || lifetime > maxLifetime {
		return 0, fmt.Errorf("%w: descriptor-lifetime", ErrMalformed)
	}
	return lifetime, nil
}

// Decrypt opens both layers. client is the private x25519 key of an authorised
// client, nil for none; one that the service does not ask for is not used.
// now decides which introduction points' certificates are in force. Errors:
// ErrDecrypt, ErrNeedsAuth, ErrBadAuth, ErrMalformed.
func (s *Sealed) Decrypt(sub onion.Subcredential, client *[32]byte, now time.Time) (*Descriptor, error) {
	l := layer{constant: middleConstant, blinded: s.Blinded, subcredential: sub, revision: s.Revision}
	text, ok := l.open(s.sealed)
	if !ok {
		return nil, ErrDecrypt
	}
	items, err := netdoc.Items("descriptor's first layer", text, maxAccepted, maxItems)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	m, err := parseMiddle(items)
	if err != nil {
		return nil, err
	}
	l.constant = innerConstant
	if text, ok = l.open(m.sealed); ok {
		return s.parseInner(text, now)
	}
	if client == nil {
		return nil, ErrNeedsAuth
	}
	if l.cookie, ok = m.cookie(sub, *client); !ok {
		return nil, ErrBadAuth
	}
	if text, ok = l.open(m.sealed); !ok {
		return nil, ErrBadAuth
	}
	return s.parseInner(text, now)
}

// middle is the first layer's plaintext.
type middle struct {
	ephemeral [32]byte
	clients   []authClient
	sealed    []byte
}

func parseMiddle(items []netdoc.Item) (*middle, error) {
	doc := document(items)
	if err := doc.once("desc-auth-type", "desc-auth-ephemeral-key", "encrypted"); err != nil {
		return nil, err
	}
	if kind := doc.arg("desc-auth-type"); kind != "x25519" {
		return nil, fmt.Errorf("%w: desc-auth-type %.16q", ErrMalformed, kind)
	}
	m := new(middle)
	if !netdoc.DecodeBase64(m.ephemeral[:], doc.arg("desc-auth-ephemeral-key")) {
		return nil, fmt.Errorf("%w: desc-auth-ephemeral-key", ErrMalformed)
	}
	for _, it := range items {
		if it.Keyword != "auth-client" {
			continue
		}
		var c authClient
		if len(it.Args) < 3 || !netdoc.DecodeBase64(c.id[:], it.Args[0]) ||
			!netdoc.DecodeBase64(c.iv[:], it.Args[1]) || !netdoc.DecodeBase64(c.cookie[:], it.Args[2]) {
			return nil, fmt.Errorf("%w: auth-client", ErrMalformed)
		}
		m.clients = append(m.clients, c)
	}
	var err error
	m.sealed, err = doc.object("encrypted", messageType)
	return m, err
}

// cookie finds and decrypts this client's line, looking at all of them.
func (m *middle) cookie(sub onion.Subcredential, private [32]byte) ([]byte, bool) {
	id, key, err := clientKeys(sub, private, m.ephemeral)
	if err != nil {
		return nil, false
	}
	var found *authClient
	for i := range m.clients {
		if subtle.ConstantTimeCompare(m.clients[i].id[:], id[:]) == 1 {
			found = &m.clients[i]
		}
	}
	if found == nil {
		return nil, false
	}
	cookie := found.cookie
	ctr(key, found.iv, cookie[:])
	return cookie[:], true
}

// document looks items up by keyword.
type document []netdoc.Item

// once wants each keyword exactly once.
func (d document) once(keywords ...string) error {
	seen := make(map[string]int)
	for _, it := range d {
		seen[it.Keyword]++
	}
	for _, k := range keywords {
		if seen[k] != 1 {
			return fmt.Errorf("%w: %d lines %q", ErrMalformed, seen[k], k)
		}
	}
	return nil
}

func (d document) find(keyword string) *netdoc.Item {
	for i := range d {
		if d[i].Keyword == keyword {
			return &d[i]
		}
	}
	return nil
}

// arg is the first argument of a line, "" when there is none.
func (d document) arg(keyword string) string {
	if it := d.find(keyword); it != nil && len(it.Args) > 0 {
		return it.Args[0]
	}
	return ""
}

func (d document) object(keyword, kind string) ([]byte, error) {
	it := d.find(keyword)
	if it == nil || it.ObjectType != kind || len(it.Object) == 0 {
		return nil, fmt.Errorf("%w: %s without its %s", ErrMalformed, keyword, kind)
	}
	return it.Object, nil
}
