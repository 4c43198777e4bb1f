package hosting

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"chive/actors/keystore"
	"chive/config"
	"chive/tor/onion"
	"chive/tor/onion/host"
)

// store is a service's identity, with where its clients are named and where is kept what
// outlives its actor.
type store struct {
	Address    onion.Address
	Key        *onion.SecretKey
	Delegation *host.Delegation // in its place
	kept
}

// kept is a folder (keystore.Service) or memory.
type kept interface {
	Keys(now time.Time) (host.Keys, error)
	Common() onion.Common
	SaveState(state []byte) error
	TakeState() ([]byte, error) // once; nil: there is none
	Floors() (host.Floors, error)
	SaveFloors(floors host.Floors) error
	Clients() (clients map[string][32]byte, skipped []keystore.Skipped, err error)
	Masters() ([]onion.Address, error) // of whom it is a backend; only asked if it is one
	NoteName(name string, now time.Time) error
}

// openStore opens what a service has; own is nil for one of the configuration.
func openStore(s *config.OnionService, own *Own) (*store, error) {
	if own != nil && s.Dir == "" {
		return &store{Address: own.Address, Key: own.Key, kept: &kin{&keyed{memories.memory(own.Address), own.Key}, own}}, nil
	}
	folder, err := keystore.OpenService(s.Dir, s.DirGroupReadable, crand.Reader)
	switch {
	case err != nil:
		return nil, err
	case own == nil:
		return storeOf(folder, folder), nil
	case folder.Address != own.Address:
		return nil, errAnother
	}
	return storeOf(folder, &kin{folder, own}), nil
}

func storeOf(folder *keystore.Service, k kept) *store {
	return &store{folder.Address, folder.Key, folder.Delegation, k}
}

// keyed is the memory of a service whose key the program has.
type keyed struct {
	*memory
	key *onion.SecretKey
}

// Keys implements kept.
func (k *keyed) Keys(time.Time) (host.Keys, error) { return host.NewOnline(k.key), nil }

// Common implements kept.
func (k *keyed) Common() onion.Common { return k.key.Common() }

// kin adds the clients whom the program lets in.
type kin struct {
	kept
	own *Own
}

// Clients lists both. No file has a name with a slash.
func (k *kin) Clients() (clients map[string][32]byte, skipped []keystore.Skipped, err error) {
	clients, skipped, err = k.kept.Clients()
	if err != nil {
		return nil, nil, err
	}
	clients = maps.Clone(clients)
	for i, key := range k.own.clients() {
		if clients == nil {
			clients = map[string][32]byte{}
		}
		clients["program/"+strconv.Itoa(i)] = key
	}
	return clients, skipped, nil
}

// memory keeps what outlives the actor of a service that has no folder: for as long as
// the process runs, also while nobody hosts it. With its key it implements kept.
type memory struct {
	mu      sync.Mutex
	claimed bool // guarded by its registry
	state   []byte
	floors  host.Floors
}

// SaveState is part of kept.
func (m *memory) SaveState(state []byte) error {
	if len(state) > host.MaxState {
		return fmt.Errorf("%w: %d bytes", host.ErrState, len(state))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = state
	return nil
}

// TakeState is part of kept.
func (m *memory) TakeState() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := m.state
	m.state = nil
	return state, nil
}

// Floors is part of kept.
func (m *memory) Floors() (host.Floors, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.floors), nil
}

// SaveFloors is part of kept.
func (m *memory) SaveFloors(floors host.Floors) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.floors = slices.Clone(floors)
	return nil
}

// Clients is part of kept: there is no folder that names any.
func (*memory) Clients() (map[string][32]byte, []keystore.Skipped, error) { return nil, nil, nil }

// Masters is part of kept: there is no folder that names any.
func (*memory) Masters() ([]onion.Address, error) {
	return nil, errors.New("HiddenServiceOnionBalanceInstance 1: the service has no folder that names those of whom it is a backend")
}

// NoteName is part of kept: the run's name is for who looks up a folder's history later, and
// there is no folder.
func (*memory) NoteName(string, time.Time) error { return nil }

// maxMemories is how many services are remembered that nobody hosts any more.
const maxMemories = 64

// registry knows which addresses the programs of this process host, and what is
// remembered of those that are in no folder.
type registry struct {
	mu    sync.Mutex
	known map[onion.Address]*memory
	idle  []onion.Address // that nobody hosts, the longest first
}

var memories = registry{known: map[onion.Address]*memory{}}

// claim takes an address; false: somebody has it.
func (r *registry) claim(a onion.Address) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.known[a]
	switch {
	case m == nil:
		m = new(memory)
		r.known[a] = m
	case m.claimed:
		return false
	}
	m.claimed = true
	r.idle = slices.DeleteFunc(r.idle, func(b onion.Address) bool { return a == b })
	return true
}

// release gives it back.
func (r *registry) release(a onion.Address, forget bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.known[a]
	if m == nil {
		return
	}
	m.claimed = false
	if forget {
		delete(r.known, a)
		return
	}
	r.idle = append(r.idle, a)
	if len(r.idle) > maxMemories {
		delete(r.known, r.idle[0])
		r.idle = slices.Delete(r.idle, 0, 1)
	}
}

// memory is that of an address that is claimed.
func (r *registry) memory(a onion.Address) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.known[a]
	if m == nil { // its actor outlived the claim: nobody reads what it keeps
		m = new(memory)
	}
	return m
}
