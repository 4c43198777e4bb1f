package heal

import (
	"slices"
	"time"
)

// Between two probes up to the meeting others ask one directory each for the descriptor: looks.
// One that is gone is noticed when its turn comes, and clients who choose it wait in vain, so
// while clients come each of the six directories has its turn in a period. A look needs one
// circuit, where a probe up to the meeting needs four: a service whom nobody visits costs five
// circuits a period, and one that clients meet six.
const (
	looksQuiet = 2 // in a period, with the probe up to the meeting
	looksBusy  = 6
	leastLook  = 5 * time.Second // between two
)

// away is a directory that could not be reached.
type away struct {
	until time.Time // it is not asked while others can be
	times int       // in a row
}

// notReached notes a directory that no circuit came to, and that did not answer.
func (s *Service) notReached(d [32]byte, now time.Time) {
	a := s.away[d]
	s.away[d] = away{now.Add(min(awayFirst<<min(a.times, awayMost), awayMost*awayFirst)), a.times + 1}
}

// knownAway: does a probe that failed tell no more than that a directory is still away, which was
// so before, while others are not?
func (s *Service) knownAway(r *Result) bool {
	if r.OK || r.Stage != Directory || r.Answer || !r.Reached || r.Short || s.away[r.Tried.Directory].times == 0 {
		return false
	}
	return slices.ContainsFunc(s.facts.Directories, func(d [32]byte) bool { return s.away[d].times == 0 })
}

// metWithin: was a client met in the time before now?
func (s *Service) metWithin(d time.Duration, now time.Time) bool {
	return !s.met.IsZero() && now.Sub(s.met) < d
}

// around is a time, a quarter less or more.
func (s *Service) around(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(s.rand.Int64N(int64(d/2)+1))
}

// routine sets the time of the next probe if nothing happens: up to the meeting after the
// period, or a look before.
func (s *Service) routine(now time.Time) {
	s.next, s.why, s.want, s.brief = time.Time{}, 0, Target{}, false
	if s.idle() {
		return
	}
	at := s.visit
	if !at.After(now) || s.metWithin(s.period, now) {
		at = now.Add(s.around(s.period))
	}
	if gap := s.gap(now); gap > 0 {
		if look := later(now, s.began.Add(s.around(gap))); at.Sub(look) > gap/4 {
			at = look
		}
	}
	s.due(at, Routine)
}

// gap is the time between looks; 0: there is none next. What is looked into needs others, what
// another node publishes is that node's to look after, and where probes wait for their turn
// there is no time.
func (s *Service) gap(now time.Time) time.Duration {
	if !s.calm() || s.facts.Elsewhere || s.slow {
		return 0
	}
	looks := time.Duration(looksQuiet)
	if s.metWithin(2*s.period, now) { // what keeps clients away may have begun since
		looks = looksBusy
	} else if s.looked {
		return 0
	}
	if gap := max(s.period/looks, leastLook); gap <= s.period/2 {
		return gap
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// paced takes from the end of a probe what says when the next ones are due.
func (s *Service) paced(r *Result, now time.Time) {
	if s.looked = !r.Full; r.Full {
		s.visit = now.Add(s.around(s.period))
	}
	if r.OK {
		s.slow = now.Sub(s.began) > s.period/2
	}
}

// again is why a probe is made after one that says nothing of the service: a look is followed by
// a look, as it needs one circuit.
func (s *Service) again(r *Result) Why {
	if !r.Full && s.calm() {
		return Routine
	}
	return Confirm
}
