package story

import (
	"testing"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

// What has no end of its own is told to have ended with its node, once that is gone, however it
// went. A guard is a relay, and does not end.
func TestEndedWithItsNode(t *testing.T) {
	const killed = "its node ended without being stopped: it was killed, it crashed, or the machine went down"
	s := newScript()
	s.add(messages.Event(guard, "g", &chivev1.GuardUnreachable{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT}))
	s.connection("k", "g")
	s.circuit("c", "k")
	s.requested("s")
	s.attached("s", "c", 1)
	s.connected("s")
	s.requested("done")
	s.streamEnded("done", chivev1.Outcome_OUTCOME_OK)
	killedAt := s.at
	stopped := newScript()
	stopped.connection("k", "g")
	stopped.add(messages.Event(node, "n", &chivev1.NodeStopping{}))
	for name, c := range map[string]struct {
		log            []*chivev1.Envelope
		about          Subject
		state, summary string
		ended          time.Time
	}{
		"stream": {
			s.log,
			Subject{stream, "s"},
			stateNodeEnded,
			"stream s was connected when " + killed + "; the last event of that node came 4s after it began", killedAt,
		},
		"circuit": {
			s.log,
			Subject{circuit, "c"},
			stateNodeEnded,
			"circuit c was open when " + killed + "; the last event of that node came 6s after it began", killedAt,
		},
		"connection": {
			s.log,
			Subject{connection, "k"},
			stateNodeEnded,
			"connection k was open when " + killed + "; the last event of that node came 8s after it began", killedAt,
		},
		"a stream that had ended": {s.log, Subject{stream, "done"}, "ended", "stream done ended after 1s: it ended as asked (ok)", killedAt},
		"a node that was stopped": {
			stopped.log,
			Subject{connection, "k"},
			stateNodeEnded,
			"connection k was open when its node was stopped; the last event of that node came 2s after it began", stopped.at,
		},
	} {
		l := NewLog(c.log)
		if st := l.Tell(c.about); st.State == stateNodeEnded {
			t.Errorf("%s: ended while its node runs", name)
		}
		l.NodeEnded()
		if st := l.Tell(c.about); st.State != c.state || st.Summary != c.summary || !st.Ended.Equal(c.ended) {
			t.Errorf("%s: %s until %v: %s", name, st.State, st.Ended, st.Summary)
		}
	}
	l := NewLog(s.log)
	l.NodeEnded()
	if st := l.Tell(Subject{guard, "g"}); st.State == stateNodeEnded {
		t.Errorf("guard: %+v", st)
	}
}
