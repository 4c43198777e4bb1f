package relaydouble

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"chive/tor/cert"
	"chive/tor/link/linktest"
)

// Keys are the keys of a real relay, whose place a hop takes.
type Keys struct {
	identity *linktest.RelayIdentity
	signing  []byte // certificate of type 4, by the relay's identity key
	onion    [32]byte
	listen   string
}

// MakeKeys makes the keys of a relay, for several doubles that are the same relay.
func MakeKeys(random io.Reader) (k Keys, err error) {
	if k.identity, err = linktest.MakeRelayIdentity(random); err != nil {
		return k, err
	}
	_, err = io.ReadFull(random, k.onion[:])
	return k, err
}

// OnionSecret is the private half of the ntor onion key.
func (k *Keys) OnionSecret() []byte { return bytes.Clone(k.onion[:]) }

// KeysOf reads the keys of a C tor relay in its data directory. The hop listens at
// an address of its own unless listen says where.
func KeysOf(dataDir, listen string, now time.Time) (Keys, error) {
	k := Keys{listen: listen}
	var err error
	if k.identity, err = linktest.MakeRelayIdentity(rand.Reader); err != nil {
		return k, err
	}
	file := func(name string) string { return filepath.Join(dataDir, "keys", name) }
	if k.identity.RSA, err = readRSA(file("secret_id_key")); err != nil {
		return k, err
	}
	onion, err := readTagged(file("secret_onion_key_ntor"), "== c25519v1: onion ==", 64)
	if err != nil {
		return k, err
	}
	k.onion = [32]byte(onion[:32])
	secret, err := readTagged(file("ed25519_master_id_secret_key"), "== ed25519v1-secret: type0 ==", 64)
	if err != nil {
		return k, err
	}
	public, err := readTagged(file("ed25519_master_id_public_key"), "== ed25519v1-public: type0 ==", 32)
	if err != nil {
		return k, err
	}
	// What is certified by this identity is certified here: tor keeps its key in a
	// form that crypto/ed25519 does not take.
	k.identity.Ed25519 = slices.Concat(make([]byte, 32), public)
	body := cert.SignEd25519(k.identity.Ed25519, cert.Ed25519{
		Type: cert.TypeIdentitySigning, Expires: now.Add(24 * time.Hour), KeyType: cert.KeyEd25519,
		Key: [32]byte(k.identity.Signing.Public().(ed25519.PublicKey)), HasSignedWith: true,
	})
	signed := body[:len(body)-ed25519.SignatureSize]
	k.signing = append(signed, signExpanded(secret, public, signed)...)
	if !ed25519.Verify(public, signed, k.signing[len(signed):]) {
		return k, errors.New("the relay's Ed25519 keys do not belong together")
	}
	return k, nil
}

func readRSA(name string) (*rsa.PrivateKey, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", name)
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

// readTagged reads a file of tor's crypto_write_tagged_contents_to_file: a tag,
// filled up with zeros to 32 bytes, and size bytes.
func readTagged(name, tag string, size int) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 32)
	copy(head, tag)
	if len(b) != 32+size || !bytes.Equal(b[:32], head) {
		return nil, fmt.Errorf("%s: %d bytes, want the tag %q and %d", name, len(b), tag, size)
	}
	return b[32:], nil
}

// Constants of edwards25519 (RFC 8032 §5.1).
var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	groupOrder = number("7237005577332262213973186563042994240857116359379907606001950938285454250989")
	curveD     = number("37095705934669439343138083508754565189542113879843219016388785533085940283555")
	baseX      = number("15112221349535400772501151409588531511454012693041857206046113283949847762202")
	baseY      = number("46316835694926478169428394003475163141307993866256225615783033603165251855960")
)

func number(decimal string) *big.Int {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		panic("not a number: " + decimal)
	}
	return n
}

// signExpanded is Ed25519 with an expanded secret key, scalar and prefix: what
// RFC 8032 makes of a seed first. Slow and not in constant time: for tests.
func signExpanded(secret, public, message []byte) []byte {
	hash := func(parts ...[]byte) *big.Int {
		h := sha512.Sum512(slices.Concat(parts...))
		n := little(h[:])
		return n.Mod(n, groupOrder)
	}
	r := hash(secret[32:], message)
	point := timesBase(r)
	k := hash(point, public, message)
	s := k.Mul(k, little(secret[:32])).Add(k, r).Mod(k, groupOrder)
	return append(point, littleBytes(s)...)
}

func little(b []byte) *big.Int {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func littleBytes(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

// timesBase is the encoding of n times the base point.
func timesBase(n *big.Int) []byte {
	x, y := big.NewInt(0), big.NewInt(1)
	for i := n.BitLen() - 1; i >= 0; i-- {
		x, y = addPoints(x, y, x, y)
		if n.Bit(i) == 1 {
			x, y = addPoints(x, y, baseX, baseY)
		}
	}
	b := littleBytes(y)
	b[31] |= byte(x.Bit(0)) << 7
	return b
}

func addPoints(x1, y1, x2, y2 *big.Int) (x, y *big.Int) {
	mul := func(a, b *big.Int) *big.Int {
		c := new(big.Int).Mul(a, b)
		return c.Mod(c, fieldPrime)
	}
	over := func(a, b *big.Int) *big.Int { return mul(a, new(big.Int).ModInverse(b, fieldPrime)) }
	one := big.NewInt(1)
	cross := mul(curveD, mul(mul(x1, x2), mul(y1, y2)))
	sum := func(a, b *big.Int) *big.Int { c := new(big.Int).Add(a, b); return c.Mod(c, fieldPrime) }
	minus := new(big.Int).Sub(one, cross)
	return over(sum(mul(x1, y2), mul(x2, y1)), sum(one, cross)), over(sum(mul(y1, y2), mul(x1, x2)), minus.Mod(minus, fieldPrime))
}
