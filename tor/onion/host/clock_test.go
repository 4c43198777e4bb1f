package host

import (
	"slices"
	"testing"
	"time"

	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// The clock is set, by times that carry nothing else: an introduction that was seen is no new one,
// a proof of work that was searched for before is worth as much and as often as it was, and the
// revision of the next descriptor is above the last.
func TestClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 10 * time.Minute, -48 * time.Hour} {
		m := newSim(t, 21, 30, Config{Points: 1, PoW: &PoW{}})
		m.run(2 * time.Minute)
		m.asks()
		auth := m.anyPoint()
		sl, _ := m.network.Store()
		blinded, err := m.identity.Address().Blind(sl.Period)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := pow.NewSolver(nil).Solve(t.Context(), pow.Puzzle{BlindedID: blinded, Seed: m.s.gate.Params(0).Seed, Effort: 2}, pow.Nonce{1})
		if err != nil {
			t.Fatal(err)
		}
		paid := func() []byte {
			r := m.request()
			r.Extensions = []relaymsg.Extension{{Type: relaymsg.ExtProofOfWork, Body: proof.Append(nil)}}
			body, _ := m.introduction(auth, sl, r)
			return body
		}
		introduce := func(body []byte) (efforts []uint32) {
			m.s.Introduce2(m.byAuth[auth], body, m.now)
			for _, meet := range m.asks() {
				efforts = append(efforts, meet.Effort)
			}
			return efforts
		}
		seen, _ := m.introduction(auth, sl, nil)
		if got := introduce(seen); len(got) != 1 {
			t.Fatalf("%v: %v are met", by, got)
		}
		revision := m.revisions[sl.Period]

		m.now = m.now.Add(by)
		m.s.Tick(m.now)
		if got := introduce(seen); len(got) != 0 {
			t.Errorf("%v: an introduction counts again", by)
		}
		m.refused(ErrReplay)
		if got := introduce(paid()); !slices.Equal(got, []uint32{2}) {
			t.Errorf("%v: a proof of effort 2 is met as %v", by, got)
		}
		if got := introduce(paid()); len(got) != 0 {
			t.Errorf("%v: a proof counts twice", by)
		}
		m.refused(pow.ErrReplay)
		m.s.dirty(Access)
		m.s.Tick(m.now)
		m.obey()
		if now := m.revisions[sl.Period]; now <= revision {
			t.Errorf("%v: revision %d after %d", by, now, revision)
		}
	}
}
