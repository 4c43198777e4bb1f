package host

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
)

// way is what a hostile relay is after.
type way string

// The ways that each kind of relay is played in.
const (
	impersonate way = "stands in for somebody"
	replay      way = "says again what was said"
	stall       way = "keeps waiting"
	crash       way = "breaks the rules"
)

// hostile is what relays do to a service. None of it may have the service meet anybody whom no
// client sent, but for the clients that meets says.
type hostile struct {
	way   way
	name  string
	act   func(m *sim, id PointID, auth [32]byte, sl onion.Slot)
	meets int // clients who were introduced well
}

// bitByBit is an introduction, changed in one place at a time. The point's key is at the front:
// with another the relay loses its circuit.
func bitByBit(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
	body, _ := m.introduction(auth, sl, nil)
	for at := len(body) - 1; at >= 0 && !m.points[id].closed; at -= 3 {
		b := bytes.Clone(body)
		b[at] ^= 1
		m.s.Introduce2(id, b, m.now)
		m.obey()
	}
}

// cutShort is an introduction that ends early, wherever it may.
func cutShort(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
	body, _ := m.introduction(auth, sl, nil)
	for n := len(body) - 1; n >= 0 && !m.points[id].closed; n -= 3 {
		m.s.Introduce2(id, body[:n], m.now)
		m.obey()
	}
}

// published has the service publish anew, at once.
func (m *sim) published() {
	m.s.dirty(Access)
	m.s.Tick(m.now)
	m.obey()
}

// answered is an answer to an upload, of whomever.
func (m *sim) answered(id UploadID, cause error) {
	delete(m.uploads, id)
	m.s.Uploaded(id, cause, m.now)
	m.obey()
}

var hostiles = []hostile{
	{way: impersonate, name: "introduction point: changes an introduction", act: bitByBit},
	{way: crash, name: "introduction point: cuts it short", act: cutShort},
	{way: replay, name: "introduction point: passes it on a hundred times", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		body, _ := m.introduction(auth, sl, nil)
		for range 100 {
			m.s.Introduce2(id, body, m.now)
			m.obey()
		}
	}},
	{way: replay, name: "introduction point: passes it on a day later", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(id, body, m.now)
		m.obey()
		m.run(12 * time.Hour)
		m.s.Introduce2(id, body, m.now)
		m.run(12 * time.Hour)
		m.s.Introduce2(id, body, m.now)
	}},
	{way: impersonate, name: "introduction point: one of another's service", act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		other := onion.SecretKeyOfSeed([32]byte{77})
		h, err := handshake.StartHSNtor(m.random, handshake.HSIntroduction{
			AuthKey: auth, EncKey: m.s.point(id).ntor.EncKey(),
			Subcredential: other.Address().Subcredential(onion.BlindedKey(other.Blind(sl.Period).PublicKey())),
		})
		if err != nil {
			m.t.Fatal(err)
		}
		body, err := relaymsg.Introduce1(h, auth, m.request())
		if err != nil {
			m.t.Fatal(err)
		}
		m.s.Introduce2(id, body, m.now)
	}},
	{way: crash, name: "introduction point: establishes again", act: func(m *sim, id PointID, _ [32]byte, _ onion.Slot) {
		if m.s.Established(id, relaymsg.AppendIntroEstablished(nil), m.now) {
			m.t.Error("its circuit stays")
		}
	}},
	{way: crash, name: "introduction point: each breaks its circuit, for an hour", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.faults.circuit = 1 // a descriptor may list what is just gone
		for range 60 {
			for id, p := range m.points {
				if p.up {
					p.up, p.closed = false, true
					m.s.PointFailed(id, errSim, false, m.now)
					m.obey()
				}
			}
			m.run(time.Minute)
		}
		m.run(2 * minGap)
		m.faults.circuit = 0
	}},
	{way: stall, name: "introduction point: as many clients who are nowhere as are met at a time", meets: maxMeetings, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		m.faults.lost = 1000
		for range maxMeetings {
			body, _ := m.introduction(auth, sl, nil)
			m.s.Introduce2(id, body, m.now)
			m.obey()
		}
		m.faults.lost = 0
		m.run(meetTimeout + time.Second)
	}},
	{way: stall, name: "introduction point: none answers, for an hour", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.faults.lost = 1000
		for _, p := range m.points {
			p.relay.broken = true
		}
		for id, p := range m.points {
			if p.up {
				p.up, p.closed = false, true
				m.s.PointFailed(id, errSim, false, m.now)
				m.obey()
			}
		}
		m.run(time.Hour)
		m.faults.lost = 0
		for _, p := range m.points {
			p.relay.broken = false
		}
	}},

	{way: stall, name: "rendezvous point: says nothing", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		m.faults.lost = 1000
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(id, body, m.now)
		m.obey()
		m.run(meetTimeout + time.Second)
		m.faults.lost = 0
		if len(m.meetings) > 0 {
			m.t.Error("it is waited for without an end")
		}
	}},
	{way: impersonate, name: "rendezvous point: in the place of its client", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		body, _ := m.introduction(auth, sl, nil)
		_, own := m.introduction(auth, sl, nil) // a handshake that it has the secrets of
		m.s.Introduce2(id, body, m.now)
		m.obey()
		meet := m.asked[len(m.asked)-1]
		_, info, err := relaymsg.ParseRendezvous1(meet.Message)
		if err != nil {
			m.t.Fatal(err)
		}
		if keys, err := own.Finish(info[:handshake.HSNtorReplyLen]); err == nil || keys == meet.Keys {
			m.t.Error("it has the keys of service and client")
		}
	}},
	{way: replay, name: "rendezvous point: its cookie from others too", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		r := m.request()
		for range 20 {
			body, _ := m.introduction(auth, sl, r)
			m.s.Introduce2(id, body, m.now)
			m.obey()
		}
	}},
	{way: stall, name: "rendezvous point: is not reached", meets: 3, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		m.faults.meeting = 1000
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(id, body, m.now)
		m.obey()
		m.run(2 * meetTimeout)
		m.faults.meeting = 0
	}},
	{way: crash, name: "rendezvous point: ends more than once, and what never was", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(id, body, m.now)
		m.obey()
		meeting := m.asked[len(m.asked)-1].ID
		delete(m.meetings, meeting)
		for range 3 {
			m.s.Met(meeting, m.now)
			m.s.MeetingFailed(meeting, errSim, m.now)
			m.s.MeetingFailed(meeting+100, errSim, m.now)
			m.obey()
		}
	}},

	{way: stall, name: "directories: take nothing, for an hour", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.faults.upload = 1000
		m.run(time.Hour)
		m.faults.upload = 0
	}},
	{way: stall, name: "directories: never answer, for an hour", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.faults.lost = 1000
		m.published()
		m.run(time.Hour)
		m.faults.lost = 0
	}},
	{way: impersonate, name: "directories: one answers for all", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.published()
		for _, id := range sortedKeys(m.s.uploads) {
			m.answered(id, nil)
		}
		m.published() // for those that never got it
	}},
	{way: replay, name: "directories: answer the same upload again and again", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.published()
		for _, id := range sortedKeys(m.s.uploads) {
			for range 10 {
				m.answered(id, ErrRefused)
				m.answered(id, nil)
			}
		}
		m.published()
	}},
	{way: crash, name: "directories: answer uploads that are over", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		for id := range UploadID(200) {
			if !m.uploads[id] {
				m.s.Uploaded(id, nil, m.now)
				m.s.Uploaded(id, ErrRefused, m.now)
			}
		}
	}},
}

