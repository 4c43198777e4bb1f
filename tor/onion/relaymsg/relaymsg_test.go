package relaymsg

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/onion/pow"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A message of C tor, and the key of its circuit, published by Arti.
func TestEstablishIntroVector(t *testing.T) {
	data := unhex(t, `02 0020 75BC879BF697A9B12E1E10596FEF041127FECD11FDD80706AEAE35812EA74328
		00 A3DF998D6749A9323035AD23DAA7F8607E4F87473A975E50A42DEC9C0E565C48
		0040 5A7F5E53D55B307B5F7866AE14508DDA3412E2B3E4805176C25413CEDF204F7F
		53EAECADC0844472AA7BEC3BDCBA0A65F1FCDEF397B399F534F46E535B0E6301`)
	kh := [20]byte(unhex(t, "250CCAF964B17B621A58CD82DF5DAFD060BA5F28"))
	e, err := ParseEstablishIntro(data, kh)
	if err != nil || e.AuthKey != [32]byte(data[3:]) || e.DoS != nil {
		t.Errorf("%+v, %v", e, err)
	}
	for i := range data {
		data[i] ^= 1
		if _, err := ParseEstablishIntro(data, kh); err == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
		data[i] ^= 1
	}
	kh[0] ^= 1
	if _, err := ParseEstablishIntro(data, kh); !errors.Is(err, ErrAuth) {
		t.Errorf("another circuit's key: %v", err)
	}
}

