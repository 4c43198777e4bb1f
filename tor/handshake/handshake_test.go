package handshake

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// vectors are published results of C tor and of its reference script; testdata
// names the source of each.
type vectors struct {
	Ntor []struct {
		ID           string `json:"id"`
		OnionSecret  string `json:"onion_secret"`
		OnionPublic  string `json:"onion_public"`
		ClientSecret string `json:"client_secret"`
		RelaySecret  string `json:"relay_secret"`
		Onionskin    string `json:"onionskin"`
		Reply        string `json:"reply"`
		Keys         string `json:"keys"` // the first bytes of the KDF
	} `json:"ntor"`
	Fast []struct {
		Client string `json:"client"`
		Reply  string `json:"reply"`
		Keys   string `json:"keys"` // the bytes after KH
	} `json:"fast"`
	KDFTor []struct {
		K0 string `json:"k0_text"`
		K  string `json:"k"`
	} `json:"kdf_tor"`
	KDFNtor []struct {
		SecretInput string `json:"secret_input_text"`
		K           string `json:"k"`
	} `json:"kdf_ntor"`
}

func loadVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Ntor) == 0 || len(v.Fast) == 0 || len(v.KDFTor) == 0 || len(v.KDFNtor) == 0 {
		t.Fatal("testdata/vectors.json lacks a section")
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ntorOrder lays keys out as the ntor KDF yields them: Df, Db, Kf, Kb, KH.
func ntorOrder(k KeyMaterial) []byte {
	return bytes.Join([][]byte{k.Df[:], k.Db[:], k.Kf[:], k.Kb[:], k.KH[:]}, nil)
}

func TestNtorVectors(t *testing.T) {
	for _, v := range loadVectors(t).Ntor {
		id := [20]byte(unhex(t, v.ID))
		onion := [32]byte(unhex(t, v.OnionPublic))
		client, skin, err := StartNtor(bytes.NewReader(unhex(t, v.ClientSecret)), id, onion)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(skin); got != v.Onionskin {
			t.Errorf("onionskin\n got %s\nwant %s", got, v.Onionskin)
		}
		reply, served, err := ServeNtor(bytes.NewReader(unhex(t, v.RelaySecret)), id, [32]byte(unhex(t, v.OnionSecret)), skin)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(reply); got != v.Reply {
			t.Errorf("reply\n got %s\nwant %s", got, v.Reply)
		}
		keys, err := client.Finish(reply)
		if err != nil {
			t.Fatal(err)
		}
		if keys != served {
			t.Error("client and relay derived different keys")
		}
		if got := ntorOrder(keys); !bytes.HasPrefix(got, unhex(t, v.Keys)) {
			t.Errorf("keys\n got %x\nwant %s…", got, v.Keys)
		}
	}
}

func TestFastVectors(t *testing.T) {
	for _, v := range loadVectors(t).Fast {
		client, skin, err := StartFast(bytes.NewReader(unhex(t, v.Client)))
		if err != nil {
			t.Fatal(err)
		}
		want := unhex(t, v.Reply)
		reply, served, err := ServeFast(bytes.NewReader(want[:20]), skin)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(reply, want) {
			t.Errorf("reply\n got %x\nwant %x", reply, want)
		}
		keys, err := client.Finish(reply)
		if err != nil {
			t.Fatal(err)
		}
		if keys != served {
			t.Error("client and relay derived different keys")
		}
		got := bytes.Join([][]byte{keys.Df[:], keys.Db[:], keys.Kf[:], keys.Kb[:]}, nil)
		if !bytes.HasPrefix(unhex(t, v.Keys), got) {
			t.Errorf("keys\n got %x\nwant %s", got, v.Keys)
		}
	}
}

// Section 5.2.1: K = H(K0 | [00]) | H(K0 | [01]) | …
func TestKDFTorVectors(t *testing.T) {
	for _, v := range loadVectors(t).KDFTor {
		want := unhex(t, v.K)
		got := make([]byte, len(want))
		kdfTor(got, []byte(v.K0))
		if !bytes.Equal(got, want) {
			t.Errorf("KDF-TOR(%q)\n got %x\nwant %x", v.K0, got, want)
		}
	}
}

// Section 5.2.2: HKDF-SHA256 with salt t_key and info m_expand.
func TestKDFNtorVectors(t *testing.T) {
	for _, v := range loadVectors(t).KDFNtor {
		keys, err := kdfNtor([]byte(v.SecretInput))
		if err != nil {
			t.Fatal(err)
		}
		if got := ntorOrder(keys); !bytes.HasPrefix(unhex(t, v.K), got) {
			t.Errorf("KDF-RFC5869(%q)\n got %x\nwant %s", v.SecretInput, got, v.K)
		}
	}
}

// relay is one relay's long-term keys.
type relay struct {
	id     [20]byte
	secret [32]byte
	public [32]byte
}

func newRelay(t *testing.T) (r relay) {
	t.Helper()
	key, err := newSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(rand.Reader, r.id[:]); err != nil {
		t.Fatal(err)
	}
	copy(r.secret[:], key.Bytes())
	copy(r.public[:], key.PublicKey().Bytes())
	return r
}

// Section 5.1.4: "The client verifies that AUTH == H(auth_input, t_mac)."
// Every single bit of the reply is authenticated, even the top bit of Y, which
// curve25519 ignores: Y itself is part of auth_input.
func TestNtorClientRefusesChangedReply(t *testing.T) {
	r := newRelay(t)
	for bit := range NtorReplyLen * 8 {
		client, skin, err := StartNtor(rand.Reader, r.id, r.public)
		if err != nil {
			t.Fatal(err)
		}
		reply, _, err := ServeNtor(rand.Reader, r.id, r.secret, skin)
		if err != nil {
			t.Fatal(err)
		}
		reply[bit/8] ^= 1 << (bit % 8)
		if keys, err := client.Finish(reply); !errors.Is(err, ErrAuth) || keys != (KeyMaterial{}) {
			t.Fatalf("bit %d flipped: err %v, want ErrAuth and no keys", bit, err)
		}
	}
}

// A relay that does not hold the onion key cannot answer: not with its own key,
// and not under another identity.
func TestNtorClientRefusesImpostor(t *testing.T) {
	wanted, impostor := newRelay(t), newRelay(t)
	tests := map[string]func(skin []byte) (id [20]byte, secret [32]byte){
		"other onion key": func(skin []byte) ([20]byte, [32]byte) {
			copy(skin[20:52], impostor.public[:])
			return wanted.id, impostor.secret
		},
		"other identity": func(skin []byte) ([20]byte, [32]byte) {
			copy(skin[:20], impostor.id[:])
			return impostor.id, wanted.secret
		},
	}
	for name, swap := range tests {
		t.Run(name, func(t *testing.T) {
			client, skin, err := StartNtor(rand.Reader, wanted.id, wanted.public)
			if err != nil {
				t.Fatal(err)
			}
			id, secret := swap(skin)
			reply, _, err := ServeNtor(rand.Reader, id, secret, skin)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Finish(reply); !errors.Is(err, ErrAuth) {
				t.Errorf("got %v, want ErrAuth", err)
			}
		})
	}
}

func TestNtorRelayRefusesForeignOnionskin(t *testing.T) {
	r := newRelay(t)
	for name, at := range map[string]int{"identity": 0, "onion key": 20} {
		t.Run(name, func(t *testing.T) {
			_, skin, err := StartNtor(rand.Reader, r.id, r.public)
			if err != nil {
				t.Fatal(err)
			}
			skin[at] ^= 1
			if _, _, err := ServeNtor(rand.Reader, r.id, r.secret, skin); !errors.Is(err, ErrWrongRelay) {
				t.Errorf("got %v, want ErrWrongRelay", err)
			}
		})
	}
}

// lowOrder are the points of small order on curve25519 and its twist, with the
// non-canonical encodings that reduce to them (RFC 7748 section 6.1 asks for the
// all-zero check; the list is the one of "May the Fourth Be With You", 2017).
var lowOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
}

