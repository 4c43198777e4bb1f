package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chive/messages/chivev1"
	"chive/messages/fold"
)

// The operator is told once that something keeps the node from the network, once that it is
// something else, and once that it is over, after how long.
func TestTroubleIsToldOnce(t *testing.T) {
	from := time.Unix(1_000_000, 0)
	guard := &fold.Trouble{What: fold.NoGuard, Since: from, Outcome: chivev1.Outcome_OUTCOME_CONNECT_REFUSED}
	circuit := &fold.Trouble{What: fold.NoCircuit, Since: from.Add(time.Minute), Outcome: chivev1.Outcome_OUTCOME_TIMEOUT}
	var a away
	for i, tt := range []struct {
		trouble *fold.Trouble
		msg     string
		args    []any
	}{
		{nil, "", nil},
		{guard, "no guard answers; streams wait, and it is tried on", []any{"reason", "connect-refused", "since", "1970-01-12 13:46:40"}},
		{guard, "", nil},
		{circuit, "no circuit can be built; streams wait, and it is tried on", []any{"reason", "timeout", "since", "1970-01-12 13:47:40"}},
		{circuit, "", nil},
		{nil, "the network answers again", []any{"after", 2 * time.Minute}},
		{nil, "", nil},
		{guard, "no guard answers; streams wait, and it is tried on", []any{"reason", "connect-refused", "since", "1970-01-12 13:46:40"}},
	} {
		if msg, args := a.tells(tt.trouble, from.Add(2*time.Minute)); msg != tt.msg || !slices.Equal(args, tt.args) {
			t.Errorf("%d: %q %v, want %q %v", i, msg, args, tt.msg, tt.args)
		}
	}
}

// What a status sums up is true: a node that was ready once, and is cut off, is not ready.
func TestTroubleIsInTheSummary(t *testing.T) {
	trouble := &fold.Trouble{What: fold.NoRelay, Since: time.Unix(5, 0), Outcome: chivev1.Outcome_OUTCOME_TIMEOUT}
	for _, tt := range []struct {
		phase        chivev1.BootstrapPhase
		before, want string
	}{
		{chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE, "ready: a circuit is open", "no relay answers"},
		{chivev1.BootstrapPhase_BOOTSTRAP_PHASE_CONNECTING, "connecting to a directory", "connecting to a directory: no relay answers"},
		{0, "", "no relay answers"},
	} {
		s := Status{Summary: tt.before}
		s.troubled(nil, tt.phase)
		if s.Summary != tt.before || s.Trouble != nil {
			t.Errorf("without trouble: %+v", s)
		}
		s.troubled(trouble, tt.phase)
		if s.Summary != tt.want || *s.Trouble != (Trouble{fold.NoRelay, time.Unix(5, 0), "timeout"}) {
			t.Errorf("%+v, want %q", s, tt.want)
		}
	}
}

// A node whose directories are all away says so, in its log and in its status.
func TestNodeWithoutNetworkSaysSo(t *testing.T) {
	log := notices{make(chan string, 256)}
	n := runsWithLog(t, log, "127.0.0.1:auto", nil)
	if text := log.noted(t, "no relay answers"); !strings.Contains(text, "reason=connect-refused") {
		t.Errorf("told %q", text)
	}
	if s := n.Status(); s.Trouble == nil || s.Trouble.What != fold.NoRelay || !strings.HasSuffix(s.Summary, ": no relay answers") || s.Phase != "connecting" {
		t.Errorf("%+v", s)
	}
	if n.counts().Reachable {
		t.Error("the metrics say that the network can be reached")
	}
}
