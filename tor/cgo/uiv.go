package cgo

import (
	"fmt"

	"chive/tor/polyval"
)

// Sizes in bytes (proposal 359; AES-128).
const (
	BodyLen  = 509
	TagLen   = 16
	rightLen = BodyLen - TagLen
	uivLen   = 4 * 16             // KB, KU, K, B
	KeysLen  = uivLen + TagLen    // keys of one direction of one hop: those of the UIV, and N
	tweakAt  = TagLen + 1         // X_R in the tweak
	tweakLen = tweakAt + rightLen // T', command, X_R: two bytes short of 32 blocks
)

// ivMask leaves six bits of the counter free, so that it never carries.
const ivMask = 0xc0

// uiv is the cipher of one direction's bodies at one end.
type uiv struct {
	decrypts bool
	block    aesKey // KB
	hash     polyval.Key
	stream   aesKey   // K
	b        [16]byte // B

	// Room to work in. The last two bytes of tweak stay zero.
	tweak [tweakLen + 2]byte
	mask  [16]byte
	iv    [16]byte
	next  [KeysLen]byte
}

// init takes KB, KU, K and B.
func (u *uiv) init(keys *[uivLen]byte, decrypts bool) error {
	u.decrypts = decrypts
	u.hash.Init((*[16]byte)(keys[16:]))
	copy(u.b[:], keys[48:])
	if err := rekey(&u.block, &u.stream, (*[16]byte)(keys[0:]), (*[16]byte)(keys[32:]), decrypts); err != nil {
		return fmt.Errorf("cgo: %w", err)
	}
	return nil
}

// encrypt is UIV encryption of a body in place, tweaked by the tag and the command.
func (u *uiv) encrypt(tag *[TagLen]byte, command byte, body *[BodyLen]byte) {
	left, right := halves(body)
	u.setTweak(tag, command)
	copy(u.tweak[tweakAt:], right[:])
	u.maskOf()
	u.block.encryptMasked(left, &u.mask)
	u.ivOf(left)
	u.stream.xorRight(&u.iv, right)
}

// decrypt is its inverse.
func (u *uiv) decrypt(tag *[TagLen]byte, command byte, body *[BodyLen]byte) {
	left, right := halves(body)
	u.setTweak(tag, command)
	u.ivOf(left)
	u.stream.xorRight(&u.iv, right)
	copy(u.tweak[tweakAt:], right[:])
	u.maskOf()
	u.block.decryptMasked(left, &u.mask)
}

func halves(body *[BodyLen]byte) (left *[TagLen]byte, right *[rightLen]byte) {
	return (*[TagLen]byte)(body[:]), (*[rightLen]byte)(body[TagLen:])
}

func (u *uiv) setTweak(tag *[TagLen]byte, command byte) {
	copy(u.tweak[:], tag[:])
	u.tweak[TagLen] = command
}

// maskOf hashes the tweak.
func (u *uiv) maskOf() {
	u.mask = [16]byte{}
	u.hash.Update(&u.mask, u.tweak[:])
}

// ivOf makes the PRF's first counter.
func (u *uiv) ivOf(input *[TagLen]byte) {
	polyval.Mul(&u.iv, input, &u.b)
	u.iv[15] &= ivMask
}

// update replaces the keys and the nonce by what the PRF makes of the nonce; the old ones
// cannot be had back.
func (u *uiv) update(nonce *[TagLen]byte) {
	u.ivOf(nonce)
	u.stream.keystream(&u.iv, &u.next)
	copy(nonce[:], u.next[uivLen:])
	// A key of 16 bytes is always a key: what init can refuse, it refused before.
	_ = u.init((*[uivLen]byte)(u.next[:]), u.decrypts)
	u.next = [KeysLen]byte{}
}

// secondPart is the place in the PRF's stream, in blocks, of what update takes.
const secondPart = 31
