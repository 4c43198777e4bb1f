package hosting

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/actors/keystore"
	"chive/config"
	"chive/tor/onion/keyfile"
)

// wanted are keys for a network that votes once an hour.
func wanted(periods int) keystore.Wanted {
	return keystore.Wanted{From: time.Now(), Periods: periods, Length: 24 * time.Hour, Voting: time.Hour}
}

// A host without the key derives what it shares as one with the key does.
func TestSharedWithoutTheKey(t *testing.T) {
	services := folders(t, 1)
	services = append(services, services[0])
	services[1].Dir = filepath.Join(t.TempDir(), "host")
	services[1].PoW, services[1].PoWRate, services[1].PoWBurst = true, 1, 1
	onStage(t, func(s *stage) {
		if _, err := keystore.Delegate(services[0].Dir, services[1].Dir, wanted(9)); err != nil {
			t.Fatal(err)
		}
		s.node(1, services[0])
		b := s.node(2, services[1])
		s.pass(time.Minute)
		one, two := s.told(services[0].Dir), s.told(services[1].Dir)
		if one == nil || two == nil || one.Address != two.Address || len(two.Points) != 2 || string(one.Secret("x", 16)) != string(two.Secret("x", 16)) {
			t.Fatalf("told: %+v, %+v", one, two)
		}
		if st := s.statusOf(b); st.Keys == nil || st.Keys.Over || time.Until(st.Keys.Until) < 8*24*time.Hour {
			t.Errorf("%+v", st.Keys)
		}
	})
}

// Keys that run out are told; others are taken up at a reload, as is that the key was taken
// away; and keys of another service end the first.
func TestKeysChange(t *testing.T) {
	service := folders(t, 1)[0]
	service.Shared = false
	carried := filepath.Join(t.TempDir(), "carried")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	onStage(t, func(s *stage) {
		home := filepath.Join(t.TempDir(), "home")
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		a := s.node(1, service)
		s.pass(time.Minute)
		if st := s.statusOf(a); st.State != "published" || st.Keys != nil {
			t.Fatalf("%+v", st)
		}
		reload := func(state string) Status {
			t.Helper()
			s.system.Root.Send(a, &Configure{Services: []config.OnionService{service}})
			s.pass(2 * time.Minute)
			st := s.statusOf(a)
			if st.State != state {
				t.Fatalf("%s, want %s: %s", st.State, state, st.Problem)
			}
			return st
		}
		if _, err := keystore.Delegate(service.Dir, carried, wanted(1)); err != nil {
			t.Fatal(err)
		}
		move(filepath.Join(service.Dir, keyfile.SecretKeyFile), filepath.Join(home, keyfile.SecretKeyFile))
		move(filepath.Join(carried, keystore.DelegationFile), filepath.Join(service.Dir, keystore.DelegationFile))
		if st := reload("published"); st.Keys == nil || st.Keys.Over {
			t.Fatalf("without the key: %+v", st.Keys)
		}
		s.pass(24 * time.Hour)
		if st := s.statusOf(a); st.Keys == nil || !st.Keys.Over || st.Problem != keysOver {
			t.Fatalf("when they have run out: %+v", st)
		}
		if _, err := keystore.Delegate(home, carried, wanted(3)); err != nil {
			t.Fatal(err)
		}
		move(filepath.Join(carried, keystore.DelegationFile), filepath.Join(service.Dir, keystore.DelegationFile))
		s.system.Root.Send(a, hostingNetwork(30))
		if st := reload("published"); st.Keys.Over || st.Problem != "" {
			t.Errorf("with new keys: %+v", st)
		}
		before := s.statusOf(a).Address
		if err := os.RemoveAll(service.Dir); err != nil {
			t.Fatal(err)
		}
		s.system.Root.Send(a, &Configure{Services: []config.OnionService{service}, Keep: true})
		s.pass(time.Second)
		if st := s.statusOf(a); st.Address != before {
			t.Errorf("a change that is not about the service had it read its folder: %+v", st)
		}
		if st := reload("published"); st.Address == before || st.Keys != nil {
			t.Errorf("another key in its place: %+v", st)
		}
	})
}
