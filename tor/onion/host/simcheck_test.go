package host

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
)

// check is what must be so at every moment.
func (m *sim) check() {
	at := map[*simRelay]bool{}
	open := 0
	for _, p := range m.points {
		if p.closed {
			continue
		}
		open++
		if at[p.relay] {
			m.complain("two introduction points at one relay")
		}
		at[p.relay] = true
	}
	if most := 3*m.config.Points + mostExtra; open > most {
		m.complain("%d circuits, more than %d", open, most)
	}
	if len(m.uploads) > maxUploads {
		m.complain("%d uploads at a time", len(m.uploads))
	}
	if len(m.meetings) > maxMeetings {
		m.complain("%d meetings at a time", len(m.meetings))
	}
	recent := 0
	for _, l := range m.launches {
		if m.now.Sub(l) < retryPeriod {
			recent++
		}
	}
	if most := 2 * (m.config.Points*(1+maxFailures) + 2); recent > most {
		m.complain("%d circuits in %v, more than %d", recent, retryPeriod, most)
	}
	if len(m.kept) > maxFloors {
		m.complain("%d floors", len(m.kept))
	}
}

// covered lets a change settle, and complains unless every directory of both periods has the newest
// descriptor, and that lists what is up and nothing else.
func (m *sim) covered() {
	m.t.Helper()
	since := m.now
	for m.now.Sub(m.changed) < 2*time.Minute { // on the way
		m.run(time.Minute)
		if m.now.Sub(since) > time.Hour {
			m.t.Fatal("never at rest")
		}
	}
	var up [][32]byte
	for auth, id := range m.byAuth {
		p, ours := m.points[id], m.s.point(id)
		if p.up && ours != nil && !ours.retired {
			up = append(up, auth)
		}
	}
	slices.SortFunc(up, compareKeys)
	if len(up) != m.config.Points {
		m.complain("%d introduction points, want %d", len(up), m.config.Points)
	}
	first, second := m.network.Store()
	for _, sl := range []onion.Slot{first, second} {
		for _, dir := range m.responsible(sl, m.network.SpreadStore) {
			has := m.held(dir, sl)
			if !slices.Equal(has.intros, up) {
				m.complain("period %d: a directory lists %d points that are not the %d in use", sl.Period.Number, len(has.intros), len(up))
			}
			if has.revision != m.revisions[sl.Period] {
				m.complain("period %d: a directory has revision %d, the newest is %d", sl.Period.Number, has.revision, m.revisions[sl.Period])
			}
		}
	}
	if len(m.bad) > 0 {
		m.t.Fatal(m.bad[0])
	}
}

func (m *sim) held(d *simRelay, sl onion.Slot) stored {
	blinded := m.blind(sl.Period)
	has := d.holding[blinded]
	if !m.now.Before(has.until) {
		return stored{}
	}
	return has
}

func (m *sim) responsible(sl onion.Slot, spread int) (out []*simRelay) {
	blinded := m.blind(sl.Period)
	for _, id := range m.view().Ring(sl).Responsible(blinded, 2, spread) {
		out = append(out, m.directory(id))
	}
	return out
}

// reachable complains unless a client, by the consensus of a time ago, finds at
// every directory that it may ask a descriptor with a point that is up.
func (m *sim) reachable() {
	sl := m.network.Fetch()
	for _, dir := range m.responsible(sl, m.network.SpreadFetch) {
		has := m.held(dir, sl)
		alive := slices.ContainsFunc(has.intros, func(auth [32]byte) bool {
			p := m.points[m.byAuth[auth]]
			return p != nil && p.up
		})
		if !alive {
			m.complain("a client finds no introduction point that is up at one of its directories")
		}
	}
}

// introduction is a client's INTRODUCE2 at a point, and the client's handshake.
func (m *sim) introduction(auth [32]byte, sl onion.Slot, r *relaymsg.Request) ([]byte, *handshake.HSNtor) {
	m.t.Helper()
	address := m.identity.Address()
	blinded := m.blind(sl.Period)
	p := m.s.point(m.byAuth[auth])
	h, err := handshake.StartHSNtor(m.random, handshake.HSIntroduction{
		AuthKey: auth, EncKey: p.ntor.EncKey(), Subcredential: address.Subcredential(blinded),
	})
	if err != nil {
		m.t.Fatal(err)
	}
	if r == nil {
		r = m.request()
	}
	body, err := relaymsg.Introduce1(h, auth, r)
	if err != nil {
		m.t.Fatal(err)
	}
	return body, h
}

func (m *sim) request() *relaymsg.Request {
	r := &relaymsg.Request{OnionKey: m.relays[0].OnionKey, Specs: m.relays[0].Specs}
	_, _ = m.random.Read(r.Cookie[:])
	return r
}

// anyPoint is the authentication key of a point that is up.
func (m *sim) anyPoint() [32]byte {
	m.t.Helper()
	var up [][32]byte
	for auth, id := range m.byAuth {
		if m.points[id].up && m.s.point(id) != nil {
			up = append(up, auth)
		}
	}
	if len(up) == 0 {
		m.t.Fatal("no introduction point is up")
	}
	return slices.MinFunc(up, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
}

// asks does what is to be done and gives the meetings asked for.
func (m *sim) asks() []Meet {
	m.obey()
	out := m.asked
	m.asked = nil
	return out
}

// refused checks that a refusal for a reason, and no meeting, came of late.
func (m *sim) refused(why error) {
	m.t.Helper()
	if len(m.asks()) > 0 {
		m.t.Error("a meeting, where none is due")
	}
	found := false
	for _, e := range m.events[m.told:] {
		if r, ok := e.(Refused); ok {
			found = true
			if !errors.Is(r.Cause, why) {
				m.t.Errorf("refused for %v, want %v", r.Cause, why)
			}
		}
	}
	m.told = len(m.events)
	if !found {
		m.t.Errorf("not refused for %v", why)
	}
}

// gone counts the points that were given up for a reason.
func (m *sim) gone(why Reason) (n int) {
	for _, e := range m.events {
		if g, ok := e.(PointGone); ok && g.Reason == why {
			n++
		}
	}
	return n
}
