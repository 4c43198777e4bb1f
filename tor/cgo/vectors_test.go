package cgo

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type stateVector struct{ Keys, Nonce, Tag string }

type vectors struct {
	Source string
	ET     []struct {
		Name                       string
		Encrypt                    bool
		Keys, Tweak, Input, Output string
	}
	PRF []struct {
		Name                string
		Keys, Input, Output string
		T                   int
	}
	UIV []struct {
		Name                             string
		Encrypt                          bool
		Keys, Tweak, Left, Right, Output string
	}
	Update []struct {
		Name, Keys, Nonce string
		KeysAfter         string `json:"keys_after"`
		NonceAfter        string `json:"nonce_after"`
	}
	Relay []struct {
		Name                  string
		Backward              bool
		Before, After         stateVector
		Command, Body, Output string
	}
	RelayOriginate []struct {
		Name                     string
		Before, After            stateVector
		Command, Message, Output string
	} `json:"relay_originate"`
	ClientOriginate []struct {
		Name                     string
		Before, After            []stateVector
		Hop                      int
		Command, Message, Output string
	} `json:"client_originate"`
}

func load(t testing.TB) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string][2]int{
		"ET": {len(v.ET), 20}, "PRF": {len(v.PRF), 20}, "UIV": {len(v.UIV), 12}, "update": {len(v.Update), 10},
		"relay": {len(v.Relay), 12}, "relay originate": {len(v.RelayOriginate), 6}, "client originate": {len(v.ClientOriginate), 14},
	} {
		if n[0] != n[1] {
			t.Fatalf("%d vectors of %s, want %d", n[0], name, n[1])
		}
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v stateVector) keys(t testing.TB) *[KeysLen]byte {
	return (*[KeysLen]byte)(unhex(t, v.Keys+v.Nonce))
}

// check compares the whole state. The keys of a uiv cannot be read back: a new one with
// the expected keys must have the same schedules and powers.
func (v stateVector) check(t *testing.T, s *state) {
	t.Helper()
	if s.nonce != [TagLen]byte(unhex(t, v.Nonce)) || s.chain != [TagLen]byte(unhex(t, v.Tag)) {
		t.Errorf("N %x, T' %x, want %s, %s", s.nonce, s.chain, v.Nonce, v.Tag)
	}
	checkKeys(t, &s.uiv, v.Keys)
}

func checkKeys(t *testing.T, u *uiv, keys string) {
	t.Helper()
	var want uiv
	if err := want.init((*[uivLen]byte)(unhex(t, keys)), u.decrypts); err != nil {
		t.Fatal(err)
	}
	if u.b != want.b || u.hash != want.hash {
		t.Error("KU or B is another")
	}
	for _, pair := range [][2]*aesKey{{&u.block, &want.block}, {&u.stream, &want.stream}} {
		var a, b [16]byte
		pair[0].encryptMasked(&a, &[16]byte{1})
		pair[1].encryptMasked(&b, &[16]byte{1})
		if a != b {
			t.Error("KB or K is another")
		}
	}
}

func TestVectorsET(t *testing.T) {
	v := load(t)
	eachPath(t, func(t *testing.T) {
		for _, c := range v.ET {
			var u uiv
			if err := u.init((*[uivLen]byte)(append(unhex(t, c.Keys), make([]byte, 32)...)), !c.Encrypt); err != nil {
				t.Fatal(err)
			}
			copy(u.tweak[:], unhex(t, c.Tweak))
			u.maskOf()
			block := (*[16]byte)(unhex(t, c.Input))
			if c.Encrypt {
				u.block.encryptMasked(block, &u.mask)
			} else {
				u.block.decryptMasked(block, &u.mask)
			}
			if got := hex.EncodeToString(block[:]); got != c.Output {
				t.Errorf("%s: %s, want %s", c.Name, got, c.Output)
			}
		}
	})
}

func TestVectorsPRF(t *testing.T) {
	v := load(t)
	eachPath(t, func(t *testing.T) {
		for _, c := range v.PRF {
			var u uiv
			if err := u.init((*[uivLen]byte)(append(make([]byte, 32), unhex(t, c.Keys)...)), true); err != nil {
				t.Fatal(err)
			}
			u.ivOf((*[TagLen]byte)(unhex(t, c.Input)))
			var got string
			if c.T == 0 {
				var right [rightLen]byte
				u.stream.xorRight(&u.iv, &right)
				got = hex.EncodeToString(right[:])
			} else {
				u.stream.keystream(&u.iv, &u.next)
				got = hex.EncodeToString(u.next[:])
			}
			if got != c.Output {
				t.Errorf("%s: %s, want %s", c.Name, got, c.Output)
			}
		}
	})
}

