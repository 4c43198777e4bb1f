package story

import (
	"strings"
	"testing"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// The time after a service was taken out is none in which it is down, whatever becomes of its
// node; that in which it should be hosted and is not, is.
func TestRemovedIsNotDown(t *testing.T) {
	const shutdown, internal = chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_INTERNAL
	later := noon.Add(3 * time.Hour)
	another := func(at time.Time) *life {
		l := lived("other", at)
		l.log = l.log[:1] // it does not host the service
		return l
	}
	partFailed := func(l *life, reason string) {
		l.after(time.Millisecond).add(messages.Event(node, "n", &chivev1.ActorFailed{Reason: reason, Restarted: true}))
	}
	for name, tt := range map[string]struct {
		script  func(*life) []*life
		state   string
		outages int
		says    string
	}{
		"taken out": {func(l *life) []*life {
			told(l, &chivev1.HostingStopped{Outcome: shutdown})
			return []*life{l}
		}, stateRemoved, 0, "the onion service is hosted no more, since 2h58m"},
		"taken out, and its node started anew without it": {func(l *life) []*life {
			told(l, &chivev1.HostingStopped{Outcome: shutdown})
			return []*life{l, another(l.at.Add(time.Minute))}
		}, stateRemoved, 0, "it was never down"},
		"taken out while its node was stopped": {func(l *life) []*life {
			l.stop()
			return []*life{l, another(l.at.Add(time.Minute))}
		}, stateRemoved, 1, "it was down for 1m1s, once"},
		"what hosts it failed": {func(l *life) []*life {
			told(l, &chivev1.HostingStopped{Outcome: internal})
			return []*life{l}
		}, stateNotHosted, 1, "since 2h58m"},
		"it ended with a part of its node": {func(l *life) []*life {
			told(l, &chivev1.HostingStopped{Outcome: shutdown})
			partFailed(l, "hosting: x")
			return []*life{l}
		}, stateNotHosted, 1, "since 2h58m"},
		"another part failed": {func(l *life) []*life {
			told(l, &chivev1.HostingStopped{Outcome: shutdown})
			partFailed(l, "circuits: x")
			return []*life{l}
		}, stateRemoved, 0, "it was never down"},
		"a part failed later": {func(l *life) []*life {
			told(l, &chivev1.HostingStopped{Outcome: shutdown})
			partFailed(l.after(time.Hour), "hosting: x")
			return []*life{l}
		}, stateRemoved, 0, "it was never down"},
		"it cannot be started": {func(l *life) []*life {
			l.stop()
			b := another(l.at.Add(time.Minute))
			b.add(messages.Event(chivev1.Kind_KIND_SUPERVISOR, "svc", &chivev1.SupervisorStateChanged{State: "backoff"}))
			return []*life{l, b}
		}, stateNotHosted, 1, "it was down for 2h58m"},
	} {
		l := lived("svc", noon)
		l.up()
		l.after(time.Minute)
		runs := fixed(tt.script(l)...)
		for _, running := range []bool{true, false} {
			st := Hosted(runs, []string{"svc"}, nil, time.Time{}, later, running)
			consistent(t, st)
			if st.State != tt.state || st.Outages != tt.outages || isDown(st.State) != (tt.state != stateRemoved) || !strings.Contains(st.Summary, tt.says) {
				t.Errorf("%s, running %v: %s, %d outages: %s", name, running, st.State, st.Outages, st.Summary)
			}
		}
	}
}
