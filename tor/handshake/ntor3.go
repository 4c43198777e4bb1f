package handshake

import (
	"crypto/ecdh"
	"crypto/sha3"
	"crypto/subtle"
	"fmt"
	"io"
)

// Lengths of the ntor-v3 handshake in bytes, without what either side says in it
// (proposal 332).
const (
	Ntor3OnionskinLen = 32 + 32 + 32 + 32 // node id, onion key, client's public key, MAC
	Ntor3ReplyLen     = 32 + 32           // relay's public key, authenticator
)

// CircuitVerification is the verification string of circuit extension (proposal 332
// leaves it to the use).
const CircuitVerification = "circuit extend"

// Tags of the ntor-v3 protocol (proposal 332, A.1).
const (
	proto3ID   = "ntor3-curve25519-sha3_256-1"
	t3MsgKDF   = proto3ID + ":kdf_phase1"
	t3MsgMAC   = proto3ID + ":msg_mac"
	t3KeySeed  = proto3ID + ":key_seed"
	t3Verify   = proto3ID + ":verify"
	t3KDFFinal = proto3ID + ":kdf_final"
	t3Auth     = proto3ID + ":auth_final"
)

// Ntor3 is a client's ntor-v3 handshake that waits for its reply. It is used once and
// is not safe for concurrent use.
type Ntor3 struct {
	secret       *ecdh.PrivateKey // nil: spent, or never begun
	in           ntor3Input
	verification string
	mac          [32]byte
}

// StartNtor3 begins a handshake with the relay whose Ed25519 identity is id and whose
// curve25519 onion key is onionKey, for a use that the verification string names, and
// says a message that only that relay can read. It reads 32 bytes from rand and returns
// the onionskin, of Ntor3OnionskinLen bytes and the message's. Errors: ErrLowOrder, those
// of rand.
func StartNtor3(rand io.Reader, id, onionKey [32]byte, verification string, message []byte) (*Ntor3, []byte, error) {
	secret, err := newSecret(rand)
	if err != nil {
		return nil, nil, fmt.Errorf("ntor3 client key: %w", err)
	}
	n := &Ntor3{secret: secret, verification: verification, in: ntor3Input{id: id, onion: onionKey}}
	copy(n.in.client[:], secret.PublicKey().Bytes())
	if err := exp(&n.in.static, secret, onionKey[:]); err != nil {
		return nil, nil, fmt.Errorf("ntor3: relay's onion key: %w", err)
	}
	skin := make([]byte, 0, Ntor3OnionskinLen+len(message))
	skin = append(skin, id[:]...)
	skin = append(skin, onionKey[:]...)
	skin = append(skin, n.in.client[:]...)
	skin = append(skin, message...)
	n.mac = n.in.seal(verification, skin[96:])
	return n, append(skin, n.mac[:]...), nil
}

// Finish checks the relay's reply, fills keys with the circuit's key stream and returns
// what the relay said. The handshake is spent afterwards. Errors: ErrShort, ErrLowOrder,
// ErrAuth, ErrSpent.
func (n *Ntor3) Finish(reply, keys []byte) (message []byte, err error) {
	secret := n.secret
	if secret == nil {
		return nil, fmt.Errorf("ntor3: %w", ErrSpent)
	}
	n.secret = nil
	defer n.in.wipe()
	if len(reply) < Ntor3ReplyLen {
		return nil, fmt.Errorf("ntor3 reply of %d bytes, want %d: %w", len(reply), Ntor3ReplyLen, ErrShort)
	}
	copy(n.in.relay[:], reply)
	if err := exp(&n.in.ephemeral, secret, n.in.relay[:]); err != nil {
		return nil, fmt.Errorf("ntor3: relay's key: %w", err)
	}
	sealed := reply[Ntor3ReplyLen:]
	stream, want := n.in.finish(n.verification, n.mac, func([]byte) []byte { return sealed })
	if subtle.ConstantTimeCompare(want[:], reply[32:Ntor3ReplyLen]) != 1 {
		return nil, fmt.Errorf("ntor3: %w", ErrAuth)
	}
	message = make([]byte, len(sealed))
	crypt(stream.messageKey, message, sealed)
	stream.read(keys)
	return message, nil
}

