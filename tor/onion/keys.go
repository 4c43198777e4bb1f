package onion

import (
	"crypto/ed25519"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

// Strings of rend-spec-v3 section 2.1 and appendix A.2.
const (
	blindString     = "Derive temporary signing key\x00"
	blindHashString = "Derive temporary signing key hash input"
	blindNonce      = "key-blind"
	basePoint       = "(15112221349535400772501151409588531511454012693041857206046113283949847762202, " +
		"46316835694926478169428394003475163141307993866256225615783033603165251855960)"
)

// BlindedKey is a service's public key in one period (KP_hs_blind_id).
type BlindedKey [32]byte

// Subcredential is N_hs_subcred: who holds it knows the service's address. It is
// a secret and prints as "[redacted]".
type Subcredential [32]byte

// Format implements fmt.Formatter so that no verb can print it.
func (Subcredential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Equal compares in constant time.
func (s Subcredential) Equal(o Subcredential) bool {
	return subtle.ConstantTimeCompare(s[:], o[:]) == 1
}

// Blind derives the service's public key of a period. Error: ErrKey when the
// address was not made by this package's functions and is no valid key.
func (a Address) Blind(p Period) (BlindedKey, error) {
	return a.blindWith(blindingHash(a, p))
}

func (a Address) blindWith(h [32]byte) (BlindedKey, error) {
	point, err := groupElement(a)
	if err != nil {
		return BlindedKey{}, ErrKey
	}
	return BlindedKey(point.ScalarMult(blindingFactor(h), point).Bytes()), nil
}

// Subcredential derives N_hs_subcred for a blinded key of this service.
func (a Address) Subcredential(blinded BlindedKey) Subcredential {
	credential := sum256([]byte("credential"), a[:])
	return sum256([]byte("subcredential"), credential[:], blinded[:])
}

// blindingHash is h of appendix A.2 before clamping. Tor never sets the optional
// secret.
func blindingHash(a Address, p Period) [32]byte {
	nonce := binary.BigEndian.AppendUint64([]byte(blindNonce), p.Number)
	nonce = binary.BigEndian.AppendUint64(nonce, p.Minutes)
	return sum256([]byte(blindString), a[:], []byte(basePoint), nonce)
}

func blindingFactor(h [32]byte) *edwards25519.Scalar {
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:])
	if err != nil {
		panic(err) // 32 bytes always clamp
	}
	return s
}

// SecretKey is an Ed25519 secret key in the expanded form that Tor keeps (64
// bytes: the scalar, then the seed of nonces). Blinded keys have no shorter form.
// It prints as "[redacted]".
//
// The scalar is kept as it came. Tor's identity scalars are clamped integers,
// not reduced modulo l; what is computed with them is the same.
type SecretKey struct {
	bytes  [64]byte
	scalar *edwards25519.Scalar
	public [32]byte
}

// errSecret: the scalar is zero, which signs for everybody.
var errSecret = errors.New("secret key with a zero scalar")

// GenerateSecretKey makes a new identity key from 32 bytes of rand.
func GenerateSecretKey(rand io.Reader) (*SecretKey, error) {
	var seed [32]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("onion identity key: %w", err)
	}
	return SecretKeyOfSeed(seed), nil
}

// SecretKeyOfSeed expands an ordinary Ed25519 seed (RFC 8032 section 5.1.5).
func SecretKeyOfSeed(seed [32]byte) *SecretKey {
	expanded := sha512.Sum512(seed[:])
	expanded[0] &= 248
	expanded[31] = expanded[31]&127 | 64
	k, err := NewSecretKey(expanded)
	if err != nil {
		panic(err) // bit 254 is set: the scalar is not zero modulo l
	}
	return k
}

// NewSecretKey takes an expanded secret key. It refuses a zero scalar.
func NewSecretKey(expanded [64]byte) (*SecretKey, error) {
	var wide [64]byte
	copy(wide[:], expanded[:32])
	defer clear(wide[:])
	scalar, err := edwards25519.NewScalar().SetUniformBytes(wide[:])
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	if scalar.Equal(edwards25519.NewScalar()) == 1 {
		return nil, errSecret
	}
	return newSecretKey(expanded, scalar), nil
}

func newSecretKey(expanded [64]byte, scalar *edwards25519.Scalar) *SecretKey {
	k := &SecretKey{bytes: expanded, scalar: scalar}
	copy(k.public[:], new(edwards25519.Point).ScalarBaseMult(scalar).Bytes())
	return k
}

// Bytes is the expanded key, as key files hold it. It is a secret.
func (k *SecretKey) Bytes() [64]byte { return k.bytes }

// PublicKey is the public key.
func (k *SecretKey) PublicKey() [32]byte { return k.public }

// Address is the name of the service whose identity key this is.
func (k *SecretKey) Address() Address { return Address(k.public) }

// Format implements fmt.Formatter so that no verb can print a key.
func (SecretKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Blind derives the service's secret key of a period; its public key is
// [Address.Blind].
func (k *SecretKey) Blind(p Period) *SecretKey {
	return k.blindWith(blindingHash(k.Address(), p))
}

func (k *SecretKey) blindWith(h [32]byte) *SecretKey {
	scalar := blindingFactor(h)
	scalar.Multiply(scalar, k.scalar)
	var expanded [64]byte
	copy(expanded[:], scalar.Bytes())
	nonces := sha512.New()
	_, _ = nonces.Write([]byte(blindHashString))
	_, _ = nonces.Write(k.bytes[32:])
	copy(expanded[32:], nonces.Sum(nil))
	return newSecretKey(expanded, scalar)
}

// Sign makes an Ed25519 signature (RFC 8032 section 5.1.6) that
// ed25519.Verify accepts.
func (k *SecretKey) Sign(message []byte) [ed25519.SignatureSize]byte {
	r := hashScalar(k.bytes[32:], message)
	point := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	challenge := hashScalar(point, k.public[:], message)
	s := edwards25519.NewScalar().MultiplyAdd(challenge, k.scalar, r)
	var sig [ed25519.SignatureSize]byte
	copy(sig[:], point)
	copy(sig[32:], s.Bytes())
	return sig
}

func hashScalar(parts ...[]byte) *edwards25519.Scalar {
	h := sha512.New()
	for _, part := range parts {
		_, _ = h.Write(part)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic(err) // 64 bytes always reduce
	}
	return s
}

func sum256(parts ...[]byte) (out [32]byte) {
	h := sha3.New256()
	for _, part := range parts {
		_, _ = h.Write(part)
	}
	h.Sum(out[:0])
	return out
}