// Section 5.1.4: "Both parties check that none of the EXP() operations produced
// the point at infinity."
func TestNtorRefusesLowOrder(t *testing.T) {
	r := newRelay(t)
	for _, point := range lowOrder {
		bad := unhex(t, point)
		t.Run("relay's ephemeral "+point[:4], func(t *testing.T) {
			client, _, err := StartNtor(rand.Reader, r.id, r.public)
			if err != nil {
				t.Fatal(err)
			}
			reply := append(bytes.Clone(bad), make([]byte, 32)...)
			if _, err := client.Finish(reply); !errors.Is(err, ErrLowOrder) {
				t.Errorf("got %v, want ErrLowOrder", err)
			}
		})
		t.Run("onion key "+point[:4], func(t *testing.T) {
			client, _, err := StartNtor(rand.Reader, r.id, [32]byte(bad))
			if err != nil {
				t.Fatal(err)
			}
			reply := append(bytes.Clone(r.public[:]), make([]byte, 32)...)
			if _, err := client.Finish(reply); !errors.Is(err, ErrLowOrder) {
				t.Errorf("got %v, want ErrLowOrder", err)
			}
		})
		t.Run("client's ephemeral "+point[:4], func(t *testing.T) {
			skin := bytes.Join([][]byte{r.id[:], r.public[:], bad}, nil)
			if _, _, err := ServeNtor(rand.Reader, r.id, r.secret, skin); !errors.Is(err, ErrLowOrder) {
				t.Errorf("got %v, want ErrLowOrder", err)
			}
		})
	}
}

