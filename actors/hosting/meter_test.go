package hosting

import (
	"fmt"
	"testing"
	"time"

	"chive/messages/chivev1"
	"chive/tor/handshake"
	"chive/tor/onion/host"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

func TestMeter(t *testing.T) {
	m := new(meter)
	for cause, want := range map[error]string{
		host.ErrAuthKey: "bad_auth_key", relaymsg.ErrMalformed: "invalid_introduce2", handshake.ErrShort: "invalid_introduce2",
		handshake.ErrAuth: "subcredential", host.ErrReplay: "replay", pow.ErrCheap: "pow", host.ErrCrowded: "crowded",
	} {
		before := m.read().Rejected[want]
		taken := m.reject(fmt.Errorf("it was: %w", cause))
		if got := m.read().Rejected[want]; got != before+1 || taken != (cause == host.ErrCrowded) {
			t.Errorf("%v: %d, then %d, taken before: %v", cause, before, got, taken)
		}
	}
	const lost, noPath = chivev1.Outcome_OUTCOME_CONNECTION_LOST, chivev1.Outcome_OUTCOME_NO_PATH
	m.lost(lost, false, false)
	m.lost(lost, false, true)
	m.lost(lost, true, false)
	m.lost(noPath, false, true)
	m.missed(lostError(lost)) // counted already, by its circuits
	m.missed(host.ErrAbandoned)
	m.missed(handshake.ErrLowOrder)
	got := m.read().Failed
	for reason, want := range map[string]uint64{"rp_conn_failure": 2, "retry": 1, "rendezvous1": 1, "invalid_path": 1, "e2e_circ": 1} {
		if got[reason] != want {
			t.Errorf("%s: %v", reason, got)
		}
	}
	for _, d := range []time.Duration{0, time.Second, time.Second + 1, 7 * time.Second, time.Hour} {
		m.toIntroduction.observe(d)
	}
	h := m.read().ToIntroduction
	if h.Counts != [...]uint64{2, 1, 1, 0, 0, 1} || h.Sum != time.Hour+9*time.Second+1 {
		t.Errorf("%+v", h)
	}
	// A port that comes back goes on counting.
	m.serve([]uint16{80, 22})[80].To.Add(5)
	m.serve([]uint16{22})
	m.serve([]uint16{80})[80].From.Add(7)
	if p := m.read().Ports; len(p) != 2 || p[80] != (Traffic{5, 7}) {
		t.Errorf("%+v", p)
	}
}
