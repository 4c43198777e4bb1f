package handshake

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
)

// Message lengths of the ntor handshake in bytes (tor-spec 5.1.4).
const (
	NtorOnionskinLen = 20 + 32 + 32 // node id, onion key, client's public key
	NtorReplyLen     = 32 + 32      // relay's public key, authenticator
)

// Tags of the ntor protocol (tor-spec 5.1.4).
const (
	protoID = "ntor-curve25519-sha256-1"
	tMAC    = protoID + ":mac"
	tKey    = protoID + ":key_extract"
	tVerify = protoID + ":verify"
	mExpand = protoID + ":key_expand"
)

// Ntor is a client's ntor handshake that waits for its reply. It is used once and
// is not safe for concurrent use.
type Ntor struct {
	id      [20]byte // ID: the relay's RSA identity digest
	onion   [32]byte // B: the relay's onion key
	secret  *ecdh.PrivateKey
	started bool
}

// StartNtor begins a handshake with the relay whose RSA identity digest is id and
// whose curve25519 onion key is onionKey. It reads 32 bytes from rand and returns
// the 84-byte onionskin to send. Errors: those of rand.
func StartNtor(rand io.Reader, id [20]byte, onionKey [32]byte) (*Ntor, []byte, error) {
	secret, err := newSecret(rand)
	if err != nil {
		return nil, nil, fmt.Errorf("ntor client key: %w", err)
	}
	skin := make([]byte, 0, NtorOnionskinLen)
	skin = append(skin, id[:]...)
	skin = append(skin, onionKey[:]...)
	skin = append(skin, secret.PublicKey().Bytes()...)
	return &Ntor{id: id, onion: onionKey, secret: secret, started: true}, skin, nil
}

// Finish checks the relay's 64-byte reply (bytes after those are ignored, as
// CREATED2 may pad) and derives the circuit keys. The handshake is spent
// afterwards. Errors: ErrShort, ErrLowOrder, ErrAuth, ErrSpent.
func (n *Ntor) Finish(reply []byte) (KeyMaterial, error) {
	if !n.started || n.secret == nil {
		return KeyMaterial{}, fmt.Errorf("ntor: %w", ErrSpent)
	}
	secret := n.secret
	n.secret = nil
	if len(reply) < NtorReplyLen {
		return KeyMaterial{}, fmt.Errorf("ntor reply of %d bytes, want %d: %w", len(reply), NtorReplyLen, ErrShort)
	}
	relayKey, auth := reply[:32], reply[32:NtorReplyLen]

	var in ntorInput
	defer in.wipe()
	copy(in.id[:], n.id[:])
	copy(in.onion[:], n.onion[:])
	copy(in.client[:], secret.PublicKey().Bytes())
	copy(in.relay[:], relayKey)
	if err := exp(&in.ephemeral, secret, relayKey); err != nil {
		return KeyMaterial{}, fmt.Errorf("ntor: relay's key: %w", err)
	}
	if err := exp(&in.static, secret, n.onion[:]); err != nil {
		return KeyMaterial{}, fmt.Errorf("ntor: relay's onion key: %w", err)
	}
	want, keys, err := in.derive()
	if err != nil {
		return KeyMaterial{}, err
	}
	if subtle.ConstantTimeCompare(want[:], auth) != 1 {
		keys.Wipe()
		return KeyMaterial{}, fmt.Errorf("ntor: %w", ErrAuth)
	}
	return keys, nil
}

