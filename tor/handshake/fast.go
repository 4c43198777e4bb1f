package handshake

import (
	"crypto/sha1"
	"crypto/subtle"
	"fmt"
	"io"
)

// Message lengths of the CREATE_FAST handshake in bytes (tor-spec 5.1.5).
const (
	FastOnionskinLen = 20
	FastReplyLen     = 20 + 20 // relay's key material, derivative key data
)

// Fast is a client's CREATE_FAST handshake that waits for its reply. It is used
// once and is not safe for concurrent use. Its secrecy and authenticity are those
// of the TLS connection that carries it.
type Fast struct {
	x       [FastOnionskinLen]byte
	pending bool
}

// StartFast begins a CREATE_FAST handshake. It reads 20 bytes from rand and returns
// them as the body to send. Errors: those of rand.
func StartFast(rand io.Reader) (*Fast, []byte, error) {
	f := &Fast{pending: true}
	if _, err := io.ReadFull(rand, f.x[:]); err != nil {
		return nil, nil, fmt.Errorf("fast client key: %w", err)
	}
	return f, append([]byte(nil), f.x[:]...), nil
}

// Finish checks the relay's 40-byte reply (bytes after those are cell padding) and
// derives the circuit keys. The handshake is spent afterwards. Errors: ErrShort,
// ErrAuth, ErrSpent.
func (f *Fast) Finish(reply []byte) (KeyMaterial, error) {
	if !f.pending {
		return KeyMaterial{}, fmt.Errorf("fast: %w", ErrSpent)
	}
	f.pending = false
	defer clear(f.x[:])
	if len(reply) < FastReplyLen {
		return KeyMaterial{}, fmt.Errorf("fast reply of %d bytes, want %d: %w", len(reply), FastReplyLen, ErrShort)
	}
	keys := kdfFast(f.x[:], reply[:20])
	if subtle.ConstantTimeCompare(keys.KH[:], reply[20:FastReplyLen]) != 1 {
		keys.Wipe()
		return KeyMaterial{}, fmt.Errorf("fast: %w", ErrAuth)
	}
	return keys, nil
}

// ServeFast is the relay's half: it answers a CREATE_FAST body (bytes after the
// first 20 are cell padding). It reads 20 bytes from rand and returns the 40-byte
// reply and the circuit keys. Errors: ErrShort, those of rand.
func ServeFast(rand io.Reader, onionskin []byte) ([]byte, KeyMaterial, error) {
	if len(onionskin) < FastOnionskinLen {
		return nil, KeyMaterial{}, fmt.Errorf("fast onionskin of %d bytes, want %d: %w", len(onionskin), FastOnionskinLen, ErrShort)
	}
	reply := make([]byte, FastReplyLen)
	if _, err := io.ReadFull(rand, reply[:20]); err != nil {
		return nil, KeyMaterial{}, fmt.Errorf("fast relay key: %w", err)
	}
	keys := kdfFast(onionskin[:FastOnionskinLen], reply[:20])
	copy(reply[20:], keys.KH[:])
	return reply, keys, nil
}

// kdfFast derives circuit keys from K0 = X | Y.
func kdfFast(x, y []byte) KeyMaterial {
	var k0 [40]byte
	copy(k0[:20], x)
	copy(k0[20:], y)
	defer clear(k0[:])
	k := make([]byte, KeyMaterialLen)
	defer clear(k)
	kdfTor(k, k0[:])
	return keysFast((*[KeyMaterialLen]byte)(k))
}

// kdfTor fills dst with H(k0|0) | H(k0|1) | … (KDF-TOR, tor-spec 5.2.1).
// dst holds at most 256 hashes: the counter is one byte.
func kdfTor(dst, k0 []byte) {
	buf := make([]byte, len(k0)+1)
	defer clear(buf)
	copy(buf, k0)
	for i := 0; len(dst) > 0; i++ {
		buf[len(k0)] = byte(i)
		sum := sha1.Sum(buf)
		dst = dst[copy(dst, sum[:]):]
	}
}