func TestVectorsUIV(t *testing.T) {
	v := load(t)
	eachPath(t, func(t *testing.T) {
		for _, c := range v.UIV {
			var u uiv
			if err := u.init((*[uivLen]byte)(unhex(t, c.Keys)), !c.Encrypt); err != nil {
				t.Fatal(err)
			}
			tweak, body := unhex(t, c.Tweak), (*[BodyLen]byte)(unhex(t, c.Left+c.Right))
			if c.Encrypt {
				u.encrypt((*[TagLen]byte)(tweak), tweak[TagLen], body)
			} else {
				u.decrypt((*[TagLen]byte)(tweak), tweak[TagLen], body)
			}
			if got := hex.EncodeToString(body[:]); got != c.Output {
				t.Errorf("%s: %s, want %s", c.Name, got, c.Output)
			}
		}
		for _, c := range v.Update {
			for _, decrypts := range []bool{false, true} {
				var u uiv
				if err := u.init((*[uivLen]byte)(unhex(t, c.Keys)), decrypts); err != nil {
					t.Fatal(err)
				}
				nonce := (*[TagLen]byte)(unhex(t, c.Nonce))
				u.update(nonce)
				if got := hex.EncodeToString(nonce[:]); got != c.NonceAfter {
					t.Errorf("update %s: nonce %s, want %s", c.Name, got, c.NonceAfter)
				}
				checkKeys(t, &u, c.KeysAfter)
			}
		}
	})
}

func TestVectorsRelay(t *testing.T) {
	v := load(t)
	eachPath(t, func(t *testing.T) {
		for _, c := range v.Relay {
			body, command := (*[BodyLen]byte)(unhex(t, c.Body)), unhex(t, c.Command)[0]
			var s *state
			if c.Backward {
				var r RelayBackward
				start(t, r.Init(c.Before.keys(t)), &r.state, c.Before)
				r.Pass(command, body)
				s = &r.state
			} else {
				var r RelayForward
				start(t, r.Init(c.Before.keys(t)), &r.state, c.Before)
				r.Receive(command, body)
				s = &r.state
			}
			if got := hex.EncodeToString(body[:]); got != c.Output {
				t.Errorf("%s: %s, want %s", c.Name, got, c.Output)
			}
			c.After.check(t, s)
		}
		for _, c := range v.RelayOriginate {
			var r RelayBackward
			start(t, r.Init(c.Before.keys(t)), &r.state, c.Before)
			body := (*[BodyLen]byte)(append(make([]byte, TagLen), unhex(t, c.Message)...))
			r.Originate(unhex(t, c.Command)[0], body)
			if got := hex.EncodeToString(body[:]); got != c.Output {
				t.Errorf("originate %s: %s, want %s", c.Name, got, c.Output)
			}
			c.After.check(t, &r.state)
		}
	})
}

func start(t *testing.T, err error, s *state, before stateVector) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s.chain = [TagLen]byte(unhex(t, before.Tag))
}

func TestVectorsClientOriginate(t *testing.T) {
	v := load(t)
	eachPath(t, func(t *testing.T) {
		for _, c := range v.ClientOriginate {
			hops := make([]ClientForward, len(c.Before))
			for i := range hops {
				start(t, hops[i].Init(c.Before[i].keys(t)), &hops[i].state, c.Before[i])
			}
			body, command := (*[BodyLen]byte)(append(make([]byte, TagLen), unhex(t, c.Message)...)), unhex(t, c.Command)[0]
			hops[c.Hop-1].Originate(command, body)
			for i := c.Hop - 2; i >= 0; i-- {
				hops[i].Pass(command, body)
			}
			if got := hex.EncodeToString(body[:]); got != c.Output {
				t.Errorf("%s: %s, want %s", c.Name, got, c.Output)
			}
			for i := range hops {
				c.After[i].check(t, &hops[i].state)
			}
		}
	})
}
