package hosting

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"chive/actors/keystore"
	"chive/config"
	"chive/tor/onion"
	"chive/tor/onion/host"
)

func freshKey(t *testing.T) *onion.SecretKey {
	t.Helper()
	key, err := onion.GenerateSecretKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What a service without a folder leaves is there for the next with its key, and a state
// once; what nobody shall have again is forgotten.
func TestMemory(t *testing.T) {
	r := registry{known: map[onion.Address]*memory{}}
	a := freshKey(t).Address()
	if !r.claim(a) || r.claim(a) {
		t.Fatal("an address is claimed once")
	}
	m := r.memory(a)
	floors := host.Floors{{Period: onion.Period{Number: 7, Minutes: 1440}, Revision: 9}}
	if err := errors.Join(m.SaveState([]byte("points")), m.SaveFloors(floors)); err != nil {
		t.Fatal(err)
	}
	floors[0].Revision = 1 // the machine's own; what was kept is a copy
	if err := m.SaveState(make([]byte, host.MaxState+1)); !errors.Is(err, host.ErrState) {
		t.Errorf("a state that is too large: %v", err)
	}
	r.release(a, false)
	if !r.claim(a) {
		t.Fatal("not free")
	}
	m = r.memory(a)
	if f, err := m.Floors(); err != nil || len(f) != 1 || f[0].Revision != 9 {
		t.Errorf("%v, %v", f, err)
	}
	for _, want := range []string{"points", ""} {
		if b, err := m.TakeState(); err != nil || string(b) != want {
			t.Errorf("%q, %v; want %q", b, err, want)
		}
	}
	r.release(a, true)
	r.claim(a)
	if f, err := r.memory(a).Floors(); err != nil || len(f) != 0 {
		t.Errorf("remembered: %v, %v", f, err)
	}
}

// The memory of what nobody hosts is bounded, and what somebody hosts is never forgotten.
func TestMemoryIsBounded(t *testing.T) {
	r := registry{known: map[onion.Address]*memory{}}
	hosted := onion.Address{255}
	r.claim(hosted)
	for i := range 3 * maxMemories {
		a := onion.Address{byte(i), byte(i >> 8), 1}
		r.claim(a)
		r.release(a, false)
	}
	if len(r.known) != maxMemories+1 || len(r.idle) != maxMemories || !r.known[hosted].claimed {
		t.Errorf("%d known, %d idle", len(r.known), len(r.idle))
	}
	last := r.idle[len(r.idle)-1]
	r.claim(last)
	if len(r.idle) != maxMemories-1 {
		t.Error("one that is hosted again is still idle")
	}
}

// What the folder and the program say of clients counts together.
func TestClientsOfTheProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hs")
	folder, err := keystore.OpenService(dir, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	settings := func(s config.OnionService, own *Own) host.Config {
		t.Helper()
		st, err := openStore(&s, own)
		if err != nil {
			t.Fatal(err)
		}
		a := &serviceActor{h: &hosting{o: Options{Log: slog.New(slog.DiscardHandler)}}, service: s, store: st}
		c, err := a.settings()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	in := &Own{Service: config.OnionService{Dir: dir}, Address: folder.Address}
	if c := settings(in.Service, in); c.Restricted || len(c.Clients) > 0 {
		t.Errorf("%+v", c)
	}
	in.Allow([][32]byte{{1}, {2}})
	if _, err := keystore.AddClient(dir, "bob", [32]byte{9}, false); err != nil {
		t.Fatal(err)
	}
	if c := settings(in.Service, in); !c.Restricted || len(c.Clients) != 3 {
		t.Errorf("%+v", c)
	}
	key := freshKey(t)
	if !memories.claim(key.Address()) {
		t.Fatal("taken")
	}
	defer memories.release(key.Address(), true)
	out := &Own{Key: key, Address: key.Address()}
	if c := settings(out.Service, out); c.Restricted || len(c.Clients) > 0 {
		t.Errorf("%+v", c)
	}
	out.Allow([][32]byte{{1}})
	if c := settings(out.Service, out); !c.Restricted || len(c.Clients) != 1 {
		t.Errorf("%+v", c)
	}
	// Somebody put another key there.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(&in.Service, in); !errors.Is(err, errAnother) {
		t.Errorf("another key: %v", err)
	}
}