// No introduction point, rendezvous point or directory has the service meet whom no client
// sent, or anybody twice, nor keeps it from those who come later: when the relays do their
// part again it is published, and a client is met.
func TestHostileRelays(t *testing.T) {
	for n, h := range hostiles {
		t.Run(h.name, func(t *testing.T) {
			m := newSim(t, uint64(100+n), 30, Config{Points: 3})
			m.run(2 * time.Minute)
			m.asks()
			sl, _ := m.network.Store()
			auth := m.anyPoint()
			h.act(m, m.byAuth[auth], auth, sl)
			if met := len(m.asks()); met != h.meets {
				t.Errorf("%d meetings, want %d", met, h.meets)
			}
			m.run(20 * time.Minute)
			m.covered()
			m.asks()
			auth = m.anyPoint()
			sl, _ = m.network.Store()
			body, client := m.introduction(auth, sl, nil)
			m.s.Introduce2(m.byAuth[auth], body, m.now)
			asks := m.asks()
			if len(asks) != 1 {
				t.Fatalf("%d meetings for a client who came later", len(asks))
			}
			_, info, err := relaymsg.ParseRendezvous1(asks[0].Message)
			if err != nil {
				t.Fatal(err)
			}
			if keys, err := client.Finish(info[:handshake.HSNtorReplyLen]); err != nil || keys != asks[0].Keys {
				t.Errorf("client and service do not agree: %v", err)
			}
		})
	}
}

// Each kind of relay is played in each of the ways.
func TestHostileRelaysAreAll(t *testing.T) {
	played := map[string]bool{}
	for _, h := range hostiles {
		kind, _, _ := strings.Cut(h.name, ":")
		played[kind+" "+string(h.way)] = true
	}
	for _, kind := range []string{"directories", "introduction point", "rendezvous point"} {
		for _, w := range []way{impersonate, replay, stall, crash} {
			if !played[kind+" "+string(w)] {
				t.Errorf("no %s that %s", kind, w)
			}
		}
	}
}