// "Extends the payload by 19 bytes bringing it from 134 bytes to 155": the header
// of the field takes two more.
func TestEstablishIntroDoS(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	kh := [20]byte{9}
	plain, err := AppendEstablishIntro(nil, key, kh, nil)
	if err != nil || len(plain) != 134 {
		t.Fatalf("%d bytes, %v", len(plain), err)
	}
	for _, tt := range []struct {
		p  DoSParams
		ok bool
	}{
		{DoSParams{25, 200}, true},
		{DoSParams{0, 0}, true},
		{DoSParams{0, 5}, true},
		{DoSParams{5, 0}, true},
		{DoSParams{math.MaxInt32, math.MaxInt32}, true},
		{DoSParams{6, 5}, false},
		{DoSParams{0, math.MaxInt32 + 1}, false},
	} {
		data, err := AppendEstablishIntro([]byte("before"), key, kh, &tt.p)
		if (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.p, err)
		}
		if err != nil {
			continue
		}
		data = data[len("before"):]
		e, err := ParseEstablishIntro(data, kh)
		if err != nil || len(data) != 155 || *e.DoS != tt.p || e.AuthKey != [32]byte(key.Public().(ed25519.PublicKey)) {
			t.Errorf("%+v: %d bytes, %+v, %v", tt.p, len(data), e, err)
		}
	}
	want := unhex(t, "01 01 13 02 01 0000000000000001 02 0000000000000002")
	data, err := AppendEstablishIntro(nil, key, kh, &DoSParams{1, 2})
	if err != nil || !bytes.Equal(data[35:35+len(want)], want) {
		t.Errorf("extension %x, %v", data[35:], err)
	}
	for name, body := range map[string]string{
		"empty": "", "cut": "02 01 00000000000000", "burst below the rate": "02 01 0000000000000005 02 0000000000000002",
		"too fast": "01 01 8000000000000000",
	} {
		if p, err := parseDoS(unhex(t, body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if p, err := parseDoS(unhex(t, "01 07 0000000000000005")); err != nil || *p != (DoSParams{}) {
		t.Errorf("unknown parameter: %+v, %v", p, err)
	}
}

func TestSmallMessages(t *testing.T) {
	for data, ok := range map[string]bool{"": true, "00": true, "01 07 01 ff": true, "01": false, "01 07 02 ff": false} {
		if err := ParseIntroEstablished(unhex(t, data)); (err == nil) != ok {
			t.Errorf("INTRO_ESTABLISHED %q: %v", data, err)
		}
	}
	if err := ParseIntroEstablished(AppendIntroEstablished(nil)); err != nil {
		t.Error(err)
	}
	cookie := Cookie(bytes.Repeat([]byte{1}, 20))
	if got, err := ParseEstablishRend(append(AppendEstablishRend(nil, cookie), 1, 2)); err != nil || got != cookie {
		t.Errorf("ESTABLISH_RENDEZVOUS: %x, %v", got, err)
	}
	if _, err := ParseEstablishRend(cookie[:19]); !errors.Is(err, ErrMalformed) {
		t.Errorf("short ESTABLISH_RENDEZVOUS: %v", err)
	}
	for _, status := range []AckStatus{AckSuccess, AckUnknownID, AckBadFormat, AckCantRelay, 77} {
		got, err := ParseIntroduceAck(AppendIntroduceAck(nil, status))
		if err != nil || got != status || got.String() == "" {
			t.Errorf("INTRODUCE_ACK: %v, %v", got, err)
		}
	}
	for _, data := range []string{"", "00", "0000", "0000 01"} {
		if _, err := ParseIntroduceAck(unhex(t, data)); !errors.Is(err, ErrMalformed) {
			t.Errorf("INTRODUCE_ACK %q: %v", data, err)
		}
	}
}

// The plaintext of a C tor client's introduction, published by Arti.
func TestRequestVector(t *testing.T) {
	data := unhex(t, `1EFFEACE9BE629B357ADA359071A7912DB828A5B
		00
		01 0020 7D73D007977A08CD1ABAD50F6B836C718700D687E000728C357ABC7CE3C8334D
		03 00 06 7F000001138A
		02 14 E48664DBCCEF9650B5D0E7B60E6DE9BCED2FB91E
		03 20 3FF84AA4B21453D20106BD4EDDA919386BF67D541CAA78F38BE6A08C2B3D0C4F`)
	want := &Request{
		Cookie:   Cookie(data),
		OnionKey: [32]byte(unhex(t, "7D73D007977A08CD1ABAD50F6B836C718700D687E000728C357ABC7CE3C8334D")),
		Specs: []cell.LinkSpec{
			{Type: 0, Body: unhex(t, "7F000001138A")},
			{Type: 2, Body: unhex(t, "E48664DBCCEF9650B5D0E7B60E6DE9BCED2FB91E")},
			{Type: 3, Body: unhex(t, "3FF84AA4B21453D20106BD4EDDA919386BF67D541CAA78F38BE6A08C2B3D0C4F")},
		},
	}
	got, err := ParseRequest(append(bytes.Clone(data), make([]byte, 12)...))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if again, err := want.append(nil); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%x, %v", again, err)
	}
	for n := range data {
		if _, err := ParseRequest(data[:n]); err == nil {
			t.Errorf("the first %d bytes were taken for a request", n)
		}
	}
	for name, change := range map[string]func([]byte){
		"another kind of key": func(b []byte) { b[21] = 2 },
		"zero onion key":      func(b []byte) { clear(b[24:56]) },
		"no specifier":        func(b []byte) { b[56] = 0 },
	} {
		b := bytes.Clone(data)
		change(b)
		if _, err := ParseRequest(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An INTRODUCE1 of C tor (Arti's collection), and one for version 2.
func TestIntroduceVectors(t *testing.T) {
	data := unhex(t, `000000000000000000000000000000000000000002002011AAA1BA28353424061A63326C3BFF4FE4EC7EC24BB5EB740E9D167DEF10320600
		1E99C1B9B0C24E6C63E9A182C33A8969DF94D08FD9FE98D82E21B262AE6CBC4E58971D6A38426C5D52519AB03377274AF74D2332C8FB599BFCBC5F2B02ECDAC4`)
	m, err := ParseIntroduce2(data)
	if err != nil || m.AuthKey != [32]byte(data[23:]) || len(m.Header) != 56 || len(m.Encrypted) != 64 {
		t.Errorf("%+v, %v", m, err)
	}
	data[0] = 0x3a
	if _, err := ParseIntroduce2(data); !errors.Is(err, ErrMalformed) {
		t.Errorf("version 2: %v", err)
	}
	data[0] = 0
	for n := range data {
		if _, err := ParseIntroduce2(data[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

// A client and a service meet: each message is read by the one it is for, at its
// right length, whatever the extensions.
func TestMeeting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.NewChaCha8([32]byte{rapid.Byte().Draw(t, "seed")})
		var enc, auth, sub, onion [32]byte
		for _, b := range [][]byte{enc[:], auth[:], sub[:], onion[:]} {
			_, _ = rng.Read(b)
		}
		service, err := handshake.NewHSNtorService(auth, enc)
		if err != nil {
			t.Fatal(err)
		}
		to := handshake.HSIntroduction{AuthKey: auth, EncKey: service.EncKey(), Subcredential: sub}
		client, err := handshake.StartHSNtor(rng, to)
		if err != nil {
			t.Fatal(err)
		}
		r := &Request{OnionKey: onion, Specs: []cell.LinkSpec{cell.RSASpec([20]byte{1}), cell.Ed25519Spec(auth)}}
		_, _ = rng.Read(r.Cookie[:])
		proof := pow.Proof{Effort: 7}
		if rapid.Bool().Draw(t, "congestion control") {
			r.Extensions = append(r.Extensions, Extension{Type: ExtCongestionControl})
		}
		if rapid.Bool().Draw(t, "proof of work") {
			r.Extensions = append(r.Extensions, Extension{Type: ExtProofOfWork, Body: proof.Append(nil)})
		}
		data, err := Introduce1(client, auth, r)
		if err != nil || len(data) != 246+64 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		m, err := ParseIntroduce2(data)
		if err != nil || m.AuthKey != auth {
			t.Fatal(err)
		}
		opened, err := service.Open([][32]byte{sub}, m.Header, m.Encrypted)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRequest(opened.Plaintext)
		if err != nil || got.Cookie != r.Cookie || got.OnionKey != onion || len(got.Specs) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		if body, ok := got.Extension(ExtProofOfWork); ok {
			if p, err := pow.ParseProof(body); err != nil || p != proof {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		if _, ok := got.Extension(ExtCongestionControl); ok != hasExtension(r, ExtCongestionControl) {
			t.Fatal("congestion control lost")
		}
		info, serviceKeys, err := opened.Reply(rng)
		if err != nil {
			t.Fatal(err)
		}
		data, err = AppendRendezvous1(nil, rng, got.Cookie, info)
		if err != nil || len(data) != rendezvousLen {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		cookie, passed, err := ParseRendezvous1(data)
		if err != nil || cookie != r.Cookie {
			t.Fatal(err)
		}
		reply, err := ParseRendezvous2(passed)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := client.Finish(reply); err != nil || keys != serviceKeys {
			t.Fatalf("%v", err)
		}
	})
}

func hasExtension(r *Request, kind uint8) bool {
	_, ok := r.Extension(kind)
	return ok
}

func newHandshake(t testing.TB) *handshake.HSNtor {
	t.Helper()
	key, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h, err := handshake.StartHSNtor(bytes.NewReader(make([]byte, 32)), handshake.HSIntroduction{EncKey: [32]byte(key.PublicKey().Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTooLong(t *testing.T) {
	request := func(n int) *Request {
		return &Request{OnionKey: [32]byte{1}, Specs: []cell.LinkSpec{{Type: 99, Body: make([]byte, n)}}}
	}
	// 56 of header, 20 cookie, 1 count, 35 key, 1 count, 2 of specifier, 64 of handshake.
	for n, want := range map[int]error{255: nil} {
		if data, err := Introduce1(newHandshake(t), [32]byte{}, request(n)); !errors.Is(err, want) || len(data) != 179+n {
			t.Errorf("%d: %d bytes, %v", n, len(data), err)
		}
	}
	r := request(255)
	r.Extensions = []Extension{{Type: 9, Body: make([]byte, 54)}}
	if data, err := Introduce1(newHandshake(t), [32]byte{}, r); err != nil || len(data) != maxData {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	r.Extensions[0].Body = make([]byte, 55)
	if _, err := Introduce1(newHandshake(t), [32]byte{}, r); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
	r.Extensions[0].Body = make([]byte, 256)
	if _, err := Introduce1(newHandshake(t), [32]byte{}, r); !errors.Is(err, ErrTooLong) {
		t.Errorf("long extension: %v", err)
	}
	r.Extensions = make([]Extension, 256)
	if _, err := Introduce1(newHandshake(t), [32]byte{}, r); !errors.Is(err, ErrTooLong) {
		t.Errorf("many extensions: %v", err)
	}
	r.Specs = []cell.LinkSpec{{Type: 0}}
	r.Extensions = nil
	if _, err := Introduce1(newHandshake(t), [32]byte{}, r); !errors.Is(err, cell.ErrMalformed) {
		t.Errorf("bad specifier: %v", err)
	}
}

func TestRendezvousLengths(t *testing.T) {
	if _, err := AppendRendezvous1(nil, bytes.NewReader(make([]byte, 200)), Cookie{}, make([]byte, 63)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	if _, err := AppendRendezvous1(nil, bytes.NewReader(nil), Cookie{}, make([]byte, 64)); err == nil {
		t.Error("no randomness")
	}
	if _, _, err := ParseRendezvous1(make([]byte, 19)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	if _, err := ParseRendezvous2(make([]byte, 63)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
}

// Repeated extensions: the first counts (section 3.1.1).
func TestFirstExtensionCounts(t *testing.T) {
	r := &Request{Extensions: []Extension{{Type: 5, Body: []byte{1}}, {Type: 5, Body: []byte{2}}}}
	if body, ok := r.Extension(5); !ok || body[0] != 1 {
		t.Errorf("%v, %v", body, ok)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte{})
	f.Add(unhex(f, "0200203333333333333333333333333333333333333333333333333333333333333333010113020100000000000000010200000000000000020101010101010101010101010101010101010101010101010101010101010101"))
	f.Add(unhex(f, "1EFFEACE9BE629B357ADA359071A7912DB828A5B000100207D73D007977A08CD1ABAD50F6B836C718700D687E000728C357ABC7CE3C8334D0300067F000001138A0214E48664DBCCEF9650B5D0E7B60E6DE9BCED2FB91E"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseEstablishIntro(data, [20]byte{}); err == nil && len(data) < 134 {
			t.Error("ESTABLISH_INTRO")
		}
		if m, err := ParseIntroduce2(data); err == nil && len(m.Header)+len(m.Encrypted) != len(data) {
			t.Error("INTRODUCE2 lost bytes")
		}
		if r, err := ParseRequest(data); err == nil {
			b, err := r.append(nil)
			if err != nil || !bytes.HasPrefix(data, b) {
				t.Errorf("a request does not encode to what it was: %x, %v", b, err)
			}
		}
		if err := ParseIntroEstablished(data); err == nil && len(data) > 0 && data[0] > 0 && len(data) < 3 {
			t.Error("INTRO_ESTABLISHED")
		}
		if _, err := ParseIntroduceAck(data); err == nil && len(data) < 3 {
			t.Error("INTRODUCE_ACK")
		}
		if info, err := ParseRendezvous2(data); err == nil && len(info) != 64 {
			t.Error("RENDEZVOUS2")
		}
	})
}
