package client

import (
	"errors"
	"slices"
	"time"

	"chive/tor/onion/descriptor"
)

const (
	// requeryAfter is how long a directory that was asked for a blinded key is not
	// asked again (C tor's REND_HID_SERV_DIR_REQUERY_PERIOD).
	requeryAfter        = 15 * time.Minute
	requeryAfterTesting = 5 * time.Second

	// mostPaths is by how many circuits a directory is tried that none of them reaches.
	mostPaths = 3
)

// cached is a descriptor that was verified.
type cached struct {
	sealed *descriptor.Sealed
	open   *descriptor.Descriptor // nil: it does not open
	cause  Cause                  // why it does not
	until  time.Time              // directories keep it so long
}

// keeps: does it still count?
func (c *cached) keeps(now time.Time) bool { return now.Before(c.until) }

// usable: may introductions begin with it? One whose proof-of-work seed is over is to be
// fetched anew (proposal 327).
func (c *cached) usable(now time.Time) bool {
	return c.open != nil && c.keeps(now) && (c.open.PoW == nil || now.Before(c.open.PoW.Expires))
}

// fetch is a question that is under way.
type fetch struct {
	id        ID
	directory [32]byte
	until     time.Time
}

func (s *Service) requery() time.Duration {
	if s.o.Testing {
		return requeryAfterTesting
	}
	return requeryAfter
}

// seek sees to it that a descriptor comes, for those who wait for it; if there is
// nobody left to ask they fail.
func (s *Service) seek(now time.Time) {
	if s.fetch != nil || s.view == nil {
		return
	}
	net := s.view.Network
	var left [][32]byte
	fresh := true // nobody was asked lately
	for _, d := range s.view.Ring.Responsible(s.blinded, net.Replicas, net.SpreadFetch) {
		if _, recently := s.asked[question{s.blinded, d}]; !recently {
			left = append(left, d)
		} else {
			fresh = false
		}
	}
	s.invalid = s.invalid && !fresh
	if s.view.AvoidDirectory != nil {
		left = slices.DeleteFunc(left, s.view.AvoidDirectory)
	}
	if v := s.o.Visit; v != nil {
		switch {
		case s.visited:
			left = nil
		case slices.Contains(left, v.Directory):
			left = [][32]byte{v.Directory}
		}
	}
	if len(left) == 0 {
		s.failWaiting(s.nobodyLeft())
		return
	}
	d := left[s.o.Rand.IntN(len(left))]
	s.asked[question{s.blinded, d}] = now
	s.visited = true
	s.fetch = &fetch{id: s.newID(), directory: d, until: now.Add(s.o.Times.Fetch)}
	s.do(&Fetch{ID: s.fetch.id, Directory: d, Blinded: s.blinded})
}

// Revision is that of the descriptor in use; false: there is none.
func (s *Service) Revision() (uint64, bool) {
	if s.desc == nil {
		return 0, false
	}
	return s.desc.sealed.Revision, true
}

func (s *Service) nobodyLeft() Cause {
	if s.invalid {
		return Invalid
	}
	return NotFound
}

// failWaiting ends the attempts that have no descriptor, as none is to be had. One that had
// one and looked for a newer fails for what it failed of.
func (s *Service) failWaiting(why Cause) {
	for _, a := range s.inOrder() {
		switch {
		case !a.waits:
		case a.refetched > 0 && a.last != 0:
			s.fail(a, a.last)
		default:
			s.fail(a, why)
		}
	}
}

// failUnread ends the attempts that have no descriptor for what is wrong with the newest.
func (s *Service) failUnread(why Cause) {
	for _, a := range s.inOrder() {
		if a.waits {
			s.fail(a, why)
		}
	}
}

// Fetched is a directory's answer; it may be anything.
func (s *Service) Fetched(id ID, text []byte, now time.Time) {
	now = s.at(now)
	if s.fetch == nil || s.fetch.id != id {
		return
	}
	s.fetch = nil
	if !s.store(text, now) {
		s.advance(now) // the next directory
		return
	}
	s.invalid = false
	if s.desc.cause != 0 {
		s.failUnread(s.desc.cause)
	}
	s.advance(now)
}

// miss is how often no circuit led to a directory.
type miss struct {
	times int
	at    time.Time // the last
}

// NotReached: no circuit led to the directory. Which relay is to blame nobody can tell, and one
// on the way must not have the directory count as asked: it may be by other paths, mostPaths of
// them in all.
func (s *Service) NotReached(id ID, now time.Time) {
	now = s.at(now)
	if s.fetch == nil || s.fetch.id != id {
		return
	}
	q := question{s.blinded, s.fetch.directory}
	m := miss{s.missed[q].times + 1, now}
	s.missed[q] = m
	if m.times < mostPaths {
		delete(s.asked, q)
	}
	s.fetch = nil
	s.advance(now)
}

// NotFetched: the directory has none, or did not answer.
func (s *Service) NotFetched(id ID, now time.Time) {
	now = s.at(now)
	if s.fetch == nil || s.fetch.id != id {
		return
	}
	s.fetch = nil
	s.advance(now)
}

// store reads a descriptor; false: it is of no use, or older than one that was seen.
func (s *Service) store(text []byte, now time.Time) bool {
	sealed, err := descriptor.Open(text, s.blinded, now)
	if err != nil {
		s.invalid = true
		return false
	}
	if sealed.Revision < s.newest[s.blinded] {
		return false // a directory that is late, or would have us use what was withdrawn
	}
	open, err := sealed.Decrypt(s.sub, s.client, now)
	c := &cached{sealed: sealed, open: open, until: now.Add(sealed.Lifetime)}
	if sealed.CertExpires.Before(c.until) {
		c.until = sealed.CertExpires
	}
	switch {
	case err == nil:
	case errors.Is(err, descriptor.ErrNeedsAuth):
		c.cause = AuthMissing
	case errors.Is(err, descriptor.ErrBadAuth):
		c.cause = AuthWrong
	default:
		s.invalid = true
		return false
	}
	if open == nil {
		// The service may let this client in at any time: it is looked at again when
		// the directories may be.
		if again := now.Add(s.requery()); again.Before(c.until) {
			c.until = again
		}
	}
	s.newest[s.blinded] = sealed.Revision
	s.desc = c
	return true
}
