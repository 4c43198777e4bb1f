package netdoctest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"

	"chive/tor/netdoc"
)

const rsaExponent = 65537

// newRSAKey makes a key from a seeded stream. The standard library's GenerateKey is not repeatable by design.
func newRSAKey(random io.Reader, bits int) *rsa.PrivateKey {
	e := big.NewInt(rsaExponent)
	for {
		p, q := newPrime(random, bits/2), newPrime(random, bits/2)
		n := new(big.Int).Mul(p, q)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, phi)
		if d == nil || p.Cmp(q) == 0 || n.BitLen() != bits {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: rsaExponent}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		return key
	}
}

var one = big.NewInt(1)

// newPrime has its two highest bits set, so that a product of two has exactly twice the bits.
func newPrime(random io.Reader, bits int) *big.Int {
	b := make([]byte, bits/8)
	for {
		mustRead(random, b)
		b[0] |= 0xc0
		b[len(b)-1] |= 1
		if p := new(big.Int).SetBytes(b); p.ProbablyPrime(10) {
			return p
		}
	}
}

func mustRead(random io.Reader, b []byte) {
	if _, err := io.ReadFull(random, b); err != nil {
		panic(err)
	}
}

// digestOf is the identity that a key gives.
func digestOf(key *rsa.PrivateKey) netdoc.Digest {
	return sha1.Sum(x509.MarshalPKCS1PublicKey(&key.PublicKey))
}

func publicPEM(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
}

// signRaw signs a bare digest, without the algorithm identifier (dir-spec 1.3).
func signRaw(key *rsa.PrivateKey, digest []byte) []byte {
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.Hash(0), digest)
	if err != nil {
		panic(err)
	}
	return signature
}

func signaturePEM(objType string, signature []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: objType, Bytes: signature})
}
