package host

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
)

// Service is one onion service. See the package's comment.
type Service struct {
	address onion.Address
	keys    Keys
	ending  keysTold
	rand    random
	config  Config
	view    *View
	nextID  uint64 // of points, uploads and meetings
	stopped bool
	stagger stagger

	points   []*point // the oldest first
	failing  map[netdoc.Digest]time.Time
	launches window
	pickAt   time.Time // not before
	noPick   bool      // the last try found no relay

	slots     []*slot // those of the view, in its order
	past      *credential
	masters   []*credential // see Config.Masters
	floors    Floors
	uploads   map[UploadID]*upload
	unsettled time.Time // since when some points are up and others are due

	gate     *pow.Gate // nil: no proof of work
	effortAt time.Time // when the suggested effort is looked at
	queue    *pow.Queue[*request]
	bucket   bucket
	cookies  cookies
	meetings map[MeetingID]*meeting

	visits   *[32]byte // who may read descriptors beside the clients; nil: nobody
	expected []tag     // of visits by the host itself
	shared   *sharing  // nil: this node alone hosts it

	out    []Command
	wakeAt time.Time
}

// New makes a service that has no view yet. floors are what was kept of earlier
// runs. Error: ErrConfig, keys that are not of the address.
func New(address onion.Address, keys Keys, rand io.Reader, config Config, floors Floors, now time.Time) (*Service, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if !onion.ValidKey(address) {
		return nil, onion.ErrKey
	}
	s := &Service{
		address: address, keys: keys, rand: random{rand}, config: config.clone(),
		failing: make(map[netdoc.Digest]time.Time),
		uploads: make(map[UploadID]*upload), meetings: make(map[MeetingID]*meeting),
	}
	for _, f := range floors {
		s.floors.Raise(f)
	}
	s.setShared()
	return s, s.setWork(now)
}

// Take gives the commands that are due, and forgets them.
func (s *Service) Take() []Command {
	out := s.out
	s.out = nil
	return out
}

// Next is when Tick is due; zero: when something happens.
func (s *Service) Next() time.Time { return s.wakeAt }

// Tick says that time went by.
func (s *Service) Tick(now time.Time) { s.settle(now) }

// SetView takes a new consensus up.
func (s *Service) SetView(v *View, now time.Time) {
	s.view, s.noPick, s.pickAt = v, false, time.Time{}
	s.viewed(now)
	s.reviewPoints(now)
	before := s.slots
	s.reviewSlots()
	s.turn(before, now)
	s.setMasters()
	s.settle(now)
}

// Configure changes the settings. Whoever lost access is shut out at once: every
// introduction point is given up with its keys, and who is connected is cut off.
// Error: ErrConfig, and then nothing is changed.
func (s *Service) Configure(config Config, now time.Time) error {
	if err := config.check(); err != nil {
		return err
	}
	before := s.config
	s.config = config.clone()
	if !samePoW(before.PoW, s.config.PoW) || before.Shared != s.config.Shared || before.Seeds != s.config.Seeds {
		if err := s.setWork(now); err != nil {
			s.config = before
			return err
		}
		s.dirty(Settings)
	}
	s.setShared()
	s.setMasters()
	if s.shared != nil {
		s.shared.most = descriptor.MaxIntroPoints
	}
	if s.config.Restricted != before.Restricted || !slices.Equal(s.config.Clients, before.Clients) {
		s.begin()
		s.dirty(Access)
	}
	if s.config.revokes(&before) {
		s.revoke(now)
	}
	if !sameDoS(s.config.DoS, before.DoS) {
		s.launches = window{}
		for _, p := range slices.Clone(s.points) {
			if p.phase == established || p.phase == asked {
				s.retire(p, Reset, now)
			}
		}
	}
	s.settle(now)
	return nil
}

func samePoW(a, b *PoW) bool { return a == b || a != nil && b != nil && *a == *b }

// revoke shuts out who knows what is published. Descriptors that list points which
// are no more are as good as none until new ones are there.
func (s *Service) revoke(now time.Time) {
	for _, p := range slices.Clone(s.points) {
		s.remove(p, Revoked)
	}
	s.launches = window{} // who has all points given up has a budget of his own
	s.abandonAll()
	s.drain(now)
	s.do(CutOff{})
}

// Stop ends everything. [Service.State] comes before it.
func (s *Service) Stop() {
	if s.stopped {
		return
	}
	for _, p := range slices.Clone(s.points) {
		s.remove(p, Stopped)
	}
	s.abandonAll()
	for _, id := range sortedKeys(s.uploads) {
		s.do(CancelUpload{id})
	}
	clear(s.uploads)
	s.stopped, s.wakeAt = true, time.Time{}
}

// settle decides all that is due, and finds out when to look again.
func (s *Service) settle(now time.Time) {
	s.wakeAt = time.Time{}
	if s.stopped {
		return
	}
	s.tendKeys(now)
	s.tendWork(now)
	s.tendPoints(now)
	s.tendSlots(now)
	s.letGo(now)
	s.tendMeetings(now)
}

// due reports whether at has come, and if not has the service look again then.
func (s *Service) due(at, now time.Time) bool {
	if !now.Before(at) {
		return true
	}
	if s.wakeAt.IsZero() || at.Before(s.wakeAt) {
		s.wakeAt = at
	}
	return false
}

func (s *Service) do(c Command)  { s.out = append(s.out, c) }
func (s *Service) tell(e Event)  { s.do(Told{e}) }
func (s *Service) newID() uint64 { s.nextID++; return s.nextID }
func (s *Service) dirty(b Because) {
	for _, sl := range s.slots {
		// Access comes first: it must not wait.
		if sl.dirty != Access {
			sl.dirty = b
		}
	}
}

// random is a source whose failure ends the service: nothing that it made without
// could be trusted.
type random struct{ source io.Reader }

func (r random) Read(b []byte) (int, error) {
	n, err := io.ReadFull(r.source, b)
	if err != nil {
		panic(fmt.Sprintf("onion service: randomness: %v", err))
	}
	return n, nil
}

// between draws from [low, high].
func (r random) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.below(uint64(high-low)+1))
}

// below draws from [0, n).
func (r random) below(n uint64) uint64 {
	var b [8]byte
	for {
		_, _ = r.Read(b[:])
		// The top of the range that would favour small numbers is drawn again.
		if v := binary.BigEndian.Uint64(b[:]); v < ^uint64(0)-^uint64(0)%n {
			return v % n
		}
	}
}

// backoff is how long to wait after a number of failures: twice as long each time
// up to the longest, and up to a half less at random.
func (r random) backoff(failures int, first, longest time.Duration) time.Duration {
	d := min(first<<min(max(failures-1, 0), 20), longest)
	return r.between(d/2, d)
}

// window bounds the circuits launched in a time.
type window struct {
	began time.Time
	count int
}
