package descriptor

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/sha3"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"chive/tor/handshake"
	"chive/tor/onion"
)

const (
	saltLen   = 16
	macLen    = 32
	cookieLen = 16
	clientLen = 8

	middleConstant = "hsdir-superencrypted-data"
	innerConstant  = "hsdir-encrypted-data"
)

// layer is one of the two encryptions (rend-spec-v3 section 2.5.3).
type layer struct {
	constant      string
	blinded       onion.BlindedKey
	cookie        []byte // descriptor cookie, empty without client authorisation
	subcredential onion.Subcredential
	revision      uint64
}

// layerKeys is what the KDF yields for one salt.
type layerKeys struct {
	key [32]byte
	iv  [aes.BlockSize]byte
	mac [32]byte
}

func (l *layer) keys(salt []byte) *layerKeys {
	kdf := sha3.NewSHAKE256()
	for _, part := range [][]byte{
		l.blinded[:], l.cookie, l.subcredential[:], binary.BigEndian.AppendUint64(nil, l.revision),
		salt, []byte(l.constant),
	} {
		_, _ = kdf.Write(part)
	}
	k := new(layerKeys)
	for _, part := range [][]byte{k.key[:], k.iv[:], k.mac[:]} {
		_, _ = kdf.Read(part)
	}
	return k
}

// seal is SALT | ENCRYPTED | MAC.
func (l *layer) seal(rand io.Reader, plaintext []byte) ([]byte, error) {
	out := make([]byte, saltLen, saltLen+len(plaintext)+macLen)
	if _, err := io.ReadFull(rand, out); err != nil {
		return nil, fmt.Errorf("descriptor salt: %w", err)
	}
	k := l.keys(out)
	out = append(out, plaintext...)
	ctr(k.key, k.iv, out[saltLen:])
	mac := k.authenticate(out[:saltLen], out[saltLen:])
	return append(out, mac[:]...), nil
}

// open checks and decrypts a sealed text, and cuts the padding off: everything
// from the first zero byte on, as C tor does.
func (l *layer) open(sealed []byte) ([]byte, bool) {
	if len(sealed) <= saltLen+macLen {
		return nil, false
	}
	salt, encrypted, mac := sealed[:saltLen], sealed[saltLen:len(sealed)-macLen], sealed[len(sealed)-macLen:]
	k := l.keys(salt)
	want := k.authenticate(salt, encrypted)
	if subtle.ConstantTimeCompare(want[:], mac) != 1 {
		return nil, false
	}
	plaintext := append([]byte(nil), encrypted...)
	ctr(k.key, k.iv, plaintext)
	for i, c := range plaintext {
		if c == 0 {
			return plaintext[:i], true
		}
	}
	return plaintext, true
}

// authenticate is D_MAC.
func (k *layerKeys) authenticate(salt, encrypted []byte) [macLen]byte {
	return handshake.HSMAC(k.mac[:], binary.BigEndian.AppendUint64(nil, uint64(len(salt))), salt, encrypted)
}

// ctr is STREAM: AES-256 in counter mode, in place.
func ctr(key [32]byte, iv [aes.BlockSize]byte, text []byte) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	cipher.NewCTR(block, iv[:]).XORKeyStream(text, text)
}

// authClient is one auth-client line: the descriptor cookie for one client.
type authClient struct {
	id     [clientLen]byte
	iv     [aes.BlockSize]byte
	cookie [cookieLen]byte // encrypted
}

// clientKeys derives CLIENT-ID and COOKIE-KEY between a client's and the
// service's ephemeral key (section 2.5.1.2). Error: a low-order point.
func clientKeys(sub onion.Subcredential, private, public [32]byte) (id [clientLen]byte, key [32]byte, err error) {
	shared, err := x25519(private, public)
	if err != nil {
		return id, key, err
	}
	kdf := sha3.NewSHAKE256()
	_, _ = kdf.Write(sub[:])
	_, _ = kdf.Write(shared)
	_, _ = kdf.Read(id[:])
	_, _ = kdf.Read(key[:])
	return id, key, nil
}

func x25519(private, public [32]byte) ([]byte, error) {
	priv, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return nil, err
	}
	pub, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		return nil, err
	}
	return priv.ECDH(pub)
}

// lowOrder are the curve25519 keys with which every secret is the same, without their highest
// bit, which counts for nothing: the points of order 1, 2, 4 and 8 of the curve and of its
// twist, and the two that are such beyond the field's end (RFC 7748 section 5).
var lowOrder = [...][32]byte{
	{},
	{1},
	// 325606250916557431795983626356110631294008115727848805560023387167927233504
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
	// 39382357235489614581723060781553021112529911719440698176882885853963445705823
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
	beyond(-1), // the field has 2^255-19 elements
	beyond(0),
	beyond(1),
}

// beyond is 2^255-19+n, for small n.
func beyond(n int8) (p [32]byte) {
	for i := range p {
		p[i] = 0xff
	}
	p[0], p[31] = byte(int(0xed)+int(n)), 0x7f
	return p
}

// usablePoint refuses the curve25519 keys of lowOrder. What is multiplied with them is nobody's
// secret yet: it need not take the same time for all.
func usablePoint(public [32]byte) bool {
	public[31] &= 0x7f
	return !slices.Contains(lowOrder[:], public)
}
