package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"chive/tor/onion"
	"chive/tor/onion/keyfile"
)

// Survey is what a service's folder holds at a moment. Nothing is made or changed to know it.
type Survey struct {
	Address onion.Address
	Key     bool      // the identity key is there
	Until   time.Time // when delegated keys run out; zero: there are none
	Missing []string  // files that follow from the keys and are not there, or say something else
	Clients map[string][32]byte
	Skipped []Skipped
}

// SurveyService looks at a service's folder. The error is [fs.ErrNotExist] if it is not there,
// and else says why the service cannot be hosted from it; with [ErrNoKeys] comes what there
// is, and without an address a key is made by who hosts it. balance: it is a backend, and the
// folder has to say of whom.
func SurveyService(dir string, groupReadable, balance bool) (*Survey, error) {
	if err := privateDir(dir, false, groupReadable); err != nil {
		return nil, err
	}
	s := &Service{dir: dir, groupReadable: groupReadable}
	if err := s.load(); err != nil {
		return nil, err
	}
	out := &Survey{Address: s.Address, Key: s.Key != nil}
	if s.Delegation != nil {
		_, out.Until = s.Delegation.Lasts()
	}
	if balance {
		if _, err := s.Masters(); err != nil {
			return nil, err
		}
	}
	if err := s.surveyClients(out); err != nil {
		return nil, err
	}
	if s.Key == nil && s.Delegation == nil {
		return out, ErrNoKeys
	}
	for name, want := range map[string][]byte{
		keyfile.PublicKeyFile: keyfile.FormatPublicKey(s.Address), keyfile.HostnameFile: keyfile.FormatHostname(s.Address),
	} {
		if have, err := read(s.path(name)); err != nil || !bytes.Equal(have, want) {
			out.Missing = append(out.Missing, name)
		}
	}
	return out, nil
}

func (s *Service) surveyClients(out *Survey) (err error) {
	if _, err := os.Lstat(s.path(keyfile.ClientsDir)); errors.Is(err, fs.ErrNotExist) {
		return nil // it is made, and empty
	}
	if out.Clients, out.Skipped, err = s.Clients(); err != nil {
		return fmt.Errorf("%s: %w", keyfile.ClientsDir, err)
	}
	return nil
}

// Restricted reports whether only authorised clients find the service.
func (s *Survey) Restricted() bool { return Restricted(s.Clients, s.Skipped) }
