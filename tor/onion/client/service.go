package client

import (
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"chive/tor/onion"
)

// Options are what a Service is made of.
type Options struct {
	Address onion.Address
	Keys    io.Reader  // of secrets; crypto/rand's but for tests
	Rand    *rand.Rand // for choices; seeded by the system
	// AllowPrivate lets introduction points have addresses that mean something on a
	// local network only, as they have in a private test network.
	AllowPrivate bool
	// Testing is C tor's TestingTorNetwork: directories may be asked again soon.
	Testing bool
	Times   Times
	// Visit has an attempt try one directory, one introduction point, and no newer
	// descriptor: nil for those who want to get there.
	Visit *Visit
}

// Visit says what is tried by who wants to know whether it works.
type Visit struct {
	Directory [32]byte // Ed25519 identity; one that is not responsible gives way to any
	Point     [32]byte // authentication key of the introduction point; one that is not listed gives way to any
}

// Service is one onion service as a client sees it. It is not safe for concurrent use.
type Service struct {
	o       Options
	view    *View
	clock   time.Time // of the last input: it never goes back
	client  *[32]byte // private x25519 key of an authorised client; nil: none
	lastID  ID
	actions []Action

	slot     onion.Slot
	blinded  onion.BlindedKey
	sub      onion.Subcredential
	desc     *cached
	fetch    *fetch
	visited  bool                        // a directory was asked, ever
	invalid  bool                        // a directory gave a descriptor that breaks the rules, since the last good one
	asked    map[question]time.Time      // when each directory was asked last
	missed   map[question]miss           // directories to which no circuit led
	newest   map[onion.BlindedKey]uint64 // greatest revision seen
	failures map[[32]byte]failure        // of introduction points, by authentication key
	attempts map[ID]*attempt
	circuits map[ID]*attempt // whose each rendezvous and introduction is
}

type question struct {
	blinded   onion.BlindedKey
	directory [32]byte
}

// New makes a Service of which nothing is known.
func New(o Options) *Service {
	return &Service{
		o: o, asked: map[question]time.Time{}, missed: map[question]miss{}, newest: map[onion.BlindedKey]uint64{}, failures: map[[32]byte]failure{},
		attempts: map[ID]*attempt{}, circuits: map[ID]*attempt{},
	}
}

// Take gives what is to be done since the last call, in order.
func (s *Service) Take() []Action {
	out := s.actions
	s.actions = nil
	return out
}

func (s *Service) do(a Action) { s.actions = append(s.actions, a) }

func (s *Service) newID() ID {
	s.lastID++
	return s.lastID
}

// at notes the time of an input.
func (s *Service) at(now time.Time) time.Time {
	if now.After(s.clock) {
		s.clock = now
	}
	return s.clock
}

// Update takes a view of the network. A service has another blinded key in each time
// period: what was known of the last one is given up, but for rendezvous under way.
func (s *Service) Update(v *View, now time.Time) {
	now = s.at(now)
	s.view = v
	slot := v.Network.Fetch()
	if slot == s.slot {
		s.advance(now)
		return
	}
	blinded, err := s.o.Address.Blind(slot.Period)
	if err != nil { // the address was made by this module and is valid
		s.failAll(Internal)
		return
	}
	other := blinded != s.blinded
	s.slot, s.blinded, s.sub = slot, blinded, s.o.Address.Subcredential(blinded)
	if s.fetch != nil { // it may be of a directory that is responsible no more
		s.do(&Close{s.fetch.id})
		s.fetch = nil
	}
	if other {
		s.desc, s.invalid = nil, false
		maps.DeleteFunc(s.newest, func(k onion.BlindedKey, _ uint64) bool { return k != blinded })
	}
	s.advance(now)
}

// SetTimes changes how long the other side may take from now on.
func (s *Service) SetTimes(t Times) { s.o.Times = t }

