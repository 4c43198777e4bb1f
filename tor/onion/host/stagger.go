package host

import (
	"slices"
	"time"
)

// A node with many services must not have all of them ask for circuits at one moment: who runs
// it tells each when its turn is. What somebody waits for, or what is wrong, has no turn.

// stagger is when a service does what those of its node would do all at once.
type stagger struct {
	first    time.Duration // from the first view on; 0: at once
	begins   time.Time     // not before; zero: it has begun, or has no view yet
	from, to time.Duration // that a period which begins is published later
}

// longestTurn is the part of a period within which it is published at the latest: clients look
// for what is published in it half a period later.
const longestTurn = 16

// BeginAfter has a service that has no view yet begin so long after it has one: introduction
// points and descriptors. Begin ends that, as do a change of who may find it, and the right
// to publish a service that is shared.
func (s *Service) BeginAfter(d time.Duration) { s.stagger.first = d }

// TurnAfter has the descriptor of a period that begins from now on be published after a time
// between these two, or a sixteenth of the period if that is less.
func (s *Service) TurnAfter(from, to time.Duration) { s.stagger.from, s.stagger.to = from, to }

// Begin has the service wait for no turn any more.
func (s *Service) Begin(now time.Time) {
	if s.begin() {
		s.settle(now)
	}
}

// begin says whether it had waited for one.
func (s *Service) begin() (waited bool) {
	waited = s.stagger.first > 0 || !s.stagger.begins.IsZero()
	s.stagger.first, s.stagger.begins = 0, time.Time{}
	for _, sl := range s.slots {
		waited = waited || !sl.begins.IsZero()
		sl.begins = time.Time{}
	}
	return waited
}

// viewed: there is a view. The first one begins the wait.
func (s *Service) viewed(now time.Time) {
	if s.stagger.first > 0 {
		s.stagger.begins, s.stagger.first = now.Add(s.stagger.first), 0
	}
}

// waitsForTurn: is it not yet to ask for circuits?
func (s *Service) waitsForTurn(now time.Time) bool {
	if s.stagger.begins.IsZero() {
		return false
	}
	if !s.due(s.stagger.begins, now) {
		return true
	}
	s.stagger.begins = time.Time{}
	return false
}

// turn has the slots that are new beside others be published later. What clients look for now is not
// among them, for which a machine was asleep perhaps.
func (s *Service) turn(before []*slot, now time.Time) {
	if len(before) == 0 || s.stagger.to == 0 {
		return
	}
	fetch := s.view.Fetch().Period
	for _, sl := range s.slots {
		if sl.Period == fetch || slices.Contains(before, sl) {
			continue
		}
		most := time.Duration(sl.Period.Minutes) * time.Minute / longestTurn
		sl.begins = now.Add(min(s.rand.between(s.stagger.from, s.stagger.to), most))
	}
}
