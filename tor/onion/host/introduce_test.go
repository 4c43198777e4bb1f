package host

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

func TestIntroduction(t *testing.T) {
	m := newSim(t, 6, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	first, second := m.network.Store()
	for _, sl := range []onion.Slot{first, second} {
		body, h := m.introduction(auth, sl, nil)
		if !m.s.Introduce2(m.byAuth[auth], body, m.now) {
			t.Fatal("refused")
		}
		asks := m.asks()
		if len(asks) != 1 {
			t.Fatalf("%d meetings", len(asks))
		}
		meet := asks[0]
		_, info, err := relaymsg.ParseRendezvous1(meet.Message)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := h.Finish(info[:handshake.HSNtorReplyLen])
		if err != nil || keys != meet.Keys {
			t.Fatalf("client and service do not agree: %v", err)
		}
		// Again, and by another point: seen before.
		m.s.Introduce2(m.byAuth[auth], body, m.now)
		m.refused(ErrReplay)
	}
	m.obey()
}

func TestHostileIntroductions(t *testing.T) {
	m := newSim(t, 7, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	id := m.byAuth[auth]
	body, _ := m.introduction(auth, sl, nil)
	m.s.Introduce2(id, body[:100], m.now)
	m.refused(relaymsg.ErrMalformed)
	broken := bytes.Clone(body)
	broken[len(broken)-1] ^= 1
	m.s.Introduce2(id, broken, m.now)
	m.refused(handshake.ErrAuth)
	stranger := onion.Slot{Period: onion.Period{Number: 1, Minutes: 1440}}
	unknown, _ := m.introduction(auth, stranger, nil)
	m.s.Introduce2(id, unknown, m.now)
	m.refused(handshake.ErrAuth)
	// A rendezvous point within the service's own network.
	inside := m.request()
	inside.Specs = append([]cell.LinkSpec{{Type: cell.LinkSpecIPv4, Body: []byte{127, 0, 0, 1, 0, 80}}}, inside.Specs...)
	local, _ := m.introduction(auth, sl, inside)
	m.s.Introduce2(id, local, m.now)
	m.refused(relaymsg.ErrMalformed)
	// One cookie in two introductions.
	r := m.request()
	one, _ := m.introduction(auth, sl, r)
	two, _ := m.introduction(auth, sl, r)
	m.s.Introduce2(id, one, m.now)
	m.asks()
	m.s.Introduce2(id, two, m.now)
	m.refused(ErrReplay)
	// What was refused unread can still be sent as it should be.
	m.s.Introduce2(id, body, m.now)
	if len(m.asks()) != 1 {
		t.Error("a good introduction after bad ones is not met")
	}
	// For another point: the relay's doing.
	for other, oid := range m.byAuth {
		if other == auth || !m.points[oid].up {
			continue
		}
		foreign, _ := m.introduction(other, sl, nil)
		if m.s.Introduce2(id, foreign, m.now) {
			t.Error("a relay that mixes up keys keeps its circuit")
		}
		break
	}
	if m.gone(Misbehaved) != 0 {
		t.Error("told too early")
	}
	m.obey()
	if m.gone(Misbehaved) != 1 || !m.points[id].closed {
		t.Error("the circuit is not closed")
	}
}

// A relay that introduces before it has taken the point, or establishes twice,
// breaks the protocol.
func TestMessagesInTheWrongState(t *testing.T) {
	m := newSim(t, 8, 30, Config{Points: 3})
	launched := PointID(0)
	for id := range m.points {
		launched = max(launched, id)
	}
	if m.s.Introduce2(launched, nil, m.now) || m.s.point(launched) != nil {
		t.Error("INTRODUCE2 on a circuit that is not open")
	}
	m.obey()
	m.run(2 * time.Minute)
	id := m.byAuth[m.anyPoint()]
	if m.s.Established(id, relaymsg.AppendIntroEstablished(nil), m.now) || m.s.point(id) != nil {
		t.Error("INTRO_ESTABLISHED twice")
	}
	m.obey()
	if m.s.Opened(id, [20]byte{}, m.now) != nil || m.s.Established(99999, nil, m.now) || m.s.Introduce2(99999, nil, m.now) {
		t.Error("a point that is none is served")
	}
	m.run(5 * time.Minute)
	m.covered()
}

// More requests than can be answered: bounded, and each told.
func TestFlood(t *testing.T) {
	m := newSim(t, 9, 30, Config{Points: 1})
	m.run(2 * time.Minute)
	m.faults.lost = 1000 // rendezvous points that never answer
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	for range 2 * maxMeetings {
		body, _ := m.introduction(auth, sl, nil)
		if !m.s.Introduce2(m.byAuth[auth], body, m.now) {
			t.Fatal("refused")
		}
		m.obey()
		m.check()
	}
	if len(m.meetings) != maxMeetings {
		t.Errorf("%d meetings at a time, want %d", len(m.meetings), maxMeetings)
	}
	lost := func() (gaveWay, abandoned int) {
		for _, e := range m.events {
			if l, ok := e.(MeetingLost); ok && errors.Is(l.Cause, ErrGaveWay) {
				gaveWay++
			} else if ok && errors.Is(l.Cause, ErrAbandoned) {
				abandoned++
			}
		}
		return gaveWay, abandoned
	}
	m.run(meetPatience - time.Second)
	if gaveWay, abandoned := lost(); gaveWay+abandoned > 0 {
		t.Errorf("%d gave way and %d were given up before they had their time", gaveWay, abandoned)
	}
	m.run(2 * time.Second)
	if gaveWay, abandoned := lost(); gaveWay != maxMeetings || abandoned > 0 || len(m.meetings) != maxMeetings {
		t.Errorf("%d gave way, %d were given up, %d are under way; want the first %d to have given way", gaveWay, abandoned, len(m.meetings), maxMeetings)
	}
	m.run(meetTimeout + time.Second)
	if gaveWay, abandoned := lost(); gaveWay != maxMeetings || abandoned != maxMeetings || len(m.meetings) > 0 {
		t.Errorf("%d gave way, %d were given up, %d outlive their time", gaveWay, abandoned, len(m.meetings))
	}
}

// Clients who name rendezvous points that never answer keep out nobody, and what is not
// answered is told.
func TestStalledRendezvous(t *testing.T) {
	for _, rate := range []int{5, 60} {
		m := newSim(t, 7, 30, Config{Points: 3})
		m.run(2 * time.Minute)
		sl, _ := m.network.Store()
		m.faults.lost = 1000
		var served time.Duration // of the last
		honest, taken, met := 0, 0, 0
		introduce := func(r *relaymsg.Request) {
			auth := m.anyPoint()
			body, _ := m.introduction(auth, sl, r)
			m.s.Introduce2(m.byAuth[auth], body, m.now)
			m.obey()
			taken++
		}
		waiting := map[relaymsg.Cookie]time.Time{}
		m.asks()
		for second := range 60 {
			for i := range rate {
				introduce(nil)
				if i == 0 && second%5 == 0 {
					r := m.request()
					waiting[r.Cookie] = m.now
					honest++
					introduce(r)
				}
			}
			m.run(time.Second)
			for _, a := range m.asks() {
				cookie, _, err := relaymsg.ParseRendezvous1(a.Message)
				if err != nil {
					t.Fatal(err)
				}
				if at, ok := waiting[cookie]; ok || a.Visit {
					if ok {
						met++
						served = m.now.Sub(at)
					}
					delete(m.meetings, a.ID)
					m.s.Met(a.ID, m.now)
					m.obey()
				}
			}
		}
		if late := served > 2*meetPatience; met < honest-2 || late {
			t.Errorf("%d a second: %d of %d met, the last after %v", rate, met, honest, served)
		}
		m.run(2 * meetTimeout)
		unanswered := 0
		for _, e := range m.events {
			switch e := e.(type) {
			case MeetingLost:
				unanswered++
			case Refused:
				if errors.Is(e.Cause, ErrCrowded) {
					unanswered++
				}
			}
		}
		if m.s.Status().Waiting > 0 || unanswered+met < taken {
			t.Errorf("%d a second: %d of %d met, %d told not to be, %d wait", rate, met, taken, unanswered, m.s.Status().Waiting)
		}
	}
}

// More clients than circuits can be built for, each of whom could be met: none gives way while his
// circuit is built, nor is one begun for who has gone, so as many are met as there are circuits for.
func TestFloodOfClientsWhoCanBeMet(t *testing.T) {
	const (
		takes = 600 * time.Millisecond
		most  = 16 // circuits at a time
		tick  = 50 * time.Millisecond
		lasts = 40 * time.Second
	)
	for _, rate := range []int{20, 100} {
		m := newSim(t, 7, 30, Config{Points: 3})
		m.run(2 * time.Minute)
		sl, _ := m.network.Store()
		m.faults.lost = 1000 // whether they are met is decided here
		m.queued = new([]func())
		m.asks()
		var waits []MeetingID
		building := map[MeetingID]time.Time{} // until when
		met, wasted, come := 0, 0, 0
		for now := time.Duration(0); now < lasts; now += tick {
			for ; come < rate*int(now/time.Millisecond)/1000; come++ {
				auth := m.anyPoint()
				body, _ := m.introduction(auth, sl, nil)
				m.s.Introduce2(m.byAuth[auth], body, m.now)
				m.obey()
			}
			m.run(tick)
			for _, a := range m.asks() {
				waits = append(waits, a.ID)
			}
			for id, at := range building {
				if _, ok := m.meetings[id]; !ok {
					wasted++
					delete(building, id)
				} else if !m.now.Before(at) {
					met++
					delete(building, id)
					delete(m.meetings, id)
					m.s.Met(id, m.now)
					m.obey()
				}
			}
			for len(building) < most && len(waits) > 0 {
				id := waits[0]
				waits = waits[1:]
				if _, ok := m.meetings[id]; ok {
					building[id] = m.now.Add(takes)
					m.s.MeetingBuilding(id, false, m.now)
					m.obey()
				}
			}
		}
		capacity := int(lasts / (takes + tick) * most)
		if want := min(come, capacity) * 8 / 10; met < want || wasted > 0 {
			t.Errorf("%d a second: %d of %d met, want %d; %d circuits were given up while they were built", rate, met, come, want, wasted)
		}
	}
}

// An introduction point is worn out by introductions, and replaced before it goes.
func TestWornOut(t *testing.T) {
	m := newSim(t, 10, 30, Config{Points: 2})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	p := m.s.point(m.byAuth[auth])
	if p.max < 16384 || p.max > 32768 {
		t.Errorf("worn out by %d introductions, want 16384 to 32768", p.max)
	}
	p.max = 8
	sl, _ := m.network.Store()
	send := func() bool {
		body, _ := m.introduction(auth, sl, nil)
		ok := m.s.Introduce2(p.id, body, m.now)
		m.obey()
		return ok
	}
	for range 8 {
		if !send() {
			t.Fatal("gone too early")
		}
	}
	if m.gone(Worn) != 1 || !m.points[p.id].up {
		t.Error("not retired, or closed at once")
	}
	m.run(5 * time.Minute)
	m.covered()
	if !m.points[p.id].up || !send() {
		t.Error("clients who read the descriptor before are not served")
	}
	if send() || m.points[p.id].up {
		t.Error("a retired point is served without end")
	}
	m.run(time.Hour)
	m.covered()
}

func TestRetries(t *testing.T) {
	m := newSim(t, 11, 30, Config{Points: 1})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	body, _ := m.introduction(auth, sl, nil)
	m.s.Introduce2(m.byAuth[auth], body, m.now)
	attempts := 0
	for {
		asks := m.asks()
		if len(asks) == 0 {
			break
		}
		attempts++
		delete(m.meetings, asks[0].ID)
		m.s.MeetingFailed(asks[0].ID, errSim, m.now)
	}
	if attempts != 3 {
		t.Errorf("%d circuits for one meeting, want 3", attempts)
	}
	m.s.MeetingFailed(12345, errSim, m.now)
	m.obey()
}

// Proof of work: who pays is met first, who cheats not at all, seeds and the
// suggested effort are published.
func TestProofOfWork(t *testing.T) {
	m := newSim(t, 17, 30, Config{Points: 1, PoW: &PoW{Rate: 10, Burst: 10}})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	blinded, err := m.identity.Address().Blind(sl.Period)
	if err != nil {
		t.Fatal(err)
	}
	params := m.s.gate.Params(0)
	proof, err := pow.NewSolver(nil).Solve(t.Context(), pow.Puzzle{BlindedID: blinded, Seed: params.Seed, Effort: 3}, pow.Nonce{1})
	if err != nil {
		t.Fatal(err)
	}
	introduce := func(p *pow.Proof) {
		r := m.request()
		if p != nil {
			r.Extensions = []relaymsg.Extension{{Type: relaymsg.ExtProofOfWork, Body: p.Append(nil)}}
		}
		body, _ := m.introduction(auth, sl, r)
		m.s.Introduce2(m.byAuth[auth], body, m.now)
	}
	for range 20 {
		introduce(nil)
	}
	m.faults.lost = 1000
	if n := len(m.asks()); n != 10 {
		t.Errorf("%d meetings at once, the burst is 10", n)
	}
	introduce(&proof)
	introduce(&proof)
	m.refused(pow.ErrReplay)
	m.run(time.Second / 9)
	efforts := []uint32{}
	for _, meet := range m.asks() {
		efforts = append(efforts, meet.Effort)
	}
	if !slices.Equal(efforts, []uint32{3}) {
		t.Errorf("next to be met: %v, want the one who paid", efforts)
	}
	m.faults = faults{}
	described := m.described
	m.run(pow.UpdatePeriod + 2*minGap)
	if m.s.queue.Suggested() == 0 && m.described != described {
		t.Error("published for an effort that did not change")
	}
	m.run(2 * time.Hour)
	if !slices.ContainsFunc(m.events, func(e Event) bool { d, ok := e.(Described); return ok && d.Because == Work }) {
		t.Error("a new seed is not published")
	}
}

// Who pays nothing and is too many has an effort suggested, in a new descriptor, after the
// period that is set; from then on who pays it is met at once, and when they are gone nothing
// is suggested any more.
func TestFloodHasAnEffortSuggested(t *testing.T) {
	for _, period := range []time.Duration{0, 5 * time.Second} {
		work := &PoW{Rate: 1, Burst: 1, Period: period}
		m := newSim(t, 18, 30, Config{Points: 1, PoW: work})
		m.run(2 * time.Minute)
		m.faults.lost = 1 << 30
		auth := m.anyPoint()
		sl, _ := m.network.Store()
		blinded, err := m.identity.Address().Blind(sl.Period)
		if err != nil {
			t.Fatal(err)
		}
		met := func() (efforts []uint32) {
			for _, meet := range m.asks() {
				efforts = append(efforts, meet.Effort)
			}
			return efforts
		}
		flood := func(while func() bool) time.Duration {
			began := m.now
			for while() && m.now.Sub(began) < time.Hour {
				for range 2 {
					body, _ := m.introduction(auth, sl, nil)
					m.s.Introduce2(m.byAuth[auth], body, m.now)
				}
				m.run(time.Second)
			}
			return m.now.Sub(began)
		}
		suggests := func() uint32 { return m.s.slots[0].effort }
		took := flood(func() bool { return suggests() == 0 })
		if suggests() == 0 || took > 2*work.period()+minGap+10*time.Second {
			t.Fatalf("%v: an effort of %d is published after %v", work.period(), suggests(), took)
		}
		met()
		params := m.s.gate.Params(suggests())
		proof, err := pow.NewSolver(nil).Solve(t.Context(), pow.Puzzle{BlindedID: blinded, Seed: params.Seed, Effort: params.Suggested}, pow.Nonce{1})
		if err != nil {
			t.Fatal(err)
		}
		r := m.request()
		r.Extensions = []relaymsg.Extension{{Type: relaymsg.ExtProofOfWork, Body: proof.Append(nil)}}
		body, _ := m.introduction(auth, sl, r)
		m.s.Introduce2(m.byAuth[auth], body, m.now)
		m.run(2 * time.Second)
		if next := met(); !slices.Contains(next, params.Suggested) {
			t.Errorf("%v: who paid %d is not met before those who paid nothing: %v", work.period(), params.Suggested, next)
		}
		m.run(4*work.period() + minGap + 10*time.Second)
		if suggests() != 0 {
			t.Errorf("%v: an effort of %d is suggested when nobody comes", work.period(), suggests())
		}
	}
}
