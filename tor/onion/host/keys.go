package host

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/descriptor"
)

// probeKey makes messages that are thrown away, to see whether they can be made.
var probeKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// PeriodKeys are what it takes to publish for one period. The blinded secret key
// is not among them.
type PeriodKeys struct {
	Period   onion.Period
	Blinded  onion.BlindedKey
	Revision onion.RevisionKey
	Signing  ed25519.PrivateKey // of descriptors
	Cert     []byte             // Signing's, by the blinded key
	Expires  time.Time          // of Cert
}

// Keys gives the keys of periods.
type Keys interface {
	// Period gives those of one. Error: ErrNoKeys, those of rand.
	Period(rand io.Reader, p onion.Period, now time.Time) (PeriodKeys, error)
	// Until is when they no longer do for all that is published; limited false: they
	// always do. The zero time: they never do.
	Until(onion.Schedule) (until time.Time, limited bool)
}

// Online derives the keys of every period from the identity key. Each period has
// one signing key; each call certifies it anew.
type Online struct {
	identity *onion.SecretKey
	recent   [4]PeriodKeys // by period number
}

// NewOnline takes the identity key.
func NewOnline(identity *onion.SecretKey) *Online { return &Online{identity: identity} }

// Period implements [Keys].
func (o *Online) Period(rand io.Reader, p onion.Period, now time.Time) (PeriodKeys, error) {
	k := &o.recent[p.Number%uint64(len(o.recent))]
	expires := now.Add(descriptor.CertLifetime)
	if k.Signing == nil || k.Period != p {
		made, err := Delegate(o.identity, rand, p, expires)
		if err != nil {
			return PeriodKeys{}, err
		}
		*k = made
		return made, nil
	}
	k.Cert = descriptor.CertifySigningKey(o.identity.Blind(p), k.Signing.Public().(ed25519.PublicKey), expires)
	k.Expires = expires
	return *k, nil
}

// Until implements [Keys].
func (o *Online) Until(onion.Schedule) (until time.Time, limited bool) { return time.Time{}, false }

// Delegate makes the keys of one period, good until expires, for a host that has
// no identity key. It reads 32 bytes from rand.
func Delegate(identity *onion.SecretKey, rand io.Reader, p onion.Period, expires time.Time) (PeriodKeys, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return PeriodKeys{}, fmt.Errorf("descriptor signing key: %w", err)
	}
	blinded, signing := identity.Blind(p), ed25519.NewKeyFromSeed(seed)
	return PeriodKeys{
		Period: p, Blinded: blinded.PublicKey(), Revision: onion.NewRevisionKey(blinded), Signing: signing,
		Cert:    descriptor.CertifySigningKey(blinded, signing.Public().(ed25519.PublicKey), expires),
		Expires: expires,
	}, nil
}

func compareKeys(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }
