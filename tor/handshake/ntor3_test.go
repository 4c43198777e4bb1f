package handshake

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// ntor3Vector is the published run of proposal 332's reference, which C tor and Arti
// check themselves against, too.
type ntor3Vector struct {
	OnionSecret   string `json:"onion_secret"`
	OnionPublic   string `json:"onion_public"`
	ID            string `json:"id"`
	ClientSecret  string `json:"client_secret"`
	RelaySecret   string `json:"relay_secret"`
	ClientMessage string `json:"client_message"`
	RelayMessage  string `json:"relay_message"`
	Verification  string `json:"verification"`
	Onionskin     string `json:"onionskin"`
	Reply         string `json:"reply"`
	Keys          string `json:"keys"`
}

func TestNtor3Vector(t *testing.T) {
	raw, err := os.ReadFile("testdata/ntor3.json")
	if err != nil {
		t.Fatal(err)
	}
	var v ntor3Vector
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	id, verification := [32]byte(unhex(t, v.ID)), string(unhex(t, v.Verification))
	client, skin, err := StartNtor3(bytes.NewReader(unhex(t, v.ClientSecret)), id, [32]byte(unhex(t, v.OnionPublic)), verification, unhex(t, v.ClientMessage))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(skin, unhex(t, v.Onionskin)) {
		t.Fatalf("onionskin %x", skin)
	}
	want := unhex(t, v.Keys)
	relayKeys, clientKeys := make([]byte, len(want)), make([]byte, len(want))
	reply, err := ServeNtor3(bytes.NewReader(unhex(t, v.RelaySecret)), id, [32]byte(unhex(t, v.OnionSecret)), verification, skin, func(message []byte) ([]byte, error) {
		if !bytes.Equal(message, unhex(t, v.ClientMessage)) {
			t.Errorf("the client said %q", message)
		}
		return unhex(t, v.RelayMessage), nil
	}, relayKeys)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(reply, unhex(t, v.Reply)) {
		t.Errorf("reply %x", reply)
	}
	said, err := client.Finish(reply, clientKeys)
	if err != nil || !bytes.Equal(said, unhex(t, v.RelayMessage)) {
		t.Errorf("the relay said %q, %v", said, err)
	}
	if !bytes.Equal(relayKeys, want) || !bytes.Equal(clientKeys, want) {
		t.Errorf("keys %x and %x", relayKeys, clientKeys)
	}
	if _, err := client.Finish(reply, clientKeys); !errors.Is(err, ErrSpent) {
		t.Errorf("a second Finish: %v", err)
	}
}

// pair is a relay's keys.
func pair(t *testing.T) (id, secret, public [32]byte) {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte{1}, [32]byte(key.Bytes()), [32]byte(key.PublicKey().Bytes())
}

func echo(message []byte) ([]byte, error) { return message, nil }

// Whatever is changed on the way, either side notices.
func TestNtor3ChangedOnTheWay(t *testing.T) {
	id, secret, public := pair(t)
	rapid.Check(t, func(r *rapid.T) {
		message := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "message")
		client, skin, err := StartNtor3(rand.Reader, id, public, CircuitVerification, message)
		if err != nil {
			r.Fatal(err)
		}
		bit := rapid.IntRange(0, 8*len(skin)-1).Draw(r, "bit of the onionskin")
		skin[bit/8] ^= 1 << (bit % 8)
		var keys [92]byte
		// The highest bit of a curve point is ignored by X25519, but not by the MAC.
		if _, err := ServeNtor3(rand.Reader, id, secret, CircuitVerification, skin, echo, keys[:]); !errors.Is(err, ErrAuth) && !errors.Is(err, ErrWrongRelay) {
			r.Fatalf("bit %d of the onionskin: %v", bit, err)
		}
		skin[bit/8] ^= 1 << (bit % 8)
		reply, err := ServeNtor3(rand.Reader, id, secret, CircuitVerification, skin, echo, keys[:])
		if err != nil {
			r.Fatal(err)
		}
		bit = rapid.IntRange(0, 8*len(reply)-1).Draw(r, "bit of the reply")
		reply[bit/8] ^= 1 << (bit % 8)
		if _, err := client.Finish(reply, keys[:]); !errors.Is(err, ErrAuth) {
			r.Fatalf("bit %d of the reply: %v", bit, err)
		}
	})
}

func TestNtor3Refusals(t *testing.T) {
	id, secret, public := pair(t)
	var keys [92]byte
	if _, _, err := StartNtor3(rand.Reader, id, [32]byte{}, CircuitVerification, nil); !errors.Is(err, ErrLowOrder) {
		t.Errorf("an onion key of zeros: %v", err)
	}
	client, skin, err := StartNtor3(rand.Reader, id, public, CircuitVerification, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ServeNtor3(rand.Reader, id, secret, "another use", skin, echo, keys[:]); !errors.Is(err, ErrAuth) {
		t.Errorf("another verification string: %v", err)
	}
	if _, err := ServeNtor3(rand.Reader, [32]byte{2}, secret, CircuitVerification, skin, echo, keys[:]); !errors.Is(err, ErrWrongRelay) {
		t.Errorf("another relay: %v", err)
	}
	if _, err := ServeNtor3(rand.Reader, id, secret, CircuitVerification, skin[:Ntor3OnionskinLen-1], echo, keys[:]); !errors.Is(err, ErrShort) {
		t.Errorf("a short onionskin: %v", err)
	}
	if _, err := client.Finish(make([]byte, Ntor3ReplyLen-1), keys[:]); !errors.Is(err, ErrShort) {
		t.Errorf("a short reply: %v", err)
	}
	client, _, err = StartNtor3(rand.Reader, id, public, CircuitVerification, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Finish(make([]byte, Ntor3ReplyLen), keys[:]); !errors.Is(err, ErrLowOrder) {
		t.Errorf("a relay's key of zeros: %v", err)
	}
}

func TestWishAndGrant(t *testing.T) {
	both := Wish{CongestionControl: true, CGO: true}
	if got := both.Message(); !bytes.Equal(got, []byte{2, 1, 0, 3, 2, 2, 6}) { // as C tor and Arti say it
		t.Errorf("% x", got)
	}
	if got := (Wish{}).Message(); !bytes.Equal(got, []byte{0}) {
		t.Errorf("nothing is % x", got)
	}
	cc := Wish{CongestionControl: true}
	for _, c := range []struct {
		wish   Wish
		answer []byte
		want   int
		ok     bool
	}{
		{both, []byte{1, 2, 1, 31}, 31, true},
		{cc, []byte{0}, 0, true}, // the relay does not want to
		{cc, []byte{1, 2, 1, 32}, 32, true},
		{cc, []byte{1, 2, 1, 30}, 30, true},
		{cc, []byte{2, 77, 3, 1, 2, 3, 2, 1, 31}, 31, true}, // with what we do not know
		{cc, []byte{1, 2, 1, 33}, 0, false},
		{cc, []byte{1, 2, 1, 29}, 0, false},
		{cc, []byte{1, 2, 1, 0}, 0, false},
		{cc, []byte{1, 2, 2, 0, 31}, 0, false},
		{cc, []byte{2, 2, 1, 31, 2, 1, 31}, 0, false},
		{cc, []byte{1, 2, 1, 31, 0}, 0, false},
		{cc, []byte{2, 2, 1, 31}, 0, false},
		{cc, []byte{1, 2}, 0, false},
		{cc, nil, 0, false},
		{Wish{}, []byte{1, 2, 1, 31}, 0, false},
		{both, []byte{0}, 0, false},
		{both, []byte{2, 2, 1, 31, 3, 2, 2, 6}, 0, false}, // what a client asks is no answer
		{both, []byte{1, 3, 2, 2, 6}, 0, false},
		{cc, []byte{2, 1, 0, 2, 1, 31}, 0, false},
	} {
		g, err := c.wish.Granted(c.answer, 31)
		if (err == nil) != c.ok || g.SendmeIncrement != c.want || err != nil && !errors.Is(err, ErrExtension) {
			t.Errorf("%+v answered % x: %+v, %v", c.wish, c.answer, g, err)
		}
	}
}

// What a relay has to refuse of a client (proposal 346), and C tor does.
func TestWishOf(t *testing.T) {
	both := Wish{CongestionControl: true, CGO: true}
	for _, c := range []struct {
		name    string
		message []byte
		want    Wish
		ok      bool
	}{
		{"nothing", []byte{0}, Wish{}, true},
		{"congestion control", []byte{1, 1, 0}, Wish{CongestionControl: true}, true},
		{"and CGO", []byte{2, 1, 0, 3, 2, 2, 6}, both, true},
		{"and what is not known", []byte{3, 1, 0, 3, 2, 2, 6, 99, 1, 1}, both, true},
		{"a list of none", []byte{2, 1, 0, 3, 0}, Wish{CongestionControl: true}, true},
		{"CGO alone", []byte{1, 3, 2, 2, 6}, Wish{}, false},
		{"another capability", []byte{2, 1, 0, 3, 2, 2, 5}, Wish{}, false},
		{"another protocol", []byte{2, 1, 0, 3, 2, 11, 2}, Wish{}, false},
		{"twice the same", []byte{2, 1, 0, 3, 4, 2, 6, 2, 6}, Wish{}, false},
		{"one too many", []byte{2, 1, 0, 3, 4, 2, 6, 11, 2}, Wish{}, false},
		{"half a capability", []byte{2, 1, 0, 3, 3, 2, 6, 2}, Wish{}, false},
		{"no message", nil, Wish{}, false},
	} {
		got, err := WishOf(c.message)
		if got != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrExtension) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, w := range []Wish{{}, {CongestionControl: true}, both} {
		if got, err := WishOf(w.Message()); got != w || err != nil {
			t.Errorf("%+v is read as %+v, %v", w, got, err)
		}
	}
}

func FuzzWishOf(f *testing.F) {
	f.Add([]byte{2, 1, 0, 3, 2, 2, 6})
	f.Fuzz(func(t *testing.T, message []byte) {
		w, err := WishOf(message)
		if err != nil && w != (Wish{}) || w.CGO && !w.CongestionControl {
			t.Errorf("% x: %+v, %v", message, w, err)
		}
	})
}

func FuzzParseExtensions(f *testing.F) {
	f.Add([]byte{1, 2, 1, 31})
	f.Add([]byte{2, 1, 0, 3, 2, 2, 6})
	f.Fuzz(func(t *testing.T, message []byte) {
		all, err := ParseExtensions(message)
		if err != nil {
			return
		}
		if got := AppendExtensions(nil, all...); !bytes.Equal(got, message) {
			t.Errorf("% x is written % x", message, got)
		}
	})
}

func FuzzServeNtor3(f *testing.F) {
	f.Add(make([]byte, Ntor3OnionskinLen))
	f.Fuzz(func(t *testing.T, skin []byte) {
		var keys [92]byte
		if _, err := ServeNtor3(rand.Reader, [32]byte{1}, [32]byte{2}, CircuitVerification, skin, echo, keys[:]); err == nil {
			t.Error("an onionskin made of nothing is accepted")
		}
	})
}
