package handshake

import (
	"crypto/ecdh"
	"crypto/sha3"
	"crypto/subtle"
	"fmt"
	"io"
)

// Tags of the hs-ntor protocol (rend-spec-v3 section 3.3.2).
const (
	hsProtoID  = "tor-hs-ntor-curve25519-sha3-256-1"
	tHSEnc     = hsProtoID + ":hs_key_extract"
	tHSVerify  = hsProtoID + ":hs_verify"
	tHSMAC     = hsProtoID + ":hs_mac"
	mHSExpand  = hsProtoID + ":hs_key_expand"
	hsMACLen   = 32
	hsOverhead = 32 + hsMACLen
)

// Lengths of the hs-ntor handshake in bytes.
const (
	// HSNtorOverhead is what sealing adds to a plaintext: the client's key and
	// the MAC.
	HSNtorOverhead = hsOverhead
	// HSNtorReplyLen is the service's reply: its key and the authenticator.
	HSNtorReplyLen = 32 + hsMACLen
)

// HSIntroduction names whom a client introduces itself to: the keys of one
// introduction point in the service's descriptor.
type HSIntroduction struct {
	AuthKey       [32]byte // Ed25519, names the introduction circuit (KP_hs_ipt_sid)
	EncKey        [32]byte // curve25519, of the service (KP_hss_ntor)
	Subcredential [32]byte // N_hs_subcred: a secret of those who know the address
}

// HSKeyMaterial is what client and service share at the end: digest seeds and
// AES-256 keys, "forward" meaning from the client to the service (rend-spec-v3
// section 4.2.1). It prints as "[redacted]".
type HSKeyMaterial struct {
	Df, Db [32]byte
	Kf, Kb [32]byte
}

// Wipe overwrites the keys with zeroes, as far as that goes.
func (k *HSKeyMaterial) Wipe() { *k = HSKeyMaterial{} }

// Format implements fmt.Formatter so that no verb can print a key.
func (HSKeyMaterial) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// HSNtor is a client's hs-ntor handshake through one introduction point: sealed
// into an INTRODUCE1 cell, finished by what a RENDEZVOUS2 cell brings. It is good
// for one introduction; a retry takes another. Not safe for concurrent use.
type HSNtor struct {
	to     HSIntroduction
	secret *ecdh.PrivateKey
	static [32]byte // EXP(B,x)
	sealed bool
}

// StartHSNtor begins a handshake. It reads 32 bytes from rand. A zero or
// low-order encryption key gives ErrLowOrder: whoever published it wants the
// shared secret known.
func StartHSNtor(rand io.Reader, to HSIntroduction) (*HSNtor, error) {
	secret, err := newSecret(rand)
	if err != nil {
		return nil, fmt.Errorf("hs-ntor client key: %w", err)
	}
	n := &HSNtor{to: to, secret: secret}
	if err := exp(&n.static, secret, to.EncKey[:]); err != nil {
		return nil, fmt.Errorf("hs-ntor: service's encryption key: %w", err)
	}
	return n, nil
}

// Seal encrypts and authenticates the plaintext of an INTRODUCE1 cell whose
// earlier bytes are header: CLIENT_PK, ciphertext, MAC. It is called once; twice
// would use one key stream for two texts, and panics.
func (n *HSNtor) Seal(header, plaintext []byte) []byte {
	if n.secret == nil || n.sealed {
		panic("handshake: hs-ntor sealed twice")
	}
	client := [32]byte(n.secret.PublicKey().Bytes())
	keys := hsIntroKeys(&n.static, client, &n.to)
	defer keys.wipe()
	n.sealed = true
	out := make([]byte, 0, len(plaintext)+hsOverhead)
	out = append(out, client[:]...)
	out = append(out, plaintext...)
	crypt(keys.encKey, out[32:], out[32:])
	mac := HSMAC(keys.macKey[:], header, out)
	return append(out, mac[:]...)
}

