package keystore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chive/tor/onion"
	"chive/tor/onion/keyfile"
)

func open(t *testing.T, dir string) *Service {
	t.Helper()
	s, err := OpenService(dir, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// A new service has C tor's files, closed to others, and keeps its name.
func TestNewService(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "service")
	s := open(t, dir)
	want := []string{keyfile.ClientsDir, keyfile.HostnameFile, keyfile.PublicKeyFile, keyfile.SecretKeyFile}
	if got := names(t, dir); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("files %q", got)
	}
	for _, name := range want {
		if mode := modeOf(t, filepath.Join(dir, name)); mode&0o077 != 0 {
			t.Errorf("%s has mode %o", name, mode)
		}
	}
	if mode := modeOf(t, dir); mode != 0o700 {
		t.Errorf("directory of mode %o", mode)
	}
	again := open(t, dir)
	if again.Address != s.Address || again.Key.Bytes() != s.Key.Bytes() {
		t.Error("another key the second time")
	}
	if other := open(t, filepath.Join(t.TempDir(), "other")); other.Address == s.Address {
		t.Error("two services of one key")
	}
}

// C tor's directory is taken over as it is, and what can be made again is.
func TestServiceOfCTor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "service")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyfile.SecretKeyFile, keyfile.PublicKeyFile, keyfile.HostnameFile} {
		b, err := os.ReadFile(filepath.Join("../../tor/onion/keyfile/testdata/ctor", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, err := os.ReadFile(filepath.Join(dir, keyfile.HostnameFile))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if s.Address.Host()+"\n" != string(host) {
		t.Error("another address than C tor's")
	}
	for _, name := range []string{keyfile.PublicKeyFile, keyfile.HostnameFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if again, err := os.ReadFile(filepath.Join(dir, keyfile.HostnameFile)); err != nil || !bytes.Equal(again, host) {
		t.Errorf("host name not written again: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, keyfile.SecretKeyFile)); err != nil {
		t.Fatal(err)
	}
	offline := open(t, dir)
	if offline.Key != nil || offline.Address != s.Address {
		t.Error("a service whose key is offline got a key or another name")
	}
}

func TestServiceRefusals(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "service")
	open(t, closed)
	tests := map[string]struct {
		change func(dir string) error
		want   error
	}{
		"readable to others": {func(dir string) error { return os.Chmod(dir, 0o755) }, ErrOpen},
		"readable to group":  {func(dir string) error { return os.Chmod(dir, 0o750) }, ErrOpen},
		"clients readable to others": {func(dir string) error {
			return os.Chmod(filepath.Join(dir, keyfile.ClientsDir), 0o701)
		}, ErrOpen},
		"another service's public key": {func(dir string) error {
			a := onion.SecretKeyOfSeed([32]byte{7}).Address()
			return os.WriteFile(filepath.Join(dir, keyfile.PublicKeyFile), keyfile.FormatPublicKey(a), 0o600)
		}, ErrMismatch},
		"a secret key cut short": {func(dir string) error {
			return os.Truncate(filepath.Join(dir, keyfile.SecretKeyFile), 95)
		}, keyfile.ErrMalformed},
		"an empty secret key": {func(dir string) error {
			return os.Truncate(filepath.Join(dir, keyfile.SecretKeyFile), 0)
		}, keyfile.ErrMalformed},
		"a huge public key": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, keyfile.PublicKeyFile), make([]byte, keyfile.MaxSize+1), 0o600)
		}, keyfile.ErrMalformed},
		"a pipe for a secret key": {func(dir string) error {
			path := filepath.Join(dir, keyfile.SecretKeyFile)
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
		}, keyfile.ErrMalformed},
	}
	for name, tt := range tests {
		dir := filepath.Join(t.TempDir(), "service")
		open(t, dir)
		if err := tt.change(dir); err != nil {
			t.Fatal(err)
		}
		before := names(t, dir)
		if _, err := OpenService(dir, false, rand.Reader); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after := names(t, dir); strings.Join(before, " ") != strings.Join(after, " ") {
			t.Errorf("%s: files changed from %q to %q", name, before, after)
		}
	}
	if _, err := OpenService(filepath.Join(closed, "no", "parent"), false, rand.Reader); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no parent: %v", err)
	}
	if _, err := OpenService(filepath.Join(closed, keyfile.HostnameFile), false, rand.Reader); err == nil {
		t.Error("a file was taken for a directory")
	}
	dir := filepath.Join(t.TempDir(), "service")
	if _, err := OpenService(dir, false, bytes.NewReader(nil)); err == nil {
		t.Error("a key without randomness")
	}
	if len(names(t, dir)) != 0 {
		t.Error("files without a key")
	}
}

