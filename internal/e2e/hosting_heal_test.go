package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// watched is a node that hosts one service, and visits it often.
type watched struct {
	*client
	l       *hostingLab
	address string
	from    int    // events before it are of no interest any more
	killed  string // name of a relay
}

func watch(t *testing.T, l *hostingLab, period string, lines ...string) *watched {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "watched")
	if len(lines) > 0 && strings.HasPrefix(lines[0], "HiddenServiceDir ") {
		dir = strings.TrimPrefix(lines[0], "HiddenServiceDir ")
		lines = lines[1:]
	}
	lines = append(append(l.ClientTorrc(), "OnionVerifyPeriod "+period), append([]string{"HiddenServiceDir " + dir, "HiddenServicePort 80 " + l.http}, lines...)...)
	w := &watched{client: hosts(t, t.TempDir(), 2, lines...), l: l, address: addressOf(t, dir)}
	w.first(t, "verified", patience, func(e *chivev1.Envelope) bool { return e.GetHostingVerified().GetBy() == "probe" })
	return w
}

// since gives the events that are of interest.
func (w *watched) since() []*chivev1.Envelope {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log[w.from:])
}

// mark forgets what happened until now.
func (w *watched) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.from = len(w.log)
}

// first waits for an event.
func (w *watched) first(t *testing.T, what string, patience time.Duration, match func(*chivev1.Envelope) bool) *chivev1.Envelope {
	t.Helper()
	var found *chivev1.Envelope
	w.eventually(t, what, patience, func() bool {
		all := w.since()
		if i := slices.IndexFunc(all, match); i >= 0 {
			found = all[i]
		}
		return found != nil
	})
	return found
}

// points are the relays of the introduction points that are up now, by number.
func (w *watched) points() map[uint64]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[uint64]string{}
	for _, e := range w.log {
		switch {
		case e.GetHostingPointUp() != nil:
			out[e.GetHostingPointUp().GetPoint()] = fmt.Sprintf("%X", e.GetHostingPointUp().GetRelay())
		case e.GetHostingPointDown() != nil:
			delete(out, e.GetHostingPointDown().GetPoint())
		case e.GetHostingPointGone() != nil:
			delete(out, e.GetHostingPointGone().GetPoint())
		}
	}
	return out
}

// story logs what was told of the service's health.
func (w *watched) story(t *testing.T, began time.Time) {
	for _, e := range w.since() {
		switch b := e.GetEvent().(type) {
		case *chivev1.Envelope_HostingProbed, *chivev1.Envelope_HostingVerified, *chivev1.Envelope_HostingUnverified,
			*chivev1.Envelope_HostingBroken, *chivev1.Envelope_HostingHealing, *chivev1.Envelope_HostingHealed,
			*chivev1.Envelope_HostingPointGone, *chivev1.Envelope_HostingDescribed, *chivev1.Envelope_HostingPublished:
			t.Logf("%6.2f s %v", e.GetTime().AsTime().Sub(began).Seconds(), b)
		}
	}
}

// healedAfter waits until the service is found to be broken and until it is up again, and
// logs how long each took.
func (w *watched) healedAfter(t *testing.T, what string, began time.Time) *chivev1.HostingBroken {
	t.Helper()
	defer w.story(t, began)
	broken := w.first(t, what+": found", patience, func(e *chivev1.Envelope) bool { return e.GetHostingBroken() != nil })
	healed := w.first(t, what+": healed", patience, func(e *chivev1.Envelope) bool { return e.GetHostingHealed() != nil })
	t.Logf("%s: found after %.1f s, up again after %.1f s", what, broken.GetTime().AsTime().Sub(began).Seconds(), healed.GetTime().AsTime().Sub(began).Seconds())
	return broken.GetHostingBroken()
}

// startRoomyLab is a network in which the relays of introduction points have no other part:
// only its guards have that flag, and they are the layer behind the guard as well.
func startRoomyLab(t *testing.T) (l *hostingLab, layer string) {
	t.Helper()
	l = startHostingLabOf(t, testnet.Options{Onions: -1, Relays: 13, Guards: 3})
	var second []string
	for _, x := range l.Nodes() {
		if x.Guard && x.Role != testnet.RoleAuth {
			second = append(second, x.Fingerprint)
		}
	}
	return l, "HSLayer2Nodes " + strings.Join(second, ",")
}

