package host

import (
	"errors"
	"slices"
	"testing"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// published is when the newest descriptor came to be at every directory of both periods, at
// the latest.
func (m *sim) publications() (n int) {
	for _, e := range m.events {
		if _, ok := e.(Published); ok {
			n++
		}
	}
	return n
}

func (m *sim) because(why Because) (n int) {
	for _, e := range m.events {
		if d, ok := e.(Described); ok && d.Because == why {
			n++
		}
	}
	return n
}

// Directories that lost the descriptor have it again, though it was made just now.
func TestRepublish(t *testing.T) {
	m := newSim(t, 31, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	m.s.Republish(m.now)
	m.obey()
	m.run(30 * time.Second)
	for _, r := range m.relays {
		clear(r.holding)
	}
	m.s.Republish(m.now)
	m.obey()
	m.run(30 * time.Second) // less than a minute after the one before
	m.reachable()
	m.covered()
	if n := m.because(Repair); n != 4 {
		t.Errorf("%d descriptors made, want 4", n)
	}
}

// A point gets another circuit, with the same keys, and is listed on.
func TestRenewPoint(t *testing.T) {
	m := newSim(t, 32, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	auth, described := m.anyPoint(), m.described
	id := m.byAuth[auth]
	if m.s.PointOf(auth) != id {
		t.Fatal("the point is not found by its key")
	}
	if got, ok := m.s.AuthKey(id); !ok || got != auth {
		t.Error("the key of the point is another")
	}
	before := m.points[id]
	m.s.RenewPoint(id, m.now)
	m.obey()
	if !before.closed {
		t.Error("the old circuit stays")
	}
	if r := m.s.Reach(); !slices.Equal(r.Down, []PointID{id}) {
		t.Errorf("down are %v", r.Down)
	}
	m.run(30 * time.Second)
	if p := m.points[id]; p == before || !p.up || p.body.AuthKey != auth {
		t.Error("there is no new circuit with the same keys")
	}
	if m.described != described {
		t.Error("a new descriptor, for a new circuit")
	}
	m.s.RenewPoint(0, m.now)
	m.obey()
	if r := m.s.Reach(); len(r.Down) != 3 {
		t.Errorf("down are %v", r.Down)
	}
	m.run(30 * time.Second)
	m.covered()
}

// Another relay takes a point's place; the old one serves until no directory lists it.
func TestRotatePoint(t *testing.T) {
	m := newSim(t, 33, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	id := m.byAuth[auth]
	m.s.RotatePoint(id, m.now)
	m.obey()
	if slices.Contains(m.s.Reach().Points, id) {
		t.Error("it still counts")
	}
	published := m.publications()
	for range 60 {
		m.run(time.Second)
		m.reachable()
		if m.publications() == published && !m.points[id].up {
			t.Fatal("the old one is gone before the new descriptor is everywhere")
		}
	}
	if m.publications() != published+2 {
		t.Errorf("%d descriptors are everywhere after a minute, want 2", m.publications()-published)
	}
	m.run(20 * time.Minute)
	if m.points[id].up || m.gone(Repaired) != 1 {
		t.Errorf("the old one stays, %d are gone", m.gone(Repaired))
	}
	m.covered()

	// All at once: none of the old relays is used again.
	before := map[*simRelay]bool{}
	for _, r := range m.s.Reach().Points {
		before[m.points[r].relay] = true
	}
	m.s.RotatePoint(0, m.now)
	m.obey()
	for range 12 {
		m.run(5 * time.Second)
		m.reachable()
	}
	m.run(20 * time.Minute)
	m.covered()
	for _, r := range m.s.Reach().Points {
		if before[m.points[r].relay] {
			t.Error("a relay is used again")
		}
	}
}

// Everything is made anew, and revisions go on.
func TestForgetAll(t *testing.T) {
	m := newSim(t, 34, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	before := m.s.Reach().Points
	m.s.ForgetAll(m.now)
	m.obey()
	for range 60 {
		m.run(time.Second)
		m.reachable() // who has the old descriptor is met until he finds the new one
	}
	m.covered()
	for _, id := range m.s.Reach().Points {
		if slices.Contains(before, id) {
			t.Error("an introduction point is left")
		}
	}
	// In the midst of everything, too.
	m.faults = faults{circuit: 300, upload: 300, lost: 50, breakEvery: 10 * time.Minute}
	for range 30 {
		m.run(time.Duration(m.rng.IntN(120)) * time.Second)
		switch m.rng.IntN(4) {
		case 0:
			m.s.ForgetAll(m.now)
		case 1:
			m.s.RotatePoint(0, m.now)
		case 2:
			m.s.RenewPoint(0, m.now)
		case 3:
			m.s.Republish(m.now)
		}
		m.launches = nil // whoever asks has budgets
		m.obey()
		m.check()
	}
	m.faults = faults{}
	m.run(2 * time.Hour)
	m.covered()
}

// What works stays until no directory lists it, be that for long: nothing can be stored.
func TestForgetAllWithoutDirectories(t *testing.T) {
	m := newSim(t, 38, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	before := m.s.Reach().Points
	lost := before[0]
	m.s.RenewPoint(lost, m.now) // and its circuit is not there again
	m.s.ForgetAll(m.now)
	m.faults.lost = 1000
	m.obey()
	for range 60 {
		m.run(30 * time.Second)
		m.reachable()
	}
	if m.points[lost].up || m.gone(Repaired) != 3 {
		t.Errorf("one that had no circuit stays, %d are gone", m.gone(Repaired))
	}
	m.faults.lost = 0
	m.run(40 * time.Minute)
	m.covered()
	for _, id := range before {
		if m.points[id].up {
			t.Error("an old one stays, though no directory lists it")
		}
	}
}

// The host's own visit is met before those that wait, though none of them may be now; but
// only what it said it would send, by that introduction point, and once.
func TestVisit(t *testing.T) {
	m := newSim(t, 35, 30, Config{Points: 3, PoW: &PoW{Rate: 1, Burst: 1}})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	for range 20 {
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(m.byAuth[auth], body, m.now)
	}
	if n := len(m.asks()); n != 1 {
		t.Fatalf("%d are met at once, want 1", n)
	}
	body, _ := m.introduction(auth, sl, nil)
	if err := m.s.Expect(body); err != nil {
		t.Fatal(err)
	}
	m.s.Introduce2(m.byAuth[auth], body, m.now)
	asks := m.asks()
	if len(asks) != 1 || !asks[0].Visit {
		t.Fatalf("the visit is not met: %+v", asks)
	}
	if v, ok := m.events[len(m.events)-1].(Visited); !ok || v.Point != m.byAuth[auth] {
		t.Errorf("told %+v", m.events[len(m.events)-1])
	}
	m.told = len(m.events)
	m.s.Introduce2(m.byAuth[auth], body, m.now)
	m.refused(ErrReplay)

	// Another cannot come in its name.
	expected, _ := m.introduction(auth, sl, nil)
	if err := m.s.Expect(expected); err != nil {
		t.Fatal(err)
	}
	other, _ := m.introduction(auth, sl, nil)
	m.s.Introduce2(m.byAuth[auth], other, m.now)
	if len(m.asks()) > 0 {
		t.Error("somebody else is met before those who wait")
	}
	// Its proof of work is looked at.
	r := m.request()
	r.Extensions = append(r.Extensions, relaymsg.Extension{Type: relaymsg.ExtProofOfWork, Body: (&pow.Proof{Effort: 1 << 20}).Append(nil)})
	cheat, _ := m.introduction(auth, sl, r)
	if err := m.s.Expect(cheat); err != nil {
		t.Fatal(err)
	}
	m.told = len(m.events)
	m.s.Introduce2(m.byAuth[auth], cheat, m.now)
	m.refused(pow.ErrSeed)
	if m.s.Expect([]byte("no introduction")) == nil {
		t.Error("nonsense is expected")
	}
	for range 3 * mostExpected {
		if err := m.s.Expect(expected); err != nil || len(m.s.expected) > mostExpected {
			t.Fatal("the memory has no bound")
		}
	}
}

// The host reads the descriptor of a restricted service, and nothing follows from that.
func TestAdmitVisits(t *testing.T) {
	m := newSim(t, 36, 30, Config{Points: 3, Restricted: true})
	visits := clientPublic(9)
	m.s.AdmitVisits(&visits, m.now)
	m.run(5 * time.Minute)
	if m.described != 0 {
		t.Fatal("published, though nobody has access")
	}
	m.config.Clients = [][32]byte{clientPublic(0)}
	if err := m.s.Configure(m.config, m.now); err != nil {
		t.Fatal(err)
	}
	m.obey()
	m.run(2 * time.Minute)
	m.covered()
	key := clientKey(9)
	sl := m.network.Fetch()
	address, blinded := m.identity.Address(), m.blind(sl.Period)
	opens := func() error {
		for text := range m.texts {
			sealed, err := descriptor.Open([]byte(text), blinded, m.now)
			if err != nil || sealed.Revision != m.revisions[sl.Period] {
				continue
			}
			_, err = sealed.Decrypt(onion.Subcredential(address.Subcredential(blinded)), &key, m.now)
			return err
		}
		return errors.New("there is no descriptor")
	}
	if err := opens(); err != nil {
		t.Fatal(err)
	}
	state, err := m.s.State()
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(m.identity.Address(), m.keys, m.random, m.config, m.kept, m.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(state, m.now); err != nil || len(again.points) != 3 {
		t.Errorf("%d introduction points are kept, %v", len(again.points), err)
	}
	m.s.AdmitVisits(nil, m.now)
	m.obey()
	m.run(2 * time.Minute)
	if err := opens(); !errors.Is(err, descriptor.ErrBadAuth) {
		t.Errorf("it still opens: %v", err)
	}
}

// What clients go by.
func TestReach(t *testing.T) {
	m := newSim(t, 37, 30, Config{Points: 3})
	if r := m.s.Reach(); len(r.Points) > 0 || !r.Built.IsZero() {
		t.Errorf("%+v before anything", r)
	}
	m.run(2 * time.Minute)
	r := m.s.Reach()
	if len(r.Points) != 3 || len(r.Down) > 0 || len(r.Directories) == 0 || len(r.Stored) == 0 || r.Flying || r.Revision != m.revisions[m.network.Fetch().Period] {
		t.Errorf("%+v", r)
	}
	for _, d := range r.Directories {
		if !slices.Contains(r.Stored, d) {
			t.Error("clients may ask a directory that nothing was given to")
		}
	}
}
