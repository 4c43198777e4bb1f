package hosting

import (
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"chive/actors/keystore"
	"chive/config"
	"chive/tor/onion/host"
	"chive/tor/onion/relaymsg"
)

// What the options and the folder of a service say to its machine.
func TestSettings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hs")
	folder, err := keystore.OpenService(dir, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	settings := func(s config.OnionService) host.Config {
		t.Helper()
		s.Dir = dir
		a := &serviceActor{h: &hosting{o: Options{Log: slog.New(slog.DiscardHandler)}}, service: s, store: storeOf(folder, folder)}
		c, err := a.settings()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain := config.OnionService{IntroductionPoints: 4, IntroDoSRate: 10, IntroDoSBurst: 20, PoWRate: 30, PoWBurst: 40}
	if c := settings(plain); c.Points != 4 || c.DoS != nil || c.PoW != nil || c.Restricted || len(c.Clients) > 0 {
		t.Errorf("%+v", c)
	}
	guarded := plain
	guarded.IntroDoS, guarded.PoW = true, true
	c := settings(guarded)
	if c.DoS == nil || *c.DoS != (relaymsg.DoSParams{Rate: 10, Burst: 20}) || c.PoW == nil || *c.PoW != (host.PoW{Rate: 30, Burst: 40}) {
		t.Errorf("%+v, %+v", c.DoS, c.PoW)
	}
	// In a private network the effort is looked at so often that a test can wait for it.
	a := &serviceActor{h: &hosting{o: Options{Log: slog.New(slog.DiscardHandler), Testing: true}}, service: guarded, store: storeOf(folder, folder)}
	a.service.Dir = dir
	if c, err := a.settings(); err != nil || *c.PoW != (host.PoW{Rate: 30, Burst: 40, Period: testingEffort}) {
		t.Errorf("%+v, %v", c.PoW, err)
	}
	// Files that are no keys let nobody in, and neither everybody; others mean nothing.
	list := filepath.Join(dir, "authorized_clients")
	for name, restricts := range map[string]bool{"README": false, "alice.auth": true} {
		if err := os.WriteFile(filepath.Join(list, name), []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c := settings(plain); c.Restricted != restricts || len(c.Clients) > 0 {
			t.Errorf("%s: %+v", name, c)
		}
		if err := os.Remove(filepath.Join(list, name)); err != nil {
			t.Fatal(err)
		}
	}
	public := [32]byte{9}
	if _, err := keystore.AddClient(dir, "bob", public, false); err != nil {
		t.Fatal(err)
	}
	if c := settings(plain); !c.Restricted || len(c.Clients) != 1 || c.Clients[0] != public {
		t.Errorf("%+v", c)
	}
	if err := os.Chmod(list, 0o755); err != nil {
		t.Fatal(err)
	}
	a = &serviceActor{h: &hosting{o: Options{Log: slog.New(slog.DiscardHandler)}}, service: plain, store: storeOf(folder, folder)}
	if _, err := a.settings(); err == nil {
		t.Error("a list of clients that others can change is believed")
	}
}
