package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"chive/messages/chivev1"
)

// hostedPoints counts the introduction points that are up, of all services.
func (r *reloadable) hostedPoints() int {
	log, _ := r.events(0)
	up := map[string]bool{}
	for _, e := range log {
		switch {
		case e.GetHostingPointUp() != nil:
			up[fmt.Sprint(e.GetActorId(), e.GetHostingPointUp().GetPoint())] = true
		case e.GetHostingPointDown() != nil:
			delete(up, fmt.Sprint(e.GetActorId(), e.GetHostingPointDown().GetPoint()))
		case e.GetHostingPointGone() != nil:
			delete(up, fmt.Sprint(e.GetActorId(), e.GetHostingPointGone().GetPoint()))
		case e.GetHostingStopped() != nil:
			for key := range up {
				if len(key) > len(e.GetActorId()) && key[:len(e.GetActorId())] == e.GetActorId() {
					delete(up, key)
				}
			}
		}
	}
	return len(up)
}

// TestHostingChanges: services come, change and go in a node that runs, and what they offer
// is understood by C tor.
func TestHostingChanges(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "changing")
	r := startReloadable(t, l.Network, nil)
	tor := ctor(t, l.Network, "visitor")

	service := []string{
		"HiddenServiceDir " + dir, "HiddenServicePort 80 " + l.http, "HiddenServicePoWDefensesEnabled 1",
		"HiddenServiceEnableIntroDoSDefense 1",
	}
	r.must(t, service...)
	r.until(t, patience, "published", func() bool { return r.publications() >= 2 })
	address := addressOf(t, dir)
	tor.fetchOnion(t, "", address, 500_000)

	// More introduction points: other relays join those that are there.
	r.must(t, append(service, "HiddenServiceNumIntroductionPoints 5")...)
	r.until(t, patience, "five introduction points", func() bool { return r.hostedPoints() == 5 })

	// Another port, and one stream at a time: at once, for the circuits that are there.
	r.must(t, "HiddenServiceDir "+dir, "HiddenServicePort 8080 "+l.http, "HiddenServicePort 7 unix:"+unixEcho(t),
		"HiddenServiceMaxStreams 1", "HiddenServiceMaxStreamsCloseCircuit 1")
	// On a circuit of its own: what is left of it counts for no other.
	tor.fetchOnion(t, "other", address+":8080", 10_000)
	if _, code := tor.connect(t, address, 7); code != 0 {
		t.Fatalf("the first stream is refused: %d", code)
	}
	closed := func() int {
		return r.count(func(e *chivev1.Envelope) bool {
			return e.GetCircuitClosed().GetOutcome() == chivev1.Outcome_OUTCOME_REFUSED
		})
	}
	before := closed()
	if _, code := tor.connect(t, address, 7); code == 0 && closed() == before {
		t.Error("a second stream on one circuit is served")
	}
	r.until(t, patience, "the circuit is closed", func() bool { return closed() > before })

	// Gone: its introduction points are, and nobody is met any more.
	r.must(t)
	r.until(t, patience, "the service is stopped", func() bool {
		return r.count(func(e *chivev1.Envelope) bool { return e.GetHostingStopped() != nil }) == 1 && r.hostedPoints() == 0
	})
	r.until(t, patience, "its circuits are closed", func() bool {
		log, _ := r.events(0)
		open := map[string]bool{}
		for _, e := range log {
			switch {
			case purposeOf(e) >= chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION && purposeOf(e) <= chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY:
				open[e.GetActorId()] = true
			case e.GetCircuitClosed() != nil || e.GetCircuitFailed() != nil:
				delete(open, e.GetActorId())
			}
		}
		return len(open) == 0
	})
}