// ServeNtor3 is the relay's half: it answers an onionskin addressed to the Ed25519
// identity id and to the onion key whose private part is onionPriv, with what answer
// makes of the client's message, and fills keys with the circuit's key stream. It reads
// 32 bytes from rand. Errors: ErrShort, ErrWrongRelay, ErrLowOrder, ErrAuth, those of
// rand and answer.
func ServeNtor3(rand io.Reader, id, onionPriv [32]byte, verification string, onionskin []byte,
	answer func(message []byte) ([]byte, error), keys []byte,
) (reply []byte, err error) {
	if len(onionskin) < Ntor3OnionskinLen {
		return nil, fmt.Errorf("ntor3 onionskin of %d bytes, want %d: %w", len(onionskin), Ntor3OnionskinLen, ErrShort)
	}
	static, err := ecdh.X25519().NewPrivateKey(onionPriv[:])
	if err != nil {
		return nil, fmt.Errorf("ntor3 onion key: %w", err)
	}
	in := ntor3Input{id: id, onion: [32]byte(static.PublicKey().Bytes()), client: [32]byte(onionskin[64:])}
	defer in.wipe()
	sameID := subtle.ConstantTimeCompare(onionskin[:32], in.id[:])
	sameKey := subtle.ConstantTimeCompare(onionskin[32:64], in.onion[:])
	if sameID&sameKey != 1 {
		return nil, fmt.Errorf("ntor3: %w", ErrWrongRelay)
	}
	if err := exp(&in.static, static, in.client[:]); err != nil {
		return nil, fmt.Errorf("ntor3: client's key: %w", err)
	}
	sealed, mac := onionskin[96:len(onionskin)-32], [32]byte(onionskin[len(onionskin)-32:])
	keys1 := in.messageKeys(verification)
	defer keys1.wipe()
	want := in.mac(&keys1, sealed)
	if subtle.ConstantTimeCompare(want[:], mac[:]) != 1 {
		return nil, fmt.Errorf("ntor3: %w", ErrAuth)
	}
	message := make([]byte, len(sealed))
	crypt(keys1.encKey, message, sealed)
	said, err := answer(message)
	if err != nil {
		return nil, err
	}
	ephemeral, err := newSecret(rand)
	if err != nil {
		return nil, fmt.Errorf("ntor3 relay key: %w", err)
	}
	copy(in.relay[:], ephemeral.PublicKey().Bytes())
	if err := exp(&in.ephemeral, ephemeral, in.client[:]); err != nil {
		return nil, fmt.Errorf("ntor3: client's key: %w", err)
	}
	sealed = make([]byte, len(said))
	stream, auth := in.finish(verification, mac, func(key []byte) []byte {
		crypt([32]byte(key), sealed, said)
		return sealed
	})
	stream.read(keys)
	reply = append(in.relay[:len(in.relay):len(in.relay)], auth[:]...)
	return append(reply, sealed...), nil
}

// ntor3Input holds what both sides feed into the hashes, named after its owner.
type ntor3Input struct {
	ephemeral [32]byte // EXP(X,y) = EXP(Y,x)
	static    [32]byte // EXP(X,b) = EXP(B,x)
	id        [32]byte // ID
	onion     [32]byte // B
	client    [32]byte // X
	relay     [32]byte // Y
}

func (in *ntor3Input) wipe() { *in = ntor3Input{} }

// messageKeys protect the client's message.
func (in *ntor3Input) messageKeys(verification string) (k messageKeys) {
	kdf := tagged(sha3.NewSHAKE256(), t3MsgKDF)
	write(kdf, in.static[:], in.id[:], in.client[:], in.onion[:], []byte(proto3ID), encap([]byte(verification)))
	fill(kdf, k.encKey[:], k.macKey[:])
	return k
}

// mac is that of the client's message in its sealed form.
func (in *ntor3Input) mac(k *messageKeys, sealed []byte) (mac [32]byte) {
	h := tagged(sha3.New256(), t3MsgMAC)
	write(h, encap(k.macKey[:]), in.id[:], in.onion[:], in.client[:], sealed)
	h.Sum(mac[:0])
	return mac
}

// seal encrypts the client's message in place and gives its MAC.
func (in *ntor3Input) seal(verification string, message []byte) [32]byte {
	k := in.messageKeys(verification)
	defer k.wipe()
	crypt(k.encKey, message, message)
	return in.mac(&k, message)
}

// keyStream is what a handshake yields: the key of the relay's message, then keys of any
// length.
type keyStream struct {
	messageKey [32]byte
	kdf        *sha3.SHAKE
}

// read takes the next bytes of the stream and ends it.
func (s *keyStream) read(keys []byte) { fill(s.kdf, keys) }

// finish gives the key stream and the relay's authenticator of its sealed message, which
// the function is asked for with the key that seals it.
func (in *ntor3Input) finish(verification string, mac [32]byte, sealed func(key []byte) []byte) (s keyStream, auth [32]byte) {
	secret := make([]byte, 0, 6*32+len(proto3ID)+8+len(verification))
	for _, part := range [][]byte{
		in.ephemeral[:], in.static[:], in.id[:], in.onion[:], in.client[:], in.relay[:], []byte(proto3ID), encap([]byte(verification)),
	} {
		secret = append(secret, part...)
	}
	defer clear(secret)
	var seed, verify [32]byte
	defer clear(seed[:])
	defer clear(verify[:])
	h := tagged(sha3.New256(), t3KeySeed)
	write(h, secret)
	h.Sum(seed[:0])
	h = tagged(sha3.New256(), t3Verify)
	write(h, secret)
	h.Sum(verify[:0])
	s.kdf = tagged(sha3.NewSHAKE256(), t3KDFFinal)
	write(s.kdf, seed[:])
	fill(s.kdf, s.messageKey[:])
	h = tagged(sha3.New256(), t3Auth)
	write(h, verify[:], in.id[:], in.onion[:], in.relay[:], in.client[:], mac[:], encap(sealed(s.messageKey[:])), []byte(proto3ID+"Server"))
	h.Sum(auth[:0])
	return s, auth
}
