package host

import (
	"errors"
	"testing"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
)

// A backend of OnionBalance: clients who read a descriptor of its master's are met, in the
// periods that the two sides' consensuses may be apart, and nobody else's are.
func TestMasters(t *testing.T) {
	front, stranger := onion.SecretKeyOfSeed([32]byte{1}).Address(), onion.SecretKeyOfSeed([32]byte{2}).Address()
	m := newSim(t, 19, 10, Config{Points: 1, Masters: []onion.Address{front}})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	id := m.byAuth[auth]
	ask := func(of onion.Address, p onion.Period) {
		t.Helper()
		blinded, err := of.Blind(p)
		if err != nil {
			t.Fatal(err)
		}
		h, err := handshake.StartHSNtor(m.random, handshake.HSIntroduction{
			AuthKey: auth, EncKey: m.s.point(id).ntor.EncKey(), Subcredential: of.Subcredential(blinded),
		})
		if err != nil {
			t.Fatal(err)
		}
		body, err := relaymsg.Introduce1(h, auth, m.request())
		if err != nil {
			t.Fatal(err)
		}
		m.s.Introduce2(id, body, m.now)
	}
	now := m.network.Period(m.network.ValidAfter)
	for _, tt := range []struct {
		name string
		of   onion.Address
		p    onion.Period
		met  bool
	}{
		{"this period", front, now, true},
		{"the one before", front, now.Previous(), true},
		{"the next", front, now.Next(), true},
		{"the one before that", front, now.Previous().Previous(), false},
		{"the one after that", front, now.Next().Next(), false},
		{"another service", stranger, now, false},
		{"its own", m.identity.Address(), now, true},
	} {
		ask(tt.of, tt.p)
		if tt.met {
			if n := len(m.asks()); n != 1 {
				t.Errorf("%s: %d meetings", tt.name, n)
			}
		} else {
			m.refused(handshake.ErrAuth)
		}
	}
	if err := m.s.Configure(Config{Points: 1, Masters: []onion.Address{stranger}}, m.now); err != nil {
		t.Fatal(err)
	}
	ask(stranger, now)
	if n := len(m.asks()); n != 1 {
		t.Errorf("the new master: %d meetings", n)
	}
	ask(front, now)
	m.refused(handshake.ErrAuth)
	// A day later it is the next period's.
	m.run(24 * time.Hour)
	if m.s.point(id) == nil {
		auth = m.anyPoint()
		id = m.byAuth[auth]
	}
	m.asks()
	ask(stranger, now.Next().Next())
	if n := len(m.asks()); n != 1 {
		t.Errorf("a day later: %d meetings", n)
	}
}

func TestMastersThatCannotBe(t *testing.T) {
	front := onion.SecretKeyOfSeed([32]byte{1}).Address()
	many := make([]onion.Address, MaxMasters+1)
	for i := range many {
		many[i] = onion.SecretKeyOfSeed([32]byte{byte(i)}).Address()
	}
	for name, masters := range map[string][]onion.Address{"twice": {front, front}, "no key": {{}}, "too many": many} {
		c := Config{Points: 1, Masters: masters}
		if err := c.check(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