// TestHostingHeals: what breaks a hosted service is found, told with its cause, and repaired,
// over relays of C tor; a client of C tor reaches it in the end.
func TestHostingHeals(t *testing.T) {
	t.Parallel()
	l, layer := startRoomyLab(t)
	w := watch(t, l, "10 seconds", "HiddenServiceNumIntroductionPoints 4", layer)
	tor := ctor(t, l.Network, "visitor")
	tor.fetchOnion(t, "", w.address, 10_000)

	t.Run("every introduction point is visited", func(t *testing.T) { w.coversAll(t) })
	// This comes first: after others there are descriptors that are less than a minute old.
	t.Run("the relay of an introduction point is gone", func(t *testing.T) { w.relayGone(t) })
	t.Run("an introduction point forgot the service", func(t *testing.T) { w.pointForgets(t) })
	t.Run("directories lost the descriptor", func(t *testing.T) { w.directoriesForget(t) })
	ctor(t, l.Network, "later").fetchOnion(t, "", w.address, 1<<20)
}

func (w *watched) coversAll(t *testing.T) {
	used := map[uint64]bool{}
	w.eventually(t, "each introduction point is visited", patience, func() bool {
		for _, e := range w.since() {
			if p := e.GetHostingProbed(); p.GetOutcome() == chivev1.Outcome_OUTCOME_OK && p.GetPoint() != 0 {
				used[p.GetPoint()] = true
			}
		}
		return len(used) >= 3
	})
	for _, e := range w.since() {
		if e.GetHostingBroken() != nil {
			t.Errorf("a service that works is found broken: %v", e)
		}
		p := e.GetHostingProbed()
		if ok := p.GetOutcome() == chivev1.Outcome_OUTCOME_OK; ok && p.GetPoint() != 0 && !p.GetArrived() {
			t.Errorf("met, and nothing came: %v", p)
		} else if p != nil && !ok { // a circuit may be too slow, and is nothing that is repaired
			t.Logf("a visit ended at %v: %v", p.GetStage(), p)
		}
	}
}

// relayAt is the node with a fingerprint.
func (w *watched) relayAt(fingerprint string) (testnet.Node, bool) {
	for _, x := range w.l.Nodes() {
		if strings.EqualFold(x.Fingerprint, fingerprint) {
			return x, true
		}
	}
	return testnet.Node{}, false
}

