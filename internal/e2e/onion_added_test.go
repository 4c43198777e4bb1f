package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chive/actors/hosting"
)

// program is chive as a process of its own, with a node's lines.
func program(t *testing.T, lines ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, built := building(t, dir)
	built()
	p := &process{name: "chive", binary: binary, torrc: filepath.Join(dir, "torrc"), data: filepath.Join(dir, "data"), socks: freePort(t)}
	text := strings.Join(append(lines, "SocksPort "+p.socks, "DataDirectory "+p.data), "\n") + "\n"
	if err := os.WriteFile(p.torrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Log(p.said.String())
		}
	})
	return p
}

// services are those that the process hosts; none while it does not answer.
func (p *process) services(t *testing.T) (all []hosting.Status) {
	t.Helper()
	out, err := p.ask(t, "onion", "ls", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	if err != nil {
		return nil
	}
	return all
}

// published: directories have its descriptors, or somebody met it already.
func (p *process) published(t *testing.T) func() bool {
	return func() bool {
		all := p.services(t)
		return len(all) == 1 && (all[0].State == "published" || all[0].State == "up")
	}
}

// TestAddedServiceStays: what chive onion add adds is hosted again after kill -9, under its
// address; what rm takes out is not.
func TestAddedServiceStays(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	p := program(t, l.ClientTorrc()...)
	p.start(t)
	within(t, patience, "the node answers", func() bool { _, err := p.ask(t, "status"); return err == nil })
	dir := filepath.Join(t.TempDir(), "not", "yet", "there")
	if out, err := p.ask(t, "onion", "add", dir, "80 "+l.http); err != nil {
		t.Fatal(out, err)
	}
	within(t, patience, "published", p.published(t))
	address := addressOf(t, dir)
	tor := ctor(t, l.Network, "visitor")
	tor.fetchOnion(t, "", address, 10_000)
	if out, err := p.ask(t, "onion", "verify", address[:16]); err != nil || !strings.Contains(out, "\nverified ") {
		t.Errorf("chive onion verify: %s, %v", out, err)
	}

	p.kill()
	p.start(t)
	within(t, patience, "published again", p.published(t))
	if s := p.services(t)[0]; s.Address != address || s.Dir != dir || s.From != "chive onion add" {
		t.Fatalf("%+v", s)
	}
	ctor(t, l.Network, "another").fetchOnion(t, "", address, 10_000) // the first one has circuits of before

	if out, err := p.ask(t, "onion", "rm", address[:16]); err != nil {
		t.Fatal(out, err)
	}
	p.kill()
	p.start(t)
	within(t, patience, "the node answers", func() bool { _, err := p.ask(t, "status"); return err == nil })
	if all := p.services(t); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if out, err := p.ask(t, "onion", "ls"); err != nil || strings.Contains(out, dir) {
		t.Error(out, err)
	}
}