// Option HiddenServiceDirGroupReadable: the group may read the name, not the key.
func TestGroupReadable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "service")
	open(t, dir) // closed to the group at first
	if _, err := OpenService(dir, true, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{keyfile.HostnameFile: 0o640, keyfile.SecretKeyFile: 0o600, keyfile.PublicKeyFile: 0o600, ".": 0o700} {
		if mode := modeOf(t, filepath.Join(dir, name)); mode != want {
			t.Errorf("%s has mode %o", name, mode)
		}
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	if _, err := OpenService(fresh, true, rand.Reader); err != nil || modeOf(t, fresh) != 0o750 {
		t.Errorf("mode %o, %v", modeOf(t, fresh), err)
	}
	if _, err := OpenService(fresh, false, rand.Reader); !errors.Is(err, ErrOpen) {
		t.Errorf("the option is off again, the directory open: %v", err)
	}
}

// What an error says of an open directory: how to close it, if that shuts nobody out of what
// is theirs.
func TestOpenDirectoryIsClosedOnlyIfItIsOneOfKeys(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(dir string) error
		chmod bool
	}{
		"empty":            {func(string) error { return nil }, true},
		"keys":             {func(dir string) error { return os.WriteFile(filepath.Join(dir, keyfile.SecretKeyFile), nil, 0o600) }, true},
		"a client's key":   {func(dir string) error { return os.WriteFile(filepath.Join(dir, "a.auth_private"), nil, 0o600) }, true},
		"other things":     {func(dir string) error { return os.WriteFile(filepath.Join(dir, "hostname"), nil, 0o600) }, false},
		"a place to share": {func(dir string) error { return os.Chmod(dir, fs.ModeSticky|0o777) }, false},
		"another user's": {func(dir string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(dir, fs.ModeSticky|0o777) // cannot be had
			}
			return os.Chown(dir, 12345, 12345)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "open")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chmod(dir, 0o755), c.make(dir)); err != nil {
				t.Fatal(err)
			}
			_, err := OpenService(dir, false, rand.Reader)
			if !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "chmod 700 "+dir) != c.chmod {
				t.Error(err)
			}
		})
	}
}