// Authorize gives the key with which descriptors are opened, nil for none. If it is
// another one than before the descriptor is forgotten: the service may have been told
// of the key, or lost trust in it, since.
func (s *Service) Authorize(client *[32]byte, now time.Time) {
	now = s.at(now)
	if client == s.client || client != nil && s.client != nil && *client == *s.client {
		return
	}
	s.client = nil
	if client != nil {
		key := *client
		s.client = &key
	}
	s.forget()
	s.advance(now)
}

// Forget drops the descriptor and what is remembered of directories and introduction
// points: whoever asks next begins anew.
func (s *Service) Forget(now time.Time) {
	now = s.at(now)
	s.forget()
	s.advance(now)
}

func (s *Service) forget() {
	s.desc, s.invalid = nil, false
	if s.fetch != nil {
		s.do(&Close{s.fetch.id})
		s.fetch = nil
	}
	clear(s.asked)
	clear(s.missed)
	clear(s.failures)
}

// Connect begins an attempt. Join or Failed ends it.
func (s *Service) Connect(now time.Time) ID {
	now = s.at(now)
	a := &attempt{id: s.newID()}
	s.attempts[a.id] = a
	s.advance(now)
	return a.id
}

// Cancel ends an attempt that nobody waits for any more.
func (s *Service) Cancel(id ID) {
	if a := s.attempts[id]; a != nil {
		s.drop(a)
	}
}

// Attempts is how many are under way.
func (s *Service) Attempts() int { return len(s.attempts) }

// Idle says that nothing is under way, and that nothing is remembered that would be
// missed.
func (s *Service) Idle(now time.Time) bool {
	now = s.at(now)
	s.prune(now)
	return len(s.attempts) == 0 && s.fetch == nil && s.desc == nil && len(s.asked) == 0
}

// Next is when Tick is due; zero: it is not.
func (s *Service) Next() (next time.Time) {
	earliest := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if s.fetch != nil {
		earliest(s.fetch.until)
	}
	for _, a := range s.attempts {
		if a.rend != nil {
			earliest(a.rend.until)
		}
		if a.intro != nil {
			earliest(a.intro.until)
		}
	}
	return next
}

// Tick ends what has taken too long.
func (s *Service) Tick(now time.Time) {
	now = s.at(now)
	s.prune(now)
	if s.fetch != nil && !now.Before(s.fetch.until) {
		s.do(&Close{s.fetch.id})
		s.fetch = nil
	}
	for _, a := range s.inOrder() {
		switch {
		case a.intro != nil && !a.intro.until.IsZero() && !now.Before(a.intro.until):
			s.do(&Close{a.intro.id})
			s.introLost(a, true, now)
		case a.rend != nil && !now.Before(a.rend.until):
			s.do(&Close{a.rend.id})
			s.rendLost(a, now)
		}
	}
	s.advance(now)
}

// inOrder lists the attempts, oldest first.
func (s *Service) inOrder() []*attempt {
	out := slices.Collect(maps.Values(s.attempts))
	slices.SortFunc(out, func(a, b *attempt) int { return int(int64(a.id) - int64(b.id)) })
	return out
}

// prune forgets what is too old to count.
func (s *Service) prune(now time.Time) {
	if s.desc != nil && !s.desc.keeps(now) {
		s.desc = nil
	}
	maps.DeleteFunc(s.asked, func(_ question, at time.Time) bool { return now.Sub(at) >= s.requery() })
	maps.DeleteFunc(s.missed, func(_ question, m miss) bool { return now.Sub(m.at) >= s.requery() })
	maps.DeleteFunc(s.failures, func(_ [32]byte, f failure) bool { return now.Sub(f.at) >= failureLife })
}

// advance does for each attempt what can be done.
func (s *Service) advance(now time.Time) {
	s.prune(now)
	for _, a := range s.inOrder() {
		if s.attempts[a.id] != nil { // else it ended with another
			s.step(a, now)
		}
	}
}

func (s *Service) fail(a *attempt, why Cause) {
	s.drop(a)
	s.do(&Failed{a.id, why})
}

func (s *Service) failAll(why Cause) {
	for _, a := range s.inOrder() {
		s.fail(a, why)
	}
}
