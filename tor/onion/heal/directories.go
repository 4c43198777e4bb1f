package heal

import (
	"maps"
	"slices"
	"time"
)

// A directory that gives no descriptor, or an old one, says nothing of the others: clients ask the
// next. So when one fails all are asked, a survey, by one circuit each. While one gives it the
// service is impaired at most. What is done is to give it to them again: another introduction
// point mends no directory.

const (
	excuseFor  = time.Hour // a directory that takes and does not give is let be; then longer
	excuseMost = 4
)

// excuse is for how long a directory is let be.
type excuse struct {
	until time.Time
	times int // in a row, without its having given the newest in between
}

// survey is the directories being asked one by one.
type survey struct {
	asked   map[[32]byte]bool
	again   bool // those that failed, once more
	waiting bool // it is over, and the trouble is not: only what changes counts
}

func newSurvey() *survey { return &survey{asked: map[[32]byte]bool{}} }

// lacks: the directory answered, and not with the newest descriptor.
func (r *Result) lacks() bool { return !r.OK && r.Answer && r.Stage <= Descriptor }

// unstored: the trouble is with directories.
func (t *trouble) unstored() bool { return t != nil && t.wrong == NotStored }

// ofDirectories: does a probe tell of a directory, and of nothing else that is looked into?
func (s *Service) ofDirectories(r *Result) bool {
	switch {
	case s.cannot() != 0 || !r.Reached:
		return false
	case r.lacks():
		return true
	case s.survey == nil:
		return false
	}
	return r.OK || r.Stage == Directory && !r.Short
}

// directories takes a probe that tells of one. news: it was not so before.
func (s *Service) directories(r *Result, news bool, now time.Time) {
	d := r.Tried.Directory
	whole := s.nowhere()
	s.unsure = 0
	if r.OK && r.Full {
		s.verified, s.byClient = now, false
	}
	switch {
	case r.lacks() && s.facts.Settling: // it may be on its way there
		s.retry(r, Changed, now.Add(s.spread(settleAgain)))
		return
	case r.lacks() && s.elsewhere() && s.served():
		s.lookAt(s.intent(r), s.again(r), now.Add(s.spread(soon))) // by another
		return
	case r.lacks() && s.calm() && s.excused[d].times > 0 && s.served():
		s.letBe(now, d) // as before
		s.routine(now)
		return
	case s.survey != nil && s.survey.waiting && !news && !(whole && r.OK):
		s.await(now)
		return
	case s.survey == nil || s.survey.waiting:
		s.doubt, s.survey = nil, newSurvey() // without a directory nothing else can be looked into
	}
	s.survey.asked[d] = true
	if whole && r.OK && !r.Full {
		s.lookAt(Target{Directory: d}, Stepped, now) // is it met, too?
		return
	}
	if whole && r.OK {
		s.healed(now)
	}
	s.ask(r, now)
}

// retry makes a probe again, as it was.
func (s *Service) retry(r *Result, why Why, at time.Time) {
	if s.survey != nil && !r.Full {
		s.askOne(r.Tried.Directory, why, at)
	} else {
		s.lookAt(s.intent(r), why, at)
	}
}

// shuns: is a directory not to be asked, if another can be? Where none gives the descriptor all are
// asked in turn.
func (s *Service) shuns(d [32]byte, now time.Time) bool {
	_, lacks := s.lacking[d]
	return !s.nowhere() && (lacks && s.elsewhere() || now.Before(s.excused[d].until) || now.Before(s.away[d].until))
}

// nowhere: the trouble is that no directory gives it.
func (s *Service) nowhere() bool { return s.trouble.unstored() && s.trouble.target == Target{} }

// elsewhere: something else than directories is looked into.
func (s *Service) elsewhere() bool {
	return s.doubt != nil || s.trouble != nil && !s.trouble.unstored()
}

// learn notes what a probe says of a directory, and whether that is news.
func (s *Service) learn(r *Result) (news bool) {
	d := r.Tried.Directory
	_, lacked := s.lacking[d]
	switch {
	case !slices.Contains(s.facts.Directories, d) || s.idle():
	case r.lacks() && s.cannot() == 0 && !s.facts.Settling:
		s.lacking[d] = r.Stage
		return !lacked
	case r.OK || r.Stage > Descriptor:
		delete(s.lacking, d)
		delete(s.excused, d)
		return lacked
	}
	return false
}

// gives: is a directory there, and did it not fail when it was asked last?
func (s *Service) gives(d [32]byte) bool {
	_, lacks := s.lacking[d]
	return !lacks && s.away[d].times == 0
}

