package keystore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/host"
	"chive/tor/onion/keyfile"
)

// DelegationFile is, in a service's directory, what stands for the identity key.
const DelegationFile = "chive_delegation"

var (
	// ErrNoKeys: a directory with no key that a service can be hosted with.
	ErrNoKeys = errors.New("the folder holds neither " + keyfile.SecretKeyFile + " nor " + DelegationFile +
		", which `chive onion delegate` makes where the key is kept")
	// ErrOver: the time of the delegated keys is over.
	ErrOver = errors.New("the delegated keys have run out")
)

// loadDelegation reads the delegation, which must be the public key's if both are
// here. A folder with the secret key as well is refused: whoever made it believes
// that the key is elsewhere.
func (s *Service) loadDelegation() error {
	path := s.path(DelegationFile)
	err := private(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if s.Key != nil {
		return fmt.Errorf("%w: %s holds %s and %s: take away the one that is not to be used", ErrMismatch, s.dir, keyfile.SecretKeyFile, DelegationFile)
	}
	if err != nil {
		return err
	}
	text, err := readState(path, host.MaxDelegation)
	if err != nil {
		return fmt.Errorf("delegated keys: %w", err)
	}
	defer clear(text)
	if s.Delegation, err = host.ParseDelegation(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if a := s.Delegation.Address; s.Address != (onion.Address{}) && s.Address != a {
		return fmt.Errorf("%w: %s in %s is for another onion service than %s", ErrMismatch, DelegationFile, s.dir, keyfile.PublicKeyFile)
	}
	s.Address = s.Delegation.Address
	return nil
}

// private refuses a file of keys that others than this user can read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("delegated keys: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&^0o600 != 0 {
		return fmt.Errorf("%w: %s has mode %04o; chmod 600 %s closes it", ErrOpen, path, info.Mode().Perm(), path)
	}
	return nil
}

// Keys are those that the service is hosted with: of the secret key, or those
// that were delegated. Errors: ErrNoKeys, ErrOver.
func (s *Service) Keys(now time.Time) (host.Keys, error) {
	switch {
	case s.Key != nil:
		return host.NewOnline(s.Key), nil
	case s.Delegation == nil:
		return nil, ErrNoKeys
	case s.Delegation.Over(now):
		_, until := s.Delegation.Lasts()
		return nil, fmt.Errorf("%w, on %s: bring new ones, that `chive onion delegate` makes where the key is kept", ErrOver, until.Format(time.DateTime))
	}
	return s.Delegation.Keys, nil
}

// Common is the secret of all hosts of the service. There are [Service.Keys].
func (s *Service) Common() onion.Common {
	if s.Key != nil {
		return s.Key.Common()
	}
	return s.Delegation.Common
}

// Wanted is what is to be delegated.
type Wanted struct {
	From           time.Time // the first period is the one that holds it
	Periods        int
	New            bool // the identity key is made if there is none
	Length, Voting time.Duration
}

// ErrWanted: what no delegation can be.
var ErrWanted = errors.New("cannot be delegated")

// Delegated is what was.
type Delegated struct {
	Host        string // the service's name
	From, Until time.Time
}

// Delegate makes the folder out of a host, or gives it new keys, from the identity
// key in the folder home, where nothing changes. Folders above are made. A new identity
// key is written when nothing else can be refused any more.
func Delegate(home, out string, w Wanted) (Delegated, error) {
	if w.Length < time.Minute || w.Length%time.Minute != 0 {
		return Delegated{}, fmt.Errorf("%w: periods of %v, which are not whole minutes", ErrWanted, w.Length)
	}
	identity, made, err := identityOf(home, w.New)
	if err != nil {
		return Delegated{}, err
	}
	d, err := host.NewDelegation(identity, rand.Reader, onion.Schedule{Voting: w.Voting, Minutes: uint64(w.Length / time.Minute)}, w.From, w.Periods)
	if err != nil {
		return Delegated{}, fmt.Errorf("%w: %w", ErrWanted, err)
	}
	if filepath.Clean(home) == filepath.Clean(out) {
		return Delegated{}, forNoHost(out)
	}
	if err := hostFolder(out, d.Address); err != nil {
		return Delegated{}, err
	}
	if sameFolder(home, out) { // by another name
		return Delegated{}, forNoHost(out)
	}
	if made {
		if err := keepIdentity(home, identity); err != nil {
			return Delegated{}, err
		}
	}
	if err := saveDelegation(out, d); err != nil {
		return Delegated{}, err
	}
	from, until := d.Lasts()
	return Delegated{d.Address.Host(), from, until}, nil
}

// identityOf reads the secret key of a folder, or makes one, which is written nowhere yet.
func identityOf(dir string, create bool) (key *onion.SecretKey, made bool, err error) {
	err = privateDir(dir, false, true)
	var b []byte
	if err == nil {
		b, err = read(filepath.Join(dir, keyfile.SecretKeyFile))
	}
	switch {
	case err == nil:
		defer clear(b)
		key, err = keyfile.ParseSecretKey(b)
		return key, false, err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("onion service: %w", err)
	case !create:
		return nil, false, fmt.Errorf("%s holds no %s (--new makes one)", dir, keyfile.SecretKeyFile)
	}
	if err := keyless(&Service{dir: dir}); err != nil {
		return nil, false, err
	}
	key, err = onion.GenerateSecretKey(rand.Reader)
	return key, true, err
}

// keyless refuses a folder with keys of a service, be it only the public one.
func keyless(s *Service) error {
	if err := s.load(); err != nil {
		return err
	}
	if s.Address != (onion.Address{}) {
		return fmt.Errorf("%w: %s is a host's folder", ErrMismatch, s.dir)
	}
	return nil
}

// keepIdentity makes a folder with a new key. One that has keys by now is refused.
func keepIdentity(dir string, key *onion.SecretKey) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	s := &Service{dir: dir}
	if err := keyless(s); err != nil {
		return err
	}
	if err := s.keep(key); err != nil {
		return err
	}
	return s.complete()
}

// hostFolder makes a folder that a host's keys can be put into, with those above it. One of
// another service, or with a secret key, is refused.
func hostFolder(dir string, address onion.Address) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	s := &Service{dir: dir}
	if _, err := os.Lstat(s.path(keyfile.SecretKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		return forNoHost(dir)
	}
	if err := s.loadPublic(); err != nil {
		return err
	}
	if s.Address != (onion.Address{}) && s.Address != address {
		return fmt.Errorf("%w: %s is of another onion service", ErrMismatch, dir)
	}
	return nil
}

// makeDir is privateDir with the folders above it made, too.
func makeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("directory of keys: %w", err)
	}
	return privateDir(dir, true, false)
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	y, other := os.Stat(b)
	return err == nil && other == nil && os.SameFile(x, y)
}

func forNoHost(dir string) error {
	return fmt.Errorf("%w: %s holds %s, and is no folder for a host without it", ErrMismatch, dir, keyfile.SecretKeyFile)
}

// saveDelegation makes a directory a host's, or gives one that is it new keys. Errors: as
// those of hostFolder.
func saveDelegation(dir string, d *host.Delegation) error {
	if err := hostFolder(dir, d.Address); err != nil {
		return err
	}
	text := d.Text()
	defer clear(text)
	if err := write(filepath.Join(dir, DelegationFile), text, 0o600, true); err != nil {
		return err
	}
	_, err := OpenService(dir, false, noKeys{})
	return err
}

// noKeys is the randomness where no key is to be made.
type noKeys struct{}

// Read implements io.Reader.
func (noKeys) Read([]byte) (int, error) { return 0, ErrNoKeys }
