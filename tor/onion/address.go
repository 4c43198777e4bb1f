package onion

import (
	"crypto/sha3"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
)

// Why a name is no onion address; callers match with errors.Is. Every error of
// [ParseAddress] and [ParseHost] wraps one of them. None repeats the name, for
// errors may be logged.
var (
	// ErrNotOnion: the name does not end in ".onion".
	ErrNotOnion = errors.New("not an .onion name")
	// ErrLength: the label before ".onion" has not 56 characters. An address of
	// the abandoned version 2 has 16.
	ErrLength = errors.New("onion address of the wrong length")
	// ErrEncoding: not base32.
	ErrEncoding = errors.New("onion address is not base32")
	// ErrVersion: another version than 3.
	ErrVersion = errors.New("onion address of an unknown version")
	// ErrChecksum: mistyped.
	ErrChecksum = errors.New("onion address with a wrong checksum")
	// ErrKey: the key is not a point of the curve's prime-order group. Such a
	// key would be a second spelling of another service's name.
	ErrKey = errors.New("onion address with an invalid key")
)

const (
	addressVersion = 3
	labelLen       = 56 // base32 of 32 + 2 + 1 bytes
	suffix         = ".onion"
)

// base32Lower is base32 in lower case without padding, as Tor writes it.
var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Address is a service's identity: its Ed25519 public key (KP_hs_id). It prints
// as "[redacted].onion"; [Address.Host] spells it.
type Address [32]byte

// ParseAddress reads a name of the form "<56 characters>.onion", in either case,
// without subdomain. Errors: those of this file.
func ParseAddress(name string) (Address, error) {
	label, ok := cutSuffixFold(name, suffix)
	if !ok {
		return Address{}, ErrNotOnion
	}
	return parseLabel(label)
}

// ParseHost reads the host of a request: as [ParseAddress], but labels may stand
// before the address ("www.<address>.onion"). They reach the service in the
// request alone, as with C tor.
func ParseHost(host string) (Address, error) {
	label, ok := cutSuffixFold(host, suffix)
	if !ok {
		return Address{}, ErrNotOnion
	}
	if i := strings.LastIndexByte(label, '.'); i >= 0 {
		if label[0] == '.' || strings.Contains(label, "..") {
			return Address{}, fmt.Errorf("%w: empty label", ErrEncoding)
		}
		label = label[i+1:]
	}
	return parseLabel(label)
}

// IsOnion tells whether a host is in .onion, however wrong it may be: such a
// name must never be asked of an exit or of DNS (RFC 7686).
func IsOnion(host string) bool {
	host = strings.TrimRight(host, ".")
	_, ok := cutSuffixFold(host, suffix)
	return ok || strings.EqualFold(host, "onion")
}

func cutSuffixFold(s, suffix string) (string, bool) {
	n := len(s) - len(suffix)
	if n < 0 || !strings.EqualFold(s[n:], suffix) {
		return s, false
	}
	return s[:n], true
}

func parseLabel(label string) (a Address, err error) {
	if len(label) != labelLen {
		return Address{}, fmt.Errorf("%w: %d characters, want %d", ErrLength, len(label), labelLen)
	}
	raw, err := base32Lower.DecodeString(strings.ToLower(label))
	if err != nil {
		return Address{}, ErrEncoding // the library's error would say where, that is, what
	}
	if version := raw[34]; version != addressVersion {
		return Address{}, fmt.Errorf("%w: %d", ErrVersion, version)
	}
	copy(a[:], raw)
	if sum := a.checksum(); sum[0] != raw[32] || sum[1] != raw[33] {
		return Address{}, ErrChecksum
	}
	if _, err := groupElement(a); err != nil {
		return Address{}, ErrKey
	}
	return a, nil
}

// NewAddress is the address of an identity key. Error: ErrKey.
func NewAddress(identity [32]byte) (Address, error) {
	if _, err := groupElement(identity); err != nil {
		return Address{}, ErrKey
	}
	return Address(identity), nil
}

// Host is the full name, "<56 characters>.onion", in lower case. It is what a
// user must be able to read and what must not be logged.
func (a Address) Host() string {
	sum := a.checksum()
	raw := make([]byte, 0, 35)
	raw = append(raw, a[:]...)
	raw = append(raw, sum[0], sum[1], addressVersion)
	return base32Lower.EncodeToString(raw) + suffix
}

// Format implements fmt.Formatter so that no verb can print an address.
func (Address) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted].onion")) }

// checksum is CHECKSUM of rend-spec-v3 section 6.
func (a Address) checksum() [2]byte {
	h := sha3.New256()
	_, _ = h.Write([]byte(".onion checksum"))
	_, _ = h.Write(a[:])
	_, _ = h.Write([]byte{addressVersion})
	return [2]byte(h.Sum(nil))
}

// ValidKey tells whether a public key is a canonical encoding of a point of order
// l, as every Ed25519 key of a service must be.
func ValidKey(key [32]byte) bool {
	_, err := groupElement(key)
	return err == nil
}

// errPoint: not a canonical encoding of a point of order l.
var errPoint = errors.New("not a point of the prime-order group")

// groupElement decodes a public key and refuses what is not exactly of the prime
// order l: the neutral element, low order, a torsion component, and encodings
// that are not canonical.
func groupElement(key [32]byte) (*edwards25519.Point, error) {
	p, err := new(edwards25519.Point).SetBytes(key[:])
	if err != nil || [32]byte(p.Bytes()) != key {
		return nil, errPoint
	}
	identity := edwards25519.NewIdentityPoint()
	if p.Equal(identity) == 1 {
		return nil, errPoint
	}
	// l·P = (l−1)·P + P, and l−1 is what −1 reduces to.
	minusOne := edwards25519.NewScalar().Negate(scalarOne)
	order := new(edwards25519.Point).ScalarMult(minusOne, p)
	if order.Add(order, p).Equal(identity) != 1 {
		return nil, errPoint
	}
	return p, nil
}

var scalarOne = func() *edwards25519.Scalar {
	one, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic(err) // 1 is below l
	}
	return one
}()