// A key is never written over, even by two who make one at the same time.
func TestKeyIsNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := write(path, []byte("first"), 0o600, false); err != nil {
		t.Fatal(err)
	}
	if err := write(path, []byte("second"), 0o600, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
		t.Errorf("%q, %v", b, err)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

var public = [32]byte{9, 1, 2, 3}

func TestAuthorisedClients(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "service")
	s := open(t, dir)
	for i, name := range []string{"alice", "bob.laptop", "alice"} {
		if first, err := AddClient(dir, name, public, false); err != nil || first != (i == 0) {
			t.Fatalf("%s: the first: %v, %v", name, first, err)
		}
	}
	other := [32]byte{9, 4}
	if _, err := AddClient(dir, "alice", other, false); !errors.Is(err, ErrHasKey) {
		t.Errorf("a key is replaced unasked: %v", err)
	}
	for _, key := range [][32]byte{other, public} {
		if _, err := AddClient(dir, "alice", key, true); err != nil {
			t.Error(err)
		}
	}
	clientDir := filepath.Join(dir, keyfile.ClientsDir)
	for name, content := range map[string]string{"readme.txt": "x", "bad.auth": "y", ".auth": "z", ".new-1": "unfinished"} {
		if err := os.WriteFile(filepath.Join(clientDir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	clients, skipped, err := s.Clients()
	if err != nil || len(clients) != 2 || clients["alice"] != public || clients["bob.laptop"] != public ||
		filesOf(skipped) != ".auth bad.auth readme.txt" || filesOf(Broken(skipped)) != ".auth bad.auth" {
		t.Errorf("%v, skipped %v, %v", clients, skipped, err)
	}
	if err := RemoveClient(dir, "alice", false); err != nil {
		t.Error(err)
	}
	if err := RemoveClient(dir, "alice", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if clients, _, err := s.Clients(); err != nil || len(clients) != 1 {
		t.Errorf("%v, %v", clients, err)
	}
	for _, name := range []string{"", ".", "../x", "a/b", ".hidden", "a b", strings.Repeat("a", 65), "ü"} {
		if _, err := AddClient(dir, name, public, false); !errors.Is(err, ErrName) {
			t.Errorf("added %q: %v", name, err)
		}
		if err := RemoveClient(dir, name, true); !errors.Is(err, ErrName) {
			t.Errorf("removed %q: %v", name, err)
		}
	}
	if _, err := AddClient(dir, "zero", [32]byte{}, false); !errors.Is(err, keyfile.ErrMalformed) {
		t.Errorf("a key of low order: %v", err)
	}
	if _, err := AddClient(t.TempDir(), "alice", public, false); err == nil {
		t.Error("a client of a folder without a service")
	}
	// A file that names nobody keeps everybody out as well, so he is not the last.
	if err := RemoveClient(dir, "bob.laptop", false); err != nil {
		t.Errorf("removed beside files without a key: %v", err)
	}
	for _, name := range []string{"bad.auth", ".auth"} {
		if err := os.Remove(filepath.Join(clientDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if first, err := AddClient(dir, "carol", public, false); err != nil || !first {
		t.Errorf("the first after all were removed: %v, %v", first, err)
	}
	if err := RemoveClient(dir, "carol", false); !errors.Is(err, ErrLastClient) {
		t.Errorf("the last is removed unasked: %v", err)
	}
	if err := RemoveClient(dir, "carol", true); err != nil {
		t.Error(err)
	}
	// One that names nobody is the last as well: the service would be open to all.
	if err := os.WriteFile(filepath.Join(clientDir, "dave.auth"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RemoveClient(dir, "dave", false); !errors.Is(err, ErrLastClient) {
		t.Errorf("the last is removed unasked: %v", err)
	}
	// The node's group may read it all (HiddenServiceDirGroupReadable).
	for _, d := range []string{dir, clientDir} {
		if err := os.Chmod(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AddClient(dir, "erin", public, false); err != nil || modeOf(t, clientDir) != 0o750 {
		t.Errorf("%v, mode %04o", err, modeOf(t, clientDir))
	}
	for _, d := range []string{dir, clientDir} {
		if err := os.Chmod(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(clientDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Clients(); !errors.Is(err, ErrOpen) {
		t.Errorf("others may add clients: %v", err)
	}
	if err := os.RemoveAll(clientDir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Clients(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a list that is gone is no empty list: %v", err)
	}
}

// filesOf names what was skipped.
func filesOf(skipped []Skipped) string {
	var out []string
	for _, s := range skipped {
		out = append(out, s.File)
	}
	return strings.Join(out, " ")
}

// Nothing that a log tells has an address or a key in it.
func TestFilesThatHoldNoKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "auth")
	a := onion.SecretKeyOfSeed([32]byte{1}).Address()
	if err := addAuth(dir, a); err != nil {
		t.Fatal(err)
	}
	label := strings.TrimSuffix(a.Host(), ".onion")
	for name, content := range map[string]string{
		"junk.auth_private": "junk\n", "bob.auth": "", label + "2.auth_private": label[:50] + ":descriptor:x25519:" + strings.Repeat("A", 52) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	auths, skipped, err := ClientAuths(dir)
	if err != nil || len(auths) != 1 || len(skipped) != 3 || len(Broken(skipped)) != 2 {
		t.Fatalf("%d keys, %v, %v", len(auths), skipped, err)
	}
	var log bytes.Buffer
	WarnOf(slog.New(slog.NewTextHandler(&log, nil)), "no key", dir, skipped)
	for _, want := range []string{
		"/junk.auth_private reason=\"client's key: malformed key file, want <address>:descriptor:x25519:", "/bob.auth reason=\"its name does not end in .auth_private\"",
		"/[address].auth_private ",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), label[:40]) {
		t.Errorf("an address is in the log:\n%s", &log)
	}
}

// addAuth has a key made that is the one in public.
func addAuth(dir string, a onion.Address) error {
	_, err := NewClientAuth(dir, a.Host(), bytes.NewReader(public[:]), false)
	return err
}

func TestClientAuths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "auth")
	a, b := onion.SecretKeyOfSeed([32]byte{1}).Address(), onion.SecretKeyOfSeed([32]byte{2}).Address()
	if _, _, err := ClientAuths(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for _, service := range []onion.Address{a, b} {
		if err := addAuth(dir, service); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	auths, skipped, err := ClientAuths(dir)
	if err != nil || len(auths) != 2 || auths[a] != public || len(skipped) != 1 {
		t.Errorf("%d keys, skipped %v, %v", len(auths), skipped, err)
	}
	path := authPath(dir, a)
	if modeOf(t, path) != 0o600 || modeOf(t, dir) != 0o700 {
		t.Error("others can read the keys")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "second.auth_private"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ClientAuths(dir); !errors.Is(err, ErrDuplicate) {
		t.Errorf("two keys: %v", err)
	}
	if err := RemoveClientAuth(dir, a.Host()); err != nil {
		t.Error(err)
	}
	if err := RemoveClientAuth(dir, a.Host()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if auths, _, err := ClientAuths(dir); err != nil || len(auths) != 1 || auths[b] != public {
		t.Errorf("%d keys, %v", len(auths), err)
	}
	if _, err := NewClientAuth(dir, b.Host(), bytes.NewReader(public[:]), false); !errors.Is(err, ErrHasKey) {
		t.Errorf("a key is replaced unasked: %v", err)
	}
	if err := os.Rename(authPath(dir, b), filepath.Join(dir, "old.auth_private")); err != nil {
		t.Fatal(err)
	}
	private := [32]byte{7, 8, 9}
	other, err := NewClientAuth(dir, b.Host(), bytes.NewReader(private[:]), true)
	if want, _ := publicOf(private); err != nil || other != want {
		t.Errorf("% x, %v", other, err)
	}
	if auths, _, err := ClientAuths(dir); err != nil || len(auths) != 1 || auths[b] != private {
		t.Errorf("%d keys, %v", len(auths), err)
	}
	if _, err := NewClientAuth(dir, a.Host(), bytes.NewReader(make([]byte, 32)), false); !errors.Is(err, keyfile.ErrMalformed) {
		t.Errorf("a zero key: %v", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ClientAuths(dir); !errors.Is(err, ErrOpen) {
		t.Errorf("open to others: %v", err)
	}
	if err := addAuth(dir, a); !errors.Is(err, ErrOpen) {
		t.Errorf("open to others: %v", err)
	}
	if err := RemoveClientAuth(dir, a.Host()); !errors.Is(err, ErrOpen) {
		t.Errorf("open to others: %v", err)
	}
}

// Of which services one is a backend (C tor's ob_config).
func TestMasters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "service")
	s := open(t, dir)
	if _, err := s.Masters(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	write := func(masters ...onion.Address) {
		t.Helper()
		var b strings.Builder
		for _, a := range masters {
			b.WriteString("MasterOnionAddress " + a.Host() + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, keyfile.BalanceFile), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var nine []onion.Address
	for i := range 9 {
		nine = append(nine, onion.SecretKeyOfSeed([32]byte{byte(i)}).Address())
	}
	write(nine[:8]...)
	if got, err := s.Masters(); err != nil || len(got) != 8 || got[7] != nine[7] {
		t.Errorf("%d, %v", len(got), err)
	}
	write(nine...)
	if _, err := s.Masters(); err == nil {
		t.Error("nine are taken")
	}
	write(nine[0], s.Address)
	if _, err := s.Masters(); err == nil {
		t.Error("it is its own backend")
	}
}