// served: is there one that gives the descriptor?
func (s *Service) served() bool { return slices.ContainsFunc(s.facts.Directories, s.gives) }

// lack are the directories that do not give the newest descriptor, are there and are not let be.
func (s *Service) lack(now time.Time) [][32]byte {
	return slices.DeleteFunc(slices.Clone(s.facts.Directories), func(d [32]byte) bool {
		_, lacks := s.lacking[d]
		return !lacks || now.Before(s.excused[d].until) || now.Before(s.away[d].until)
	})
}

// unasked is the next directory of the survey. Those that are let be, and those that could not be
// reached of late, are asked when no other gives the descriptor.
func (s *Service) unasked(now time.Time) (d [32]byte, ok bool) {
	best := 3
	for _, one := range s.facts.Directories {
		rank := 0
		if now.Before(s.away[one].until) {
			rank = 2
		} else if now.Before(s.excused[one].until) {
			rank = 1
		}
		if _, lacks := s.lacking[one]; rank < best && !s.survey.asked[one] && (lacks || !s.survey.again) {
			d, best = one, rank
		}
	}
	return d, best == 0 || best < 3 && !s.served()
}

// ask goes on with the survey, or ends it.
func (s *Service) ask(r *Result, now time.Time) {
	if d, ok := s.unasked(now); ok {
		s.askOne(d, Confirm, now)
		return
	}
	switch {
	case s.served():
		s.someGive(r, now)
	case len(s.lacking) == 0:
		s.doubted(Connections, now) // none is reached
	default:
		s.noneGives(r, now)
	}
}

// askOne has a directory asked for the descriptor alone.
func (s *Service) askOne(d [32]byte, why Why, at time.Time) {
	s.lookAt(Target{Directory: d}, why, at)
	s.brief = true
}

// once: one failure is none. It is asked again.
func (s *Service) once(r *Result, now time.Time) {
	s.survey.again = true
	clear(s.survey.asked)
	s.ask(r, now)
}

// someGive ends a survey: clients find the descriptor.
func (s *Service) someGive(r *Result, now time.Time) {
	lack := s.lack(now)
	t := s.trouble
	switch {
	case t == nil && len(lack) == 0:
		s.survey = nil
		s.routine(now)
		if r.OK {
			s.succeeded(r, false, now)
		}
	case t == nil && !s.survey.again:
		s.once(r, now)
	case t == nil:
		s.found(&Result{Stage: s.lacking[lack[0]]}, NotStored, Target{Directory: lack[0]}, now)
	case !t.unstored():
		s.survey = nil
		s.lookAt(t.target, Stepped, now)
	case len(lack) == 0 && r.OK && r.Full:
		s.survey = nil
		s.healed(now)
	case len(lack) == 0:
		s.lookAt(Target{}, Stepped, now)
	default:
		before := t.target
		if !slices.Contains(lack, t.target.Directory) {
			t.target = Target{Directory: lack[0]}
		}
		if before == (Target{}) || s.verdict == Unverified {
			s.broken()
		}
		s.survey.waiting = true
		s.await(now)
	}
}

// noneGives ends a survey: nobody finds the descriptor.
func (s *Service) noneGives(r *Result, now time.Time) {
	t := s.trouble
	switch {
	case t == nil && len(s.lacking) == 1 && !s.survey.again:
		s.once(r, now)
	case t == nil:
		s.found(r, NotStored, Target{}, now)
	default:
		if t.target != (Target{}) || !t.unstored() {
			s.turned(r, NotStored, now)
		} else if s.verdict == Unverified {
			s.broken()
		}
		s.survey.waiting = true
		s.await(now)
	}
}

// letBe excuses directories that still lack the descriptor, though it was given to them again; each
// time for longer, until they give it.
func (s *Service) letBe(now time.Time, which ...[32]byte) {
	for _, d := range which {
		times := min(s.excused[d].times+1, excuseMost)
		s.excused[d] = excuse{now.Add(excuseFor << (times - 1)), times}
	}
}

// forget forgets what was known of directories that are none of the service's any more.
func (s *Service) forget() {
	gone := func(d [32]byte) bool { return !slices.Contains(s.facts.Directories, d) }
	maps.DeleteFunc(s.away, func(d [32]byte, _ away) bool { return gone(d) })
	maps.DeleteFunc(s.excused, func(d [32]byte, _ excuse) bool { return gone(d) })
	maps.DeleteFunc(s.lacking, func(d [32]byte, _ Stage) bool { return gone(d) })
}
