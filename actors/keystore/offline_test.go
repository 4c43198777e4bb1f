package keystore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/host"
	"chive/tor/onion/keyfile"
)

var began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func delegation(t *testing.T, identity *onion.SecretKey) *host.Delegation {
	t.Helper()
	d, err := host.NewDelegation(identity, rand.Reader, onion.Schedule{Voting: time.Hour, Minutes: 1440}, began, 3)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The host's folder has all but the identity key, and gives keys as long as they last.
func TestDelegatedService(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	s := open(t, home)
	identity, err := identityOf(home, false)
	if err != nil || identity.Bytes() != s.Key.Bytes() {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "host")
	if err := saveDelegation(dir, delegation(t, identity)); err != nil {
		t.Fatal(err)
	}
	want := []string{keyfile.ClientsDir, DelegationFile, keyfile.HostnameFile, keyfile.PublicKeyFile}
	if got := names(t, dir); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("files %q", got)
	}
	if mode := modeOf(t, filepath.Join(dir, DelegationFile)); mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	seed := identity.Bytes()
	for _, name := range want[1:] {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || bytes.Contains(b, seed[:32]) {
			t.Errorf("%s: %v, or it has the key in it", name, err)
		}
	}
	h := open(t, dir)
	if h.Key != nil || h.Delegation == nil || h.Address != s.Address {
		t.Fatal("not the service, or with its key")
	}
	if h.Common() != s.Common() {
		t.Error("another secret than hosts with the key have")
	}
	if k, err := h.Keys(began); err != nil || k == nil {
		t.Error(err)
	}
	if _, err := h.Keys(began.AddDate(0, 0, 9)); !errors.Is(err, ErrOver) || !strings.Contains(err.Error(), "2026-11-25 12:00:00") {
		t.Errorf("after their time: %v", err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, DelegationFile))
	if err := saveDelegation(dir, delegation(t, identity)); err != nil {
		t.Errorf("new keys: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, DelegationFile)); bytes.Equal(before, after) {
		t.Error("the old keys are still there")
	}
	// The public key and the name follow from the delegation.
	for _, name := range []string{keyfile.HostnameFile, keyfile.PublicKeyFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if again := open(t, dir); again.Key != nil || again.Address != s.Address {
		t.Error("without a public key it is another service")
	}
}

func TestDelegationRefusals(t *testing.T) {
	own, other := onion.SecretKeyOfSeed([32]byte{1}), onion.SecretKeyOfSeed([32]byte{2})
	tests := map[string]struct {
		change func(dir string) error
		want   error
	}{
		"others can read it": {func(dir string) error { return os.Chmod(filepath.Join(dir, DelegationFile), 0o640) }, ErrOpen},
		"of another service": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, DelegationFile), delegation(t, other).Text(), 0o600)
		}, ErrMismatch},
		"beside the secret key": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, keyfile.SecretKeyFile), keyfile.FormatSecretKey(own), 0o600)
		}, ErrMismatch},
		"malformed": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, DelegationFile), []byte("nonsense"), 0o600)
		}, host.ErrDelegation},
		"a folder": {func(dir string) error {
			if err := os.Remove(filepath.Join(dir, DelegationFile)); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(dir, DelegationFile), 0o700)
		}, ErrOpen},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "host")
			if err := saveDelegation(dir, delegation(t, own)); err != nil {
				t.Fatal(err)
			}
			if err := test.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenService(dir, false, rand.Reader); !errors.Is(err, test.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("taken away", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "host")
		if err := saveDelegation(dir, delegation(t, own)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, DelegationFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir).Keys(began); !errors.Is(err, ErrNoKeys) {
			t.Errorf("%v", err)
		}
	})
	t.Run("saved to another service's folder", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "host")
		if err := saveDelegation(dir, delegation(t, own)); err != nil {
			t.Fatal(err)
		}
		if err := saveDelegation(dir, delegation(t, other)); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
		home := filepath.Join(t.TempDir(), "home")
		s := open(t, home)
		if err := saveDelegation(home, delegation(t, s.Key)); !errors.Is(err, ErrMismatch) {
			t.Errorf("beside the key: %v", err)
		}
		if _, err := identityOf(dir, true); !errors.Is(err, ErrMismatch) {
			t.Errorf("the key of a host: %v", err)
		}
	})
}
