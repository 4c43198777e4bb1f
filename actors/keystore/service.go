package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"chive/tor/onion"
	"chive/tor/onion/host"
	"chive/tor/onion/keyfile"
)

// ErrMismatch: the files of one directory contradict each other.
var ErrMismatch = errors.New("key files of two services in one directory")

// Service is one service's directory (torrc HiddenServiceDir).
type Service struct {
	Address onion.Address
	// Key is the identity's secret key; nil when the key is kept elsewhere.
	Key *onion.SecretKey
	// Delegation is what is here in its place; nil when there is none.
	Delegation *host.Delegation

	dir           string
	groupReadable bool
}

// OpenService opens a service's directory, and makes it, with a new identity key
// from rand, if there is none. groupReadable is C tor's option
// HiddenServiceDirGroupReadable.
//
// What is missing beside the secret key is written again. A directory with a
// public but no secret key is a service whose identity is kept offline.
func OpenService(dir string, groupReadable bool, rand io.Reader) (*Service, error) {
	if err := privateDir(dir, true, groupReadable); err != nil {
		return nil, err
	}
	s := &Service{dir: dir, groupReadable: groupReadable}
	if err := s.load(); err != nil {
		return nil, err
	}
	if s.Address == (onion.Address{}) {
		if err := s.generate(rand); err != nil {
			return nil, err
		}
	}
	return s, s.complete()
}

// load reads the keys that are there.
func (s *Service) load() error {
	secret, err := read(s.path(keyfile.SecretKeyFile))
	switch {
	case err == nil:
		defer clear(secret)
		if s.Key, err = keyfile.ParseSecretKey(secret); err != nil {
			return err
		}
		s.Address = s.Key.Address()
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("onion service: %w", err)
	}
	if err := s.loadPublic(); err != nil {
		return err
	}
	return s.loadDelegation()
}

func (s *Service) path(name string) string { return filepath.Join(s.dir, name) }

// loadPublic reads the public key, which must be the secret key's if both are here.
func (s *Service) loadPublic() error {
	b, err := read(s.path(keyfile.PublicKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("onion service: %w", err)
	}
	a, err := keyfile.ParsePublicKey(b)
	if err != nil {
		return err
	}
	if s.Key != nil && s.Address != a {
		return fmt.Errorf("%w: %s and %s in %s do not belong together", ErrMismatch, keyfile.SecretKeyFile, keyfile.PublicKeyFile, s.dir)
	}
	s.Address = a
	return nil
}

func (s *Service) generate(rand io.Reader) error {
	key, err := onion.GenerateSecretKey(rand)
	if err != nil {
		return err
	}
	return s.keep(key)
}

// keep writes a new secret key.
func (s *Service) keep(key *onion.SecretKey) error {
	s.Key, s.Address = key, key.Address()
	content := keyfile.FormatSecretKey(s.Key)
	defer clear(content)
	return write(s.path(keyfile.SecretKeyFile), content, 0o600, false)
}

// complete writes the files that follow from the key, if they are missing or, for
// the host name, say something else.
func (s *Service) complete() error {
	hostMode := fs.FileMode(0o600)
	if s.groupReadable {
		hostMode = 0o640
	}
	for _, f := range []struct {
		name    string
		content []byte
		mode    fs.FileMode
	}{
		{keyfile.PublicKeyFile, keyfile.FormatPublicKey(s.Address), 0o600},
		{keyfile.HostnameFile, keyfile.FormatHostname(s.Address), hostMode},
	} {
		have, err := read(s.path(f.name))
		if err == nil && bytes.Equal(have, f.content) {
			err = os.Chmod(s.path(f.name), f.mode)
		} else {
			err = write(s.path(f.name), f.content, f.mode, true)
		}
		if err != nil {
			return err
		}
	}
	return privateDir(s.path(keyfile.ClientsDir), true, s.groupReadable)
}
