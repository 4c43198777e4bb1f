package e2e

import (
	"testing"

	"chive/messages/chivev1"
	"chive/messages/fold/story"
)

// The address that connections are made from is no more: no guard is blamed, a stream ends with
// what it is and what to do, and all works again once there is an address.
func TestSourceAddressThatIsGone(t *testing.T) {
	t.Parallel()
	n := network(t)
	l := newLab(t, n, "SocksPort auto", "OutboundBindAddress 127.0.0.2")
	l.once(t)
	_, from := l.events(0)
	l.must(t, "SocksPort auto", "OutboundBindAddress 192.0.2.1", "SocksTimeout 10 seconds")
	if err := l.get(t, "nobody")(); err == nil {
		t.Error("a stream goes over connections from an address that is not there")
	}
	var (
		in   *story.Log
		last story.Subject
	)
	l.until(t, patience, "a stream that failed", func() (failed bool) { // its end is told after its answer
		log, _ := l.events(0)
		in = story.NewLog(log)
		last, failed = in.LastFailed(chivev1.Kind_KIND_STREAM)
		return failed
	})
	why := in.Tell(last)
	if why.Outcome != "machine-failed" || why.Hint == "" || len(why.Because) == 0 {
		t.Errorf("chive why: %+v", why)
	}
	l.until(t, patience, "a status that says what is wrong", func() bool {
		tr := l.Status().Trouble
		return tr != nil && tr.Outcome == "machine-failed"
	})
	l.must(t, "SocksPort auto", "OutboundBindAddress 127.0.0.3")
	l.once(t)
	log, _ := l.events(from)
	dials := 0
	for _, e := range log {
		switch {
		case e.GetGuardUnreachable() != nil, e.GetBreakerOpened() != nil, e.GetGuardSampled() != nil:
			t.Errorf("a relay is blamed, or another sampled: %v", e)
		case e.GetConnectionFailed().GetOutcome() == chivev1.Outcome_OUTCOME_MACHINE_FAILED:
			dials++
		}
	}
	if dials == 0 { // how many there may be is for the unit tests, as it grows with the time it takes
		t.Error("no dial in vain")
	}
}
