package onion

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"time"
)

// MaxRevisionOffset bounds the offset that a revision counter encrypts, as C tor
// does: three days, longer than a slot lives.
const MaxRevisionOffset = 262144 * time.Second

// revisionPrefix ends in a zero byte, as C tor's does; the specification's text
// has none. Services that share a key race only if they count alike.
const revisionPrefix = "rev-counter-generation\x00"

// RevisionCounter is a descriptor's revision counter at a time: the seconds since
// the slot's shared random value came, order-preserving encrypted with a key that
// follows from the period's blinded secret key (rend-spec-v3 appendix F.2). It
// grows with time, tells nothing of the host's clock beyond that, and is the same
// on every host that serves this identity. A time before the slot's start counts
// as its start, one past MaxRevisionOffset as that: the caller must not rely on
// growth then, nor when the clock was set back.
func RevisionCounter(blinded *SecretKey, slot Slot, now time.Time) uint64 {
	return NewRevisionKey(blinded).Counter(slot, now)
}

// RevisionKey encrypts the revision counters of one period. It is a secret, but
// signs nothing, so a host that has no blinded secret key may hold it. It prints
// as "[redacted]".
type RevisionKey [32]byte

// Format implements fmt.Formatter so that no verb can print it.
func (RevisionKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// NewRevisionKey derives the key from the period's blinded secret key.
func NewRevisionKey(blinded *SecretKey) RevisionKey {
	secret := blinded.Bytes()
	defer clear(secret[:])
	return sum256([]byte(revisionPrefix), secret[:])
}

// Counter is as [RevisionCounter].
func (key RevisionKey) Counter(slot Slot, now time.Time) uint64 {
	offset := min(max(now.Sub(slot.RunStart), 0)+time.Second, MaxRevisionOffset)
	return encryptOffset(key, int(offset/time.Second))
}

// encryptOffset adds the first n little-endian words of the key's AES-256-CTR
// stream, each one plus one. n is at least 1.
func encryptOffset(key [32]byte, n int) uint64 {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	var iv [aes.BlockSize]byte
	stream := cipher.NewCTR(block, iv[:])
	sum := uint64(n)
	var buf [8192]byte
	for left := 2 * n; left > 0; left -= len(buf) {
		words := buf[:min(left, len(buf))]
		clear(words)
		stream.XORKeyStream(words, words)
		for i := 0; i < len(words); i += 2 {
			sum += uint64(words[i]) | uint64(words[i+1])<<8
		}
	}
	return sum
}