// Finish checks the service's reply (bytes after the first 64 are padding) and
// derives the keys. The handshake is spent afterwards. Errors: ErrShort,
// ErrLowOrder, ErrAuth, ErrSpent.
func (n *HSNtor) Finish(reply []byte) (HSKeyMaterial, error) {
	if n.secret == nil {
		return HSKeyMaterial{}, fmt.Errorf("hs-ntor: %w", ErrSpent)
	}
	secret, static := n.secret, n.static
	n.secret, n.static = nil, [32]byte{}
	defer clear(static[:])
	if len(reply) < HSNtorReplyLen {
		return HSKeyMaterial{}, fmt.Errorf("hs-ntor reply of %d bytes, want %d: %w", len(reply), HSNtorReplyLen, ErrShort)
	}
	in := hsRendInput{
		static: static, auth: n.to.AuthKey, enc: n.to.EncKey,
		client: [32]byte(secret.PublicKey().Bytes()), service: [32]byte(reply[:32]),
	}
	defer in.wipe()
	if err := exp(&in.ephemeral, secret, in.service[:]); err != nil {
		return HSKeyMaterial{}, fmt.Errorf("hs-ntor: service's key: %w", err)
	}
	want, keys := in.derive()
	if subtle.ConstantTimeCompare(want[:], reply[32:HSNtorReplyLen]) != 1 {
		keys.Wipe()
		return HSKeyMaterial{}, fmt.Errorf("hs-ntor: %w", ErrAuth)
	}
	return keys, nil
}

// HSNtorService is a service's end of one introduction point.
type HSNtorService struct {
	authKey [32]byte
	encKey  *ecdh.PrivateKey
}

// NewHSNtorService takes the introduction point's authentication key and the
// private part of its encryption key.
func NewHSNtorService(authKey, encPriv [32]byte) (*HSNtorService, error) {
	priv, err := ecdh.X25519().NewPrivateKey(encPriv[:])
	if err != nil {
		return nil, fmt.Errorf("hs-ntor encryption key: %w", err)
	}
	return &HSNtorService{authKey: authKey, encKey: priv}, nil
}

// EncKey is the public encryption key, as the descriptor names it.
func (s *HSNtorService) EncKey() [32]byte { return [32]byte(s.encKey.PublicKey().Bytes()) }

// HSNtorRequest is one client's introduction that a service has opened.
type HSNtorRequest struct {
	// Plaintext is what the client sealed, with its padding.
	Plaintext []byte
	// Subcredential is the index of the one that the client used.
	Subcredential int

	service *HSNtorService
	client  [32]byte
	static  [32]byte
}

// Open checks and decrypts the ENCRYPTED part of an INTRODUCE2 cell whose earlier
// bytes are header. All subcredentials are tried (a service has one for each
// descriptor that is alive), in a time that does not tell which was right.
// Errors: ErrShort, ErrLowOrder, ErrAuth.
func (s *HSNtorService) Open(subcredentials [][32]byte, header, encrypted []byte) (*HSNtorRequest, error) {
	if len(encrypted) < hsOverhead {
		return nil, fmt.Errorf("hs-ntor introduction of %d bytes, want %d: %w", len(encrypted), hsOverhead, ErrShort)
	}
	sealed, mac := encrypted[:len(encrypted)-hsMACLen], encrypted[len(encrypted)-hsMACLen:]
	r := &HSNtorRequest{service: s, client: [32]byte(sealed), Subcredential: -1}
	if err := exp(&r.static, s.encKey, r.client[:]); err != nil {
		return nil, fmt.Errorf("hs-ntor: client's key: %w", err)
	}
	var right messageKeys
	defer right.wipe()
	for i, sub := range subcredentials {
		to := HSIntroduction{AuthKey: s.authKey, EncKey: s.EncKey(), Subcredential: sub}
		keys := hsIntroKeys(&r.static, r.client, &to)
		want := HSMAC(keys.macKey[:], header, sealed)
		if subtle.ConstantTimeCompare(want[:], mac) == 1 {
			right, r.Subcredential = *keys, i
		}
		keys.wipe()
	}
	if r.Subcredential < 0 {
		return nil, fmt.Errorf("hs-ntor introduction: %w", ErrAuth)
	}
	r.Plaintext = make([]byte, len(sealed)-32)
	crypt(right.encKey, r.Plaintext, sealed[32:])
	return r, nil
}

