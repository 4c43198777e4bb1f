package host

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"chive/tor/onion/relaymsg"
)

// What is done to a service that its clients do not reach, and how its host visits it.

// ErrRenewed: the circuit was closed here, to be made anew.
var ErrRenewed = errors.New("made anew")

// mostExpected bounds the visits of the host's own that are remembered.
const mostExpected = 8

// Republish makes a new descriptor for each period and gives it to every directory, at
// once.
func (s *Service) Republish(now time.Time) {
	for _, sl := range s.slots {
		sl.urgent = true
		if sl.dirty != Access {
			sl.dirty = Repair
		}
	}
	s.settle(now)
}

// RenewPoint makes a new circuit to an introduction point; with 0 to every one. Its keys
// and its place in descriptors stay.
func (s *Service) RenewPoint(id PointID, now time.Time) {
	for _, p := range s.chosen(id) {
		if p.phase != waiting {
			s.do(Close{p.id})
			s.tell(PointDown{p.id, p.relay.Identity, ErrRenewed})
		}
		p.phase, p.phaseSince, p.retryAt = waiting, now, now
	}
	s.launches = window{} // whoever asks has a budget of his own
	s.settle(now)
}

// RotatePoint takes another relay, with new keys, in an introduction point's place; with 0
// in that of every one. One that is up stays so until no directory lists it.
func (s *Service) RotatePoint(id PointID, now time.Time) {
	for _, p := range s.chosen(id) {
		s.failing[p.relay.Identity] = now // nobody's fault, but it is not to be chosen again just now
		s.retire(p, Repaired, now)
	}
	for _, sl := range s.slots {
		sl.urgent = true
	}
	s.pickAt, s.launches = time.Time{}, window{}
	s.settle(now)
}

// chosen are the points that are in use, or that one of them.
func (s *Service) chosen(id PointID) []*point {
	return slices.DeleteFunc(s.inUse(), func(p *point) bool { return id != 0 && p.id != id })
}

// ForgetAll begins anew: other introduction points, and nothing is taken for known of relays
// and directories. What descriptors' revisions were is kept, and who was met stays. Introduction
// points that are up stay so until no directory lists them.
func (s *Service) ForgetAll(now time.Time) {
	for _, p := range slices.Clone(s.points) {
		s.retire(p, Repaired, now)
	}
	clear(s.failing)
	s.launches, s.pickAt, s.noPick, s.unsettled = window{}, time.Time{}, false, time.Time{}
	s.cancel(func(*upload) bool { return true })
	s.forgetSlots()
	s.settle(now)
}

// forgetSlots has descriptors be made that owe nothing to those before. Which points clients find
// at directories until then is known on.
func (s *Service) forgetSlots() {
	before := s.slots
	if s.slots = nil; s.view == nil {
		return
	}
	s.reviewSlots()
	for _, sl := range s.slots {
		sl.urgent = true
		i := slices.IndexFunc(before, func(o *slot) bool { return o.Period == sl.Period })
		if i < 0 {
			continue
		}
		for _, d := range sl.directories {
			if old := before[i].known[d.id]; old != nil {
				d.held = old.held
			}
		}
	}
}

// AdmitVisits lets who has the private half of key read the descriptors, beside the clients
// of the settings: the host's own visits. nil: nobody. It is not among what State keeps, and
// a service that has no other client is published no more for it.
func (s *Service) AdmitVisits(key *[32]byte, now time.Time) {
	s.visits = key
	if s.config.Restricted {
		s.dirty(Access)
	}
	s.settle(now)
}

// Expect says that the host visits the service itself, by an INTRODUCE1 that it is about to
// send. If that comes by the introduction point that it names, it is answered before all
// that waits, whatever waits: it is to tell whether the service can be reached, and not how
// many others would. Its proof of work is checked like any.
func (s *Service) Expect(message []byte) error {
	m, err := relaymsg.ParseIntroduce2(message)
	if err != nil {
		return err
	}
	if len(s.expected) >= mostExpected {
		s.expected = s.expected[1:]
	}
	s.expected = append(s.expected, tagOf(m.Encrypted))
	return nil
}

// visit reports whether a request is one of those, once.
func (s *Service) visit(t tag) bool {
	i := slices.Index(s.expected, t)
	if i < 0 {
		return false
	}
	s.expected = slices.Delete(s.expected, i, i+1)
	return true
}

// PointOf is the introduction point that has an authentication key; 0: none has.
func (s *Service) PointOf(auth [32]byte) PointID {
	for _, p := range s.points {
		if p.authKey() == auth {
			return p.id
		}
	}
	return 0
}

// AuthKey is a point's; false: there is no such point.
func (s *Service) AuthKey(id PointID) ([ed25519.PublicKeySize]byte, bool) {
	p := s.point(id)
	if p == nil {
		return [32]byte{}, false
	}
	return p.authKey(), true
}

// Reach is what clients go by who look for the service now.
type Reach struct {
	Points []PointID // that the newest descriptor lists, ascending
	Down   []PointID // of those, that have no circuit
	// Directories are those that clients may ask, and Stored those that took the newest
	// descriptor.
	Directories, Stored [][32]byte
	Revision            uint64    // of the newest descriptor
	Built               time.Time // zero: there is none
	Began               time.Time // when the last circuit of an upload of it was; zero: of none
	Flying              bool      // uploads of it are under way
	Queued              bool      // clients wait for what was not begun: a turn, or circuits
	NoClients           bool      // nobody may find the service
	// Elsewhere: another node publishes the service, and Points are what it was offered.
	Elsewhere bool
}

func (r *Reach) offers(p *point) {
	r.Points = append(r.Points, p.id)
	if p.phase != established {
		r.Down = append(r.Down, p.id)
	}
}

// Reach looks at the period that clients fetch in.
func (s *Service) Reach() (r Reach) {
	r.NoClients = !s.publishable()
	r.Queued = s.stagger.first > 0 || !s.stagger.begins.IsZero()
	if s.view == nil {
		return r
	}
	fetch := s.view.Fetch()
	i := slices.IndexFunc(s.slots, func(sl *slot) bool { return sl.Period == fetch.Period })
	if i < 0 {
		return r
	}
	sl := s.slots[i]
	r.Revision, r.Built = sl.revision, sl.built
	for _, id := range sl.listed {
		p := s.point(id)
		if p == nil || p.retired {
			continue // a descriptor without it is on its way
		}
		r.offers(p)
	}
	if s.shared != nil && !s.shared.publish {
		r.Elsewhere = true
		for _, p := range s.inUse() {
			if !p.since.IsZero() {
				r.offers(p)
			}
		}
	}
	r.Directories = s.view.Ring(sl.Slot).Responsible(sl.blinded, s.view.Replicas, s.view.SpreadFetch)
	for _, d := range sl.directories {
		r.Flying = r.Flying || d.flying
		if d.revision == sl.revision && sl.revision > 0 {
			r.Stored = append(r.Stored, d.id)
		}
	}
	s.reachQueued(&r, sl)
	return r
}
