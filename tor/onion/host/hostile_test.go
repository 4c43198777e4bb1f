package host

import (
	"bytes"
	"testing"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
)

// hostile is what relays do to a service. None of it may have the service meet anybody whom no
// client sent, but for the clients that meets says.
type hostile struct {
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

var hostiles = []hostile{
	{name: "introduction point: changes an introduction", act: bitByBit},
	{name: "introduction point: cuts it short", act: cutShort},
	{name: "introduction point: passes it on a hundred times", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		body, _ := m.introduction(auth, sl, nil)
		for range 100 {
			m.s.Introduce2(id, body, m.now)
			m.obey()
		}
	}},
	{name: "introduction point: passes it on a day later", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(id, body, m.now)
		m.obey()
		m.run(12 * time.Hour)
		m.s.Introduce2(id, body, m.now)
		m.run(12 * time.Hour)
		m.s.Introduce2(id, body, m.now)
	}},
	{name: "introduction point: one of another's service", act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
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
	{name: "introduction point: establishes again", act: func(m *sim, id PointID, _ [32]byte, _ onion.Slot) {
		if m.s.Established(id, relaymsg.AppendIntroEstablished(nil), m.now) {
			m.t.Error("its circuit stays")
		}
	}},
	{name: "introduction point: each breaks its circuit, for an hour", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
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
	{name: "introduction point: as many clients who are nowhere as are met at a time", meets: maxMeetings, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		m.faults.lost = 1000
		for range maxMeetings {
			body, _ := m.introduction(auth, sl, nil)
			m.s.Introduce2(id, body, m.now)
			m.obey()
		}
		m.faults.lost = 0
		m.run(meetTimeout + time.Second)
	}},

	{name: "rendezvous point: is not reached", meets: 3, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
		m.faults.meeting = 1000
		body, _ := m.introduction(auth, sl, nil)
		m.s.Introduce2(id, body, m.now)
		m.obey()
		m.run(2 * meetTimeout)
		m.faults.meeting = 0
	}},
	{name: "rendezvous point: ends more than once, and what never was", meets: 1, act: func(m *sim, id PointID, auth [32]byte, sl onion.Slot) {
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

	{name: "directories: take nothing, for an hour", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
		m.faults.upload = 1000
		m.run(time.Hour)
		m.faults.upload = 0
	}},
	{name: "directories: answer uploads that are over", act: func(m *sim, _ PointID, _ [32]byte, _ onion.Slot) {
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