func TestShortMessages(t *testing.T) {
	r := newRelay(t)
	for n := range NtorReplyLen {
		client, _, err := StartNtor(rand.Reader, r.id, r.public)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Finish(make([]byte, n)); !errors.Is(err, ErrShort) {
			t.Errorf("ntor reply of %d bytes: got %v, want ErrShort", n, err)
		}
	}
	for n := range NtorOnionskinLen {
		if _, _, err := ServeNtor(rand.Reader, r.id, r.secret, make([]byte, n)); !errors.Is(err, ErrShort) {
			t.Errorf("ntor onionskin of %d bytes: got %v, want ErrShort", n, err)
		}
	}
	for n := range FastReplyLen {
		client, _, err := StartFast(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Finish(make([]byte, n)); !errors.Is(err, ErrShort) {
			t.Errorf("fast reply of %d bytes: got %v, want ErrShort", n, err)
		}
	}
	for n := range FastOnionskinLen {
		if _, _, err := ServeFast(rand.Reader, make([]byte, n)); !errors.Is(err, ErrShort) {
			t.Errorf("fast onionskin of %d bytes: got %v, want ErrShort", n, err)
		}
	}
}

// Section 5.1.5: KH demonstrates knowledge of the shared key, and cell padding
// after the fixed part is not ours to judge.
func TestFastReply(t *testing.T) {
	client, skin, err := StartFast(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	reply, served, err := ServeFast(rand.Reader, append(skin, 9, 9, 9))
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := client.Finish(append(reply, 7, 7)); err != nil || keys != served {
		t.Errorf("padded reply: err %v, same keys %v", err, keys == served)
	}
	for bit := range FastReplyLen * 8 {
		client, skin, err := StartFast(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		reply, _, err := ServeFast(rand.Reader, skin)
		if err != nil {
			t.Fatal(err)
		}
		reply[bit/8] ^= 1 << (bit % 8)
		if keys, err := client.Finish(reply); !errors.Is(err, ErrAuth) || keys != (KeyMaterial{}) {
			t.Fatalf("bit %d flipped: err %v, want ErrAuth and no keys", bit, err)
		}
	}
}

// A handshake is used once: a second reply, even a good one, cannot replace keys.
func TestFinishTwice(t *testing.T) {
	r := newRelay(t)
	ntor, skin, err := StartNtor(rand.Reader, r.id, r.public)
	if err != nil {
		t.Fatal(err)
	}
	reply, _, err := ServeNtor(rand.Reader, r.id, r.secret, skin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ntor.Finish(reply); err != nil {
		t.Fatal(err)
	}
	if _, err := ntor.Finish(reply); !errors.Is(err, ErrSpent) {
		t.Errorf("ntor: got %v, want ErrSpent", err)
	}
	fast, skin, err := StartFast(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	reply, _, err = ServeFast(rand.Reader, skin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fast.Finish(reply); err != nil {
		t.Fatal(err)
	}
	if _, err := fast.Finish(reply); !errors.Is(err, ErrSpent) {
		t.Errorf("fast: got %v, want ErrSpent", err)
	}
	if fast.x != [FastOnionskinLen]byte{} {
		t.Error("fast secret not wiped")
	}
}

// A source of randomness that ends or fails must never lead to a short key.
func TestRandomnessFails(t *testing.T) {
	r := newRelay(t)
	_, skin, err := StartNtor(rand.Reader, r.id, r.public)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no entropy")
	sources := map[string]struct {
		reader func() io.Reader
		want   error
	}{
		"fails":        {func() io.Reader { return iotest.ErrReader(broken) }, broken},
		"ends early":   {func() io.Reader { return strings.NewReader("too short") }, io.ErrUnexpectedEOF},
		"ends at once": {func() io.Reader { return strings.NewReader("") }, io.EOF},
	}
	for name, s := range sources {
		t.Run(name, func(t *testing.T) {
			calls := map[string]func() error{
				"StartNtor": func() error { _, _, err := StartNtor(s.reader(), r.id, r.public); return err },
				"ServeNtor": func() error { _, _, err := ServeNtor(s.reader(), r.id, r.secret, skin); return err },
				"StartFast": func() error { _, _, err := StartFast(s.reader()); return err },
				"ServeFast": func() error { _, _, err := ServeFast(s.reader(), make([]byte, 20)); return err },
			}
			for call, f := range calls {
				if err := f(); !errors.Is(err, s.want) {
					t.Errorf("%s: got %v, want %v", call, err, s.want)
				}
			}
		})
	}
}

func TestKeyMaterialNeverPrints(t *testing.T) {
	keys := KeyMaterial{Kf: [16]byte{0xAB, 0xCD}, KH: [20]byte{0xEF}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{keys, &keys, struct{ K KeyMaterial }{keys}} {
			got := fmt.Sprintf(verb, v)
			if !strings.Contains(got, "[redacted]") || strings.Contains(got, "171") || strings.Contains(strings.ToLower(got), "abcd") {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
	keys.Wipe()
	if keys != (KeyMaterial{}) {
		t.Error("Wipe left keys behind")
	}
}

// A relay's reply comes from the network: no bytes may crash the client or be
// accepted by chance.
func FuzzNtorFinish(f *testing.F) {
	f.Add(make([]byte, NtorReplyLen))
	f.Add([]byte{})
	f.Add(append(bytes.Repeat([]byte{9}, 32), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, reply []byte) {
		client, _, err := StartNtor(rand.Reader, [20]byte{1}, [32]byte{9})
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := client.Finish(reply); err == nil || keys != (KeyMaterial{}) {
			t.Fatalf("accepted %x", reply)
		}
	})
}

// Likewise a client's onionskin at a relay: what is accepted must be addressed to it.
func FuzzServeNtor(f *testing.F) {
	secret := [32]byte{5}
	key, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		f.Fatal(err)
	}
	id := [20]byte{1}
	f.Add(bytes.Join([][]byte{id[:], key.PublicKey().Bytes(), bytes.Repeat([]byte{9}, 32)}, nil))
	f.Add(bytes.Join([][]byte{id[:], key.PublicKey().Bytes(), make([]byte, 32)}, nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, skin []byte) {
		reply, _, err := ServeNtor(rand.Reader, id, secret, skin)
		if err == nil && (len(reply) != NtorReplyLen || !bytes.HasPrefix(skin, append(id[:], key.PublicKey().Bytes()...))) {
			t.Fatalf("accepted %x", skin)
		}
	})
}

func BenchmarkNtorClient(b *testing.B) {
	secret := [32]byte{5}
	key, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		b.Fatal(err)
	}
	id, public := [20]byte{1}, [32]byte(key.PublicKey().Bytes())
	b.ReportAllocs()
	for b.Loop() {
		client, skin, err := StartNtor(rand.Reader, id, public)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		reply, _, err := ServeNtor(rand.Reader, id, secret, skin)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := client.Finish(reply); err != nil {
			b.Fatal(err)
		}
	}
}
