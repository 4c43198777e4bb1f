package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
	"chive/messages/fold/story"
)

// why asks what became of a service.
func (p *process) why(t *testing.T, service string) (st story.Service) {
	t.Helper()
	out, err := p.ask(t, "onion", "why", service, "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	if err != nil {
		t.Logf("chive onion why: %v: %s", err, out)
	}
	return st
}

// quietPoint is an introduction point that nothing else depends on: neither guards nor the
// layer behind them.
func (w *watched) quietPoint(t *testing.T) (testnet.Node, uint64) {
	t.Helper()
	second := map[string]bool{}
	for _, e := range w.since() {
		if a := e.GetVanguardAdded(); a != nil {
			second[fmt.Sprintf("%X", a.GetRelay())] = true
		}
		if r := e.GetVanguardRemoved(); r != nil {
			delete(second, fmt.Sprintf("%X", r.GetRelay()))
		}
	}
	for point, relay := range w.points() {
		if x, ok := w.relayAt(relay); ok && !x.Guard && x.Role != testnet.RoleAuth && !second[relay] {
			return x, point
		}
	}
	t.Fatal("every introduction point is at a guard, behind one, or at an authority")
	return testnet.Node{}, 0
}

// TestOnionWhy: the relay of an introduction point is killed; chive onion why names it, what
// was done and what came of that, also after the node was started again.
func TestOnionWhy(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "asked")
	var second []string // the layer behind the guards, so that no introduction point is in it
	for _, x := range l.Nodes() {
		if x.Guard && x.Role != testnet.RoleAuth {
			second = append(second, x.Fingerprint)
		}
	}
	w := watch(t, l, "10 seconds", "HiddenServiceDir "+dir, "HiddenServiceNumIntroductionPoints 6", "HSLayer2Nodes "+strings.Join(second, ","))
	p := program(t)
	p.data = filepath.Join(w.dir, "data")
	relay, point := w.quietPoint(t)
	fingerprint := strings.ToUpper(relay.Fingerprint)
	defer func() {
		text, _ := p.ask(t, "onion", "why", dir) // no node may run, if it failed
		t.Log(text)
	}()
	w.mark()
	began := time.Now()
	if err := l.Kill(relay.Name); err != nil {
		t.Fatal(err)
	}
	w.first(t, "its circuit is missed", patience, func(e *chivev1.Envelope) bool { return e.GetHostingPointDown().GetPoint() == point })
	w.first(t, "it is given up", patience, func(e *chivev1.Envelope) bool { return e.GetHostingPointGone().GetPoint() == point })
	gone := time.Now()
	w.first(t, "somebody is met after that", patience, func(e *chivev1.Envelope) bool {
		return e.GetHostingProbed().GetOutcome() == chivev1.Outcome_OUTCOME_OK && e.GetHostingProbed().GetPoint() != 0 && e.GetTime().AsTime().After(gone)
	})
	t.Logf("given up %.1f s after the kill", gone.Sub(began).Seconds())

	st := p.why(t, dir)
	var named []string
	for _, s := range st.Spells {
		for _, step := range s.Happened {
			if step.Relay == fingerprint {
				named = append(named, step.Event)
			}
		}
		if s.Point == point && s.Relay != fingerprint { // others may be blamed as well: circuits fail by relays on their way
			t.Errorf("point %d is told to be at relay %s, and is at %s", s.Point, s.Relay, fingerprint)
		}
		if n := len(s.Healing); n > 0 && s.Cause == "" {
			t.Errorf("steps without a cause: %+v", s)
		}
	}
	if !slices.Contains(named, "hosting-point-down") || !slices.Contains(named, "hosting-point-gone") {
		t.Errorf("of the relay is told %q", named)
	}
	text, err := p.ask(t, "onion", "why", w.address[:20], "--since", "1h")
	if err != nil || !strings.Contains(text, fmt.Sprintf("introduction point %d", point)) || !strings.Contains(text, "relay "+fingerprint) {
		t.Errorf("%v\n%s", err, text)
	}

	// The history is on disk: what was is told when no node runs. Which relay it was only the
	// process knew that is gone.
	w.stop()
	st = p.why(t, dir)
	told := slices.ContainsFunc(st.Spells, func(s story.Spell) bool {
		return slices.ContainsFunc(s.Happened, func(x story.Step) bool {
			return x.Event == "hosting-point-gone" && strings.Contains(x.Text, fmt.Sprintf("introduction point %d ", point)) && x.Relay == ""
		})
	})
	if st.State != "not-running" || !told {
		t.Errorf("while no node runs, told %v: %s", told, st.Summary)
	}
	raw, err := p.ask(t, "events", "--kind", "hosting", "-o", "json")
	if err == nil {
		t.Errorf("a node runs: %s", raw)
	}
}