// Reply answers the introduction: the HANDSHAKE_INFO of a RENDEZVOUS1 cell (64
// bytes) and the keys. It reads 32 bytes from rand. Errors: those of rand,
// ErrLowOrder.
func (r *HSNtorRequest) Reply(rand io.Reader) ([]byte, HSKeyMaterial, error) {
	ephemeral, err := newSecret(rand)
	if err != nil {
		return nil, HSKeyMaterial{}, fmt.Errorf("hs-ntor service key: %w", err)
	}
	in := hsRendInput{
		static: r.static, auth: r.service.authKey, enc: r.service.EncKey(),
		client: r.client, service: [32]byte(ephemeral.PublicKey().Bytes()),
	}
	defer in.wipe()
	if err := exp(&in.ephemeral, ephemeral, in.client[:]); err != nil {
		return nil, HSKeyMaterial{}, fmt.Errorf("hs-ntor: client's key: %w", err)
	}
	auth, keys := in.derive()
	reply := make([]byte, 0, HSNtorReplyLen)
	reply = append(reply, in.service[:]...)
	return append(reply, auth[:]...), keys, nil
}

// hsIntroKeys derives ENC_KEY and MAC_KEY of section 3.3.2.
func hsIntroKeys(static *[32]byte, client [32]byte, to *HSIntroduction) *messageKeys {
	kdf := sha3.NewSHAKE256()
	write(kdf, static[:], to.AuthKey[:], client[:], to.EncKey[:], []byte(hsProtoID),
		[]byte(tHSEnc), []byte(mHSExpand), to.Subcredential[:])
	k := new(messageKeys)
	fill(kdf, k.encKey[:], k.macKey[:])
	return k
}

// hsRendInput holds the values both sides feed into the hash, named after their
// owner.
type hsRendInput struct {
	ephemeral [32]byte // EXP(X,y) = EXP(Y,x)
	static    [32]byte // EXP(X,b) = EXP(B,x)
	auth      [32]byte // AUTH_KEY
	enc       [32]byte // B
	client    [32]byte // X
	service   [32]byte // Y
}

func (in *hsRendInput) wipe() { *in = hsRendInput{} }

// derive computes the service's authenticator and the keys.
func (in *hsRendInput) derive() (auth [hsMACLen]byte, keys HSKeyMaterial) {
	secret := make([]byte, 0, 6*32+len(hsProtoID))
	for _, part := range [][]byte{
		in.ephemeral[:], in.static[:], in.auth[:], in.enc[:], in.client[:], in.service[:], []byte(hsProtoID),
	} {
		secret = append(secret, part...)
	}
	defer clear(secret)
	seed := HSMAC(secret, []byte(tHSEnc))
	verify := HSMAC(secret, []byte(tHSVerify))
	input := make([]byte, 0, 5*32+len(hsProtoID)+len("Server"))
	for _, part := range [][]byte{
		verify[:], in.auth[:], in.enc[:], in.service[:], in.client[:], []byte(hsProtoID), []byte("Server"),
	} {
		input = append(input, part...)
	}
	defer clear(input)
	return HSMAC(input, []byte(tHSMAC)), expandHSKeys(&seed)
}

// expandHSKeys is the key expansion of section 4.2.1.
func expandHSKeys(seed *[32]byte) (keys HSKeyMaterial) {
	kdf := sha3.NewSHAKE256()
	write(kdf, seed[:], []byte(mHSExpand))
	fill(kdf, keys.Df[:], keys.Db[:], keys.Kf[:], keys.Kb[:])
	clear(seed[:])
	return keys
}

// HSMAC is MAC of rend-spec-v3 section 0.3: SHA3-256 of the key's length, the key
// and the message.
func HSMAC(key []byte, message ...[]byte) (out [hsMACLen]byte) {
	h := sha3.New256()
	write(h, encap(key))
	write(h, message...)
	h.Sum(out[:0])
	return out
}