// ServeNtor is the relay's half: it answers an onionskin addressed to the RSA
// identity digest id and to the onion key whose private part is onionPriv. It reads
// 32 bytes from rand and returns the 64-byte reply and the circuit keys. Errors:
// ErrShort, ErrWrongRelay, ErrLowOrder, those of rand.
func ServeNtor(rand io.Reader, id [20]byte, onionPriv [32]byte, onionskin []byte) ([]byte, KeyMaterial, error) {
	if len(onionskin) < NtorOnionskinLen {
		return nil, KeyMaterial{}, fmt.Errorf("ntor onionskin of %d bytes, want %d: %w", len(onionskin), NtorOnionskinLen, ErrShort)
	}
	static, err := ecdh.X25519().NewPrivateKey(onionPriv[:])
	if err != nil {
		return nil, KeyMaterial{}, fmt.Errorf("ntor onion key: %w", err)
	}
	var in ntorInput
	defer in.wipe()
	copy(in.id[:], id[:])
	copy(in.onion[:], static.PublicKey().Bytes())
	copy(in.client[:], onionskin[52:NtorOnionskinLen])
	sameID := subtle.ConstantTimeCompare(onionskin[:20], in.id[:])
	sameKey := subtle.ConstantTimeCompare(onionskin[20:52], in.onion[:])
	if sameID&sameKey != 1 {
		return nil, KeyMaterial{}, fmt.Errorf("ntor: %w", ErrWrongRelay)
	}
	ephemeral, err := newSecret(rand)
	if err != nil {
		return nil, KeyMaterial{}, fmt.Errorf("ntor relay key: %w", err)
	}
	copy(in.relay[:], ephemeral.PublicKey().Bytes())
	if err := exp(&in.ephemeral, ephemeral, in.client[:]); err != nil {
		return nil, KeyMaterial{}, fmt.Errorf("ntor: client's key: %w", err)
	}
	if err := exp(&in.static, static, in.client[:]); err != nil {
		return nil, KeyMaterial{}, fmt.Errorf("ntor: client's key: %w", err)
	}
	auth, keys, err := in.derive()
	if err != nil {
		return nil, KeyMaterial{}, err
	}
	reply := make([]byte, 0, NtorReplyLen)
	reply = append(reply, in.relay[:]...)
	reply = append(reply, auth[:]...)
	return reply, keys, nil
}

// ntorInput holds the values both sides feed into the hash, named after their
// owner rather than by the specification's letters.
type ntorInput struct {
	ephemeral [32]byte // EXP(X,y) = EXP(Y,x)
	static    [32]byte // EXP(X,b) = EXP(B,x)
	id        [20]byte // ID
	onion     [32]byte // B
	client    [32]byte // X
	relay     [32]byte // Y
}

func (in *ntorInput) wipe() { *in = ntorInput{} }

// derive computes the relay's authenticator and the circuit keys.
func (in *ntorInput) derive() (auth [32]byte, keys KeyMaterial, err error) {
	secret := make([]byte, 0, 32+32+20+32+32+32+len(protoID))
	secret = append(secret, in.ephemeral[:]...)
	secret = append(secret, in.static[:]...)
	secret = append(secret, in.id[:]...)
	secret = append(secret, in.onion[:]...)
	secret = append(secret, in.client[:]...)
	secret = append(secret, in.relay[:]...)
	secret = append(secret, protoID...)
	defer clear(secret)

	verify := hmacSHA256(tVerify, secret)
	defer clear(verify)
	input := make([]byte, 0, 32+20+32+32+32+len(protoID)+len("Server"))
	input = append(input, verify...)
	input = append(input, in.id[:]...)
	input = append(input, in.onion[:]...)
	input = append(input, in.relay[:]...)
	input = append(input, in.client[:]...)
	input = append(input, protoID+"Server"...)
	defer clear(input)
	copy(auth[:], hmacSHA256(tMAC, input))

	keys, err = kdfNtor(secret)
	return auth, keys, err
}

// kdfNtor expands secret_input into circuit keys (tor-spec 5.2.2). hkdf.Key is
// extract with salt t_key, which yields KEY_SEED, and then expand with m_expand.
func kdfNtor(secretInput []byte) (KeyMaterial, error) {
	k, err := hkdf.Key(sha256.New, secretInput, []byte(tKey), mExpand, KeyMaterialLen)
	if err != nil {
		return KeyMaterial{}, fmt.Errorf("ntor key expansion: %w", err)
	}
	defer clear(k)
	return KeyMaterialOf((*[KeyMaterialLen]byte)(k)), nil
}

// hmacSHA256 is H(message, tag) of tor-spec 5.1.4: the tag is the key.
func hmacSHA256(tag string, message []byte) []byte {
	mac := hmac.New(sha256.New, []byte(tag))
	mac.Write(message)
	return mac.Sum(nil)
}

// newSecret reads a curve25519 private key from rand. It does not use
// ecdh.GenerateKey, which ignores the reader it is given and so could not be
// checked against published vectors.
func newSecret(rand io.Reader) (*ecdh.PrivateKey, error) {
	var b [32]byte
	defer clear(b[:])
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return nil, err
	}
	return ecdh.X25519().NewPrivateKey(b[:])
}

// exp stores the shared secret of secret and the 32-byte point peer in dst. The
// only failure that X25519 has is the all-zero result.
func exp(dst *[32]byte, secret *ecdh.PrivateKey, peer []byte) error {
	point, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return err
	}
	shared, err := secret.ECDH(point)
	if err != nil {
		return ErrLowOrder
	}
	copy(dst[:], shared)
	clear(shared)
	return nil
}
