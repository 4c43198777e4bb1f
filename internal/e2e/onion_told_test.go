package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chive/actors/hosting"
)

// TestOnionToldPlainly: a target that does not answer is told of, with the service up; visits
// of the node are no clients, in no figure; a reload that finds the keys of another service,
// or none, changes nothing, and the service is reached as before.
func TestOnionToldPlainly(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	down := freePort(t)
	base := t.TempDir()
	dir, other := filepath.Join(base, "site"), filepath.Join(base, "other")
	p := program(t, append(l.ClientTorrc(), "OnionVerifyPeriod 10 seconds", "HiddenServiceDir "+dir,
		"HiddenServicePort 80 "+l.http, "HiddenServicePort 81 "+down)...)
	p.start(t)
	within(t, patience, "published", p.published(t))
	address := addressOf(t, dir)
	tor := ctor(t, l.Network, "visitor")
	tor.fetchOnion(t, "", address, 10_000)
	for range 2 {
		if _, code := tor.connect(t, address, 81); code == 0 {
			t.Fatal("a target that does not listen took a stream")
		}
	}
	said := "port 81 to " + down + " has refused since "
	for _, verb := range []string{"ls", "why"} {
		args := []string{"onion", verb}
		if verb == "why" {
			args = append(args, address[:16])
		}
		out, err := p.ask(t, args...)
		if err != nil || !strings.Contains(out, "clients reach the service, its target does not answer: "+said) || !strings.Contains(out, "2 streams in a row") {
			t.Errorf("chive %s: %v\n%s", args, err, out)
		}
	}
	out, err := p.ask(t, "onion", "show", dir)
	if err != nil || !strings.Contains(out, said) || !strings.Contains(out, "port 80 to "+l.http+" answered, last at ") {
		t.Errorf("chive onion show: %v\n%s", err, out)
	}
	p.countsAgree(t)

	delegate(t, other, filepath.Join(base, "carried"), public, 1)
	swap := func() {
		for _, name := range []string{"hs_ed25519_secret_key", "hs_ed25519_public_key", "hostname"} {
			for _, move := range [][2]string{{dir, base}, {other, dir}, {base, other}} {
				if err := os.Rename(filepath.Join(move[0], name), filepath.Join(move[1], name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	swap()
	if out, err := p.ask(t, "reload"); err == nil || !strings.Contains(out, "the keys of another onion service") || !strings.Contains(out, dir) {
		t.Errorf("chive reload with another's keys: %v\n%s", err, out)
	}
	tor.fetchOnion(t, "again", address, 10_000)
	swap()
	if out, err := p.ask(t, "reload"); err != nil || strings.Contains(out, dir) {
		t.Errorf("chive reload with the keys back: %v\n%s", err, out)
	}
	ctor(t, l.Network, "another").fetchOnion(t, "", address, 10_000)
	if _, code := tor.connect(t, address, 81); code == 0 {
		t.Error("a target that does not listen took a stream")
	}
}

// countsAgree: introductions by clients are the sum of those of the points, and visits have
// figures of their own.
func (p *process) countsAgree(t *testing.T) {
	t.Helper()
	var s hosting.Status
	within(t, patience, "the node visits the service", func() bool {
		all := p.services(t)
		if len(all) == 1 {
			s = all[0]
		}
		return s.Visits > 0
	})
	var clients, visits uint64
	for _, point := range s.Points {
		clients += point.Introductions
		visits += point.Visits
	}
	if s.Introductions != clients || s.Visits != visits || clients == 0 || s.Met == 0 || s.Introductions < s.Met {
		t.Errorf("%d introductions, %d of the points; %d visits, %d of the points; %d met", s.Introductions, clients, s.Visits, visits, s.Met)
	}
}
