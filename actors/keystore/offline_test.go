package keystore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	identity, made, err := identityOf(home, false)
	if err != nil || made || identity.Bytes() != s.Key.Bytes() {
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
		if _, _, err := identityOf(dir, true); !errors.Is(err, ErrMismatch) {
			t.Errorf("the key of a host: %v", err)
		}
	})
}

// What is refused leaves no new identity key, and folders above are made.
func TestDelegateMakesTheKeyLast(t *testing.T) {
	wanted := Wanted{From: began, Periods: 3, New: true, Length: 24 * time.Hour, Voting: time.Hour}
	many := wanted
	many.Periods = 2000
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("open"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := saveDelegation(at("another"), delegation(t, onion.SecretKeyOfSeed([32]byte{2}))); err != nil {
		t.Fatal(err)
	}
	open(t, at("keyed"))
	for name, tt := range map[string]struct {
		out  string
		w    Wanted
		want error
	}{
		"below a file":       {at("file/host"), wanted, syscall.ENOTDIR},
		"a file":             {at("file"), wanted, nil},
		"open to others":     {at("open"), wanted, ErrOpen},
		"of another service": {at("another"), wanted, ErrMismatch},
		"beside a key":       {at("keyed"), wanted, ErrMismatch},
		"where the key is":   {at("home") + "/", wanted, ErrMismatch},
		"too many periods":   {at("deep/host"), many, ErrWanted},
	} {
		if _, err := Delegate(at("home"), tt.out, tt.w); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(at("home")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: a key is made all the same", name)
		}
	}
	if _, err := os.Lstat(at("deep")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a folder is made for what is refused")
	}
	if err := os.Symlink(dir, at("via")); err != nil {
		t.Fatal(err)
	}
	if _, err := Delegate(at("via/alias"), at("alias"), wanted); !errors.Is(err, ErrMismatch) {
		t.Errorf("where the key is, by another name: %v", err)
	}
	if _, err := os.Lstat(at("alias/" + keyfile.SecretKeyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Error("where the key is, by another name: a key is made all the same")
	}
	d, err := Delegate(at("far/home"), at("deep/down/host"), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if home, out := open(t, at("far/home")), open(t, at("deep/down/host")); home.Key == nil || out.Key != nil || home.Address != out.Address || home.Address.Host() != d.Host {
		t.Error("the folders are not those of one service, or the key is with the host")
	}
	if mode := modeOf(t, at("deep")); mode != 0o700 {
		t.Errorf("mode %o of a folder above", mode)
	}
	if _, err := Delegate(at("far/home"), at("deep/down/host"), wanted); err != nil { // with the key that is there
		t.Error(err)
	}
}
