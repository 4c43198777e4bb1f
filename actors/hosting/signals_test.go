package hosting

import (
	"testing"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/onion/heal"
)

// What the node's events say of whether there is a network, and of causes.
func TestSignals(t *testing.T) {
	const kind = chivev1.Kind_KIND_CONNECTION
	opened := func(id string) *chivev1.Envelope { return messages.Event(kind, id, &chivev1.ConnectionOpened{}) }
	failed := func(out chivev1.Outcome) *chivev1.Envelope {
		return messages.Event(kind, "f", &chivev1.ConnectionFailed{Outcome: out})
	}
	closed := func(id string, out chivev1.Outcome) *chivev1.Envelope {
		return messages.Event(kind, id, &chivev1.ConnectionClosed{Outcome: out})
	}
	journal := func(state string) *chivev1.Envelope {
		return messages.Event(chivev1.Kind_KIND_NODE, "n", &chivev1.JournalChanged{State: state})
	}
	const (
		refused     = chivev1.Outcome_OUTCOME_CONNECT_REFUSED
		unreachable = chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE
		lost        = chivev1.Outcome_OUTCOME_CONNECTION_LOST
		idle        = chivev1.Outcome_OUTCOME_IDLE
	)
	for name, tt := range map[string]struct {
		log   []*chivev1.Envelope
		away  heal.Cause
		notes heal.Cause
	}{
		"nothing yet":               {nil, 0, 0},
		"connected":                 {[]*chivev1.Envelope{opened("a")}, 0, 0},
		"one of two relays is away": {[]*chivev1.Envelope{opened("a"), failed(refused)}, 0, 0},
		"closed for want of use":    {[]*chivev1.Envelope{opened("a"), closed("a", idle)}, 0, 0},
		"lost":                      {[]*chivev1.Envelope{opened("a"), closed("a", lost)}, 0, heal.Connections},
		"lost, and not made anew":   {[]*chivev1.Envelope{opened("a"), closed("a", lost), failed(refused)}, heal.Connections, heal.Connections},
		"no route":                  {[]*chivev1.Envelope{opened("a"), closed("a", lost), failed(unreachable)}, heal.Offline, heal.Offline},
		"and back":                  {[]*chivev1.Envelope{failed(unreachable), opened("a")}, 0, heal.Offline},
		"the journal is away":       {[]*chivev1.Envelope{journal("degraded")}, 0, heal.Journal},
		"the journal is there":      {[]*chivev1.Envelope{journal("ready")}, 0, 0},
	} {
		var s Signals
		now := time.Unix(1_800_000_000, 0)
		for _, e := range tt.log {
			now = now.Add(time.Second)
			s.See(e, now)
		}
		if got := s.away(); got != tt.away {
			t.Errorf("%s: away for %d, want %d", name, got, tt.away)
		}
		var got heal.Cause
		s.tell(func(c heal.Cause, _ time.Time) { got = c })
		if got != tt.notes {
			t.Errorf("%s: cause %d, want %d", name, got, tt.notes)
		}
	}
}

// The judge's words and the events' are the same.
func TestVocabulary(t *testing.T) {
	for n := range chivev1.HealthCause_name {
		if n > 0 && messages.CauseName(chivev1.HealthCause(n)) != heal.Cause(n).String() {
			t.Errorf("cause %d: %s, %s", n, messages.CauseName(chivev1.HealthCause(n)), heal.Cause(n))
		}
	}
	for n := range chivev1.ProbeStage_name {
		if n > 0 && messages.StageName(chivev1.ProbeStage(n)) != heal.Stage(n).String() {
			t.Errorf("stage %d: %s, %s", n, messages.StageName(chivev1.ProbeStage(n)), heal.Stage(n))
		}
	}
	for n := range chivev1.HealStep_name {
		if n > 0 && messages.StepName(chivev1.HealStep(n)) != heal.Step(n).String() {
			t.Errorf("step %d: %s, %s", n, messages.StepName(chivev1.HealStep(n)), heal.Step(n))
		}
	}
}
