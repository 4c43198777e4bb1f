package share

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// MaxAge is how far the time in a value and that of who reads it may be apart: clocks that
// are an hour off each way, and an hour more.
const MaxAge = 3 * time.Hour

// ErrSealed: a value was not made with the service's key, for this place, or it was changed.
var ErrSealed = errors.New("shared onion service: not sealed with the service's key")

// ErrForm: a value is of a form that another version of chive writes. It cannot be read, and is
// no less a value: whoever writes the lease in it holds it.
var ErrForm = fmt.Errorf("shared onion service: a value of another form than %d: its node runs another version of chive", sealForm)

// ErrAge: a value is of another time: it was stored again by somebody, or a clock is off.
var ErrAge = fmt.Errorf("shared onion service: a value is more than %v off", MaxAge)

// Keys are what a service's values are named and sealed with. They print as "[redacted]".
type Keys struct{ tag, seal [32]byte }

// Format implements fmt.Formatter so that no verb can print them.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// NewKeys makes them. secret derives as many bytes as asked from the service's identity
// secret key and a label, so that labels tell nothing of each other.
func NewKeys(secret func(label string, n int) []byte) Keys {
	return Keys{
		tag:  [32]byte(secret("chive onion share: name", 32)),
		seal: [32]byte(secret("chive onion share: seal", 32)),
	}
}

// The names of values, behind the service's.
const (
	leaseName  = ".lease"
	memberName = ".node."
)

// Tag names the service in one fleet: 32 letters, which tell nothing of its address.
func (k *Keys) Tag(fleet string) string {
	mac := hmac.New(sha256.New, k.tag[:])
	_, _ = mac.Write([]byte(fleet))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// LeaseKey and MemberKey are where the lease and a node's entry are stored.
func LeaseKey(tag string) string        { return tag + leaseName }
func MemberKey(tag, node string) string { return tag + memberName + node }

// NodeOf is the node whose entry is at a key; false: it is no node's.
func NodeOf(tag, key string) (node string, ok bool) {
	node, ok = strings.CutPrefix(key, tag+memberName)
	return node, ok && node != "" && len(node) <= MaxName
}

const (
	// sealForm is the first byte of a value. It grows when a lease or a member's entry has other
	// fields. Timing is of all forms: who cannot read a lease sees that it is renewed.
	sealForm = 2
	// padTo hides how much there is to say.
	padTo = 512
)

// shut seals a text for a place: the form, the nonce, and the text with its length and
// zeros up to a multiple of padTo.
func (k *Keys) shut(rand io.Reader, fleet, key string, text []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.seal[:])
	if err != nil {
		return nil, err
	}
	padded := make([]byte, (len(text)+2+padTo-1)/padTo*padTo)
	padded[0], padded[1] = byte(len(text)>>8), byte(len(text))
	copy(padded[2:], text)
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(padded)+aead.Overhead())
	out[0] = sealForm
	if _, err := io.ReadFull(rand, out[1:]); err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	if cap(out) > MaxValue {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrValue, cap(out), MaxValue)
	}
	return aead.Seal(out, out[1:], padded, place(fleet, key)), nil
}

// place is what a seal is bound to beside the text.
func place(fleet, key string) []byte { return []byte(fleet + "\x00" + key) }

func (k *Keys) open(fleet, key string, b []byte) ([]byte, error) {
	const head = 1 + chacha20poly1305.NonceSizeX
	switch {
	case len(b) > MaxValue || len(b) < head:
		return nil, ErrSealed
	case b[0] != sealForm:
		return nil, ErrForm
	}
	aead, err := chacha20poly1305.NewX(k.seal[:])
	if err != nil {
		return nil, err
	}
	padded, err := aead.Open(nil, b[1:head], b[head:], place(fleet, key))
	if err != nil {
		return nil, ErrSealed
	}
	if len(padded) < 2 || len(padded)%padTo != 0 {
		return nil, ErrValue
	}
	n := int(padded[0])<<8 | int(padded[1])
	if n > len(padded)-2 {
		return nil, ErrValue
	}
	return padded[2 : 2+n], nil
}

// SealLease makes the value of the lease.
func (k *Keys) SealLease(rand io.Reader, fleet, tag string, l *Lease) ([]byte, error) {
	return k.shut(rand, fleet, LeaseKey(tag), l.append(nil))
}

// OpenLease reads one. Errors: ErrSealed, ErrForm, ErrValue, ErrAge.
func (k *Keys) OpenLease(fleet, tag string, b []byte, now time.Time) (Lease, error) {
	text, err := k.open(fleet, LeaseKey(tag), b)
	if err != nil {
		return Lease{}, err
	}
	l, err := parseLease(text)
	if err == nil && apart(l.Time, now) {
		err = ErrAge
	}
	return l, err
}

// SealMember makes a node's entry.
func (k *Keys) SealMember(rand io.Reader, fleet, tag string, m *Member) ([]byte, error) {
	text, err := m.append(nil)
	if err != nil {
		return nil, err
	}
	return k.shut(rand, fleet, MemberKey(tag, m.Node), text)
}

// OpenMember reads the entry of a node. Errors: ErrSealed, ErrForm, ErrValue, ErrAge.
func (k *Keys) OpenMember(fleet, tag, node string, b []byte, now time.Time) (Member, error) {
	text, err := k.open(fleet, MemberKey(tag, node), b)
	if err != nil {
		return Member{}, err
	}
	m, err := parseMember(text)
	switch {
	case err != nil:
		return Member{}, err
	case m.Node != node:
		return Member{}, fmt.Errorf("%w: another node's", ErrValue)
	case apart(m.Time, now):
		return Member{}, ErrAge
	}
	return m, nil
}

func apart(a, b time.Time) bool { return a.Sub(b).Abs() > MaxAge }
