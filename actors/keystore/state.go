package keystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"chive/tor/onion/host"
)

// Files of chive's own in a service's directory; C tor passes them over.
const (
	stateFile  = "chive_introduction_points"
	floorsFile = "chive_revisions"
	maxFloors  = 64 << 10
)

// SaveState keeps the introduction points of a service that is stopped.
func (s *Service) SaveState(state []byte) error {
	return write(s.path(stateFile), state, 0o600, true)
}

// TakeState gives what SaveState kept, once: what is left of it would be a second start
// from the same keys, and requests would be answered twice. nil: there is none.
func (s *Service) TakeState() ([]byte, error) {
	b, err := readState(s.path(stateFile), host.MaxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if gone := remove(s.path(stateFile)); gone != nil || err != nil {
		return nil, errors.Join(err, gone)
	}
	return b, nil
}

// Floors gives the revisions of the descriptors that were published.
func (s *Service) Floors() (floors host.Floors, err error) {
	b, err := readState(s.path(floorsFile), maxFloors)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &floors)
	}
	if err != nil {
		return nil, fmt.Errorf("revisions of an onion service: %w", err)
	}
	return floors, nil
}

// SaveFloors keeps them.
func (s *Service) SaveFloors(floors host.Floors) error {
	b, err := json.Marshal(floors)
	if err != nil {
		return err
	}
	return write(s.path(floorsFile), b, 0o600, true)
}