// directoriesForget: relays keep descriptors in memory, so each that is started anew has none.
func (w *watched) directoriesForget(t *testing.T) {
	points := w.points()
	w.mark()
	began := time.Now()
	for _, x := range w.l.Nodes() {
		busy := x.Name == w.killed
		for _, relay := range points {
			busy = busy || strings.EqualFold(relay, x.Fingerprint)
		}
		if busy || x.Guard {
			continue
		}
		if err := w.l.Restart(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	w.healedAfter(t, "directories lost the descriptor", began)
}

// pointForgets: the process is another, and knows of no introduction circuit.
func (w *watched) pointForgets(t *testing.T) {
	x := w.somePoint(t)
	w.mark()
	began := time.Now()
	if err := w.l.Restart(x.Name); err != nil {
		t.Fatal(err)
	}
	w.first(t, "the circuit is missed", patience, func(e *chivev1.Envelope) bool { return e.GetHostingPointDown() != nil })
	up := w.first(t, "there is another", patience, func(e *chivev1.Envelope) bool { return e.GetHostingPointUp() != nil })
	w.first(t, "it is verified", patience, func(e *chivev1.Envelope) bool {
		return e.GetHostingProbed().GetOutcome() == chivev1.Outcome_OUTCOME_OK && e.GetTime().AsTime().After(up.GetTime().AsTime())
	})
	w.story(t, began)
}

// somePoint is a relay that is an introduction point, and that nothing else depends on.
func (w *watched) somePoint(t *testing.T) testnet.Node {
	t.Helper()
	points := w.points()
	for _, relay := range points {
		if x, ok := w.relayAt(relay); ok && !x.Guard && x.Role != testnet.RoleAuth {
			return x
		}
	}
	t.Fatalf("each of %d introduction points is at a guard or an authority", len(points))
	return testnet.Node{}
}

// relayGone: whoever is first, the machine that tries the relay anew or who visits, the relay is
// given up and another listed.
func (w *watched) relayGone(t *testing.T) {
	x := w.somePoint(t)
	w.mark()
	began := time.Now()
	defer func() { w.story(t, began) }()
	w.killed = x.Name
	if err := w.l.Kill(x.Name); err != nil {
		t.Fatal(err)
	}
	is := func(relay []byte) bool { return strings.EqualFold(fmt.Sprintf("%X", relay), x.Fingerprint) }
	down := w.first(t, "its circuit is missed", patience, func(e *chivev1.Envelope) bool { return is(e.GetHostingPointDown().GetRelay()) })
	gone := w.first(t, "it is given up", patience, func(e *chivev1.Envelope) bool { return is(e.GetHostingPointGone().GetRelay()) })
	again := w.first(t, "there is another descriptor", patience, func(e *chivev1.Envelope) bool { // it may have been a directory, too
		return e.GetHostingDescribed() != nil && e.GetSequence() > gone.GetSequence()
	})
	met := w.first(t, "it is verified", patience, func(e *chivev1.Envelope) bool {
		return e.GetHostingProbed().GetOutcome() == chivev1.Outcome_OUTCOME_OK && e.GetSequence() > again.GetSequence()
	})
	after := func(e *chivev1.Envelope) float64 { return e.GetTime().AsTime().Sub(began).Seconds() }
	t.Logf("the relay of an introduction point is gone: missed after %.1f s, given up after %.1f s, described after %.1f s, verified after %.1f s",
		after(down), after(gone), after(again), after(met))
	for _, e := range w.since() {
		if b := e.GetHostingBroken(); b.GetPartly() && is(b.GetRelay()) && b.GetCause() != chivev1.HealthCause_HEALTH_CAUSE_RELAY_GONE {
			t.Errorf("told as %v", b)
		}
	}
}

// TestHostingVerifiesRestricted: the node reads the descriptor of a service for authorised
// clients by a key of its own, and they as before.
func TestHostingVerifiesRestricted(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "private")
	key, public := clientKey(t)
	letIn(t, dir, "alice", public)
	w := watch(t, l, "10 seconds", "HiddenServiceDir "+dir)
	folder := keyDir(t, auth(w.address, key))
	ctor(t, l.Network, "alice", "ClientOnionAuthDir "+folder).fetchOnion(t, "", w.address, 100_000)
	if _, code := ctor(t, l.Network, "stranger").connect(t, w.address, 80); code == 0 {
		t.Error("a stranger reaches the service")
	}
}

// TestHostingWithoutNetwork: nothing is said of a service, and nothing done to it, while no
// relay can be reached; it is verified soon after they can.
func TestHostingWithoutNetwork(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	w := watch(t, l, "10 seconds", "RelayBreakerFailures 2", "RelayBreakerOpenTime 5 seconds")
	w.mark()
	began := time.Now()
	for _, x := range l.Nodes() {
		if err := l.Stop(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	doubted := w.first(t, "unverified", patience, func(e *chivev1.Envelope) bool { return e.GetHostingUnverified() != nil })
	t.Logf("told after %.1f s: %v", doubted.GetTime().AsTime().Sub(began).Seconds(), doubted.GetHostingUnverified())
	back := time.Now()
	for _, x := range l.Nodes() {
		if err := l.Cont(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	up := w.first(t, "verified again", patience, func(e *chivev1.Envelope) bool { return e.GetHostingVerified() != nil })
	t.Logf("verified %.1f s after the network is back", up.GetTime().AsTime().Sub(back).Seconds())
	w.story(t, began)
	for _, e := range w.since() {
		if e.GetHostingHealing() != nil && e.GetTime().AsTime().Before(back) {
			t.Errorf("a step without a network: %v", e)
		}
	}
	ctor(t, l.Network, "visitor").fetchOnion(t, "", w.address, 100_000)
}
