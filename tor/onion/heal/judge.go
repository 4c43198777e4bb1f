package heal

import (
	"slices"
	"time"
)

// Probed takes the end of a probe.
func (s *Service) Probed(r Result, now time.Time) {
	if s.flying == nil || s.flying.ID != r.ID {
		return
	}
	aim := s.flying.Target
	s.flying = nil
	unlisted := r.OK && r.Full && r.Tried.Point == 0 // another node's point was taken in its place
	if unlisted {
		s.note(Target{Point: aim.Point}, now)
	}
	s.note(r.Tried, now)
	news, changed := !s.knownAway(&r), s.learn(&r)
	switch d := r.Tried.Directory; {
	case r.OK || r.Stage > Directory:
		delete(s.away, d)
	case !r.Answer && r.Reached && !r.Short:
		s.notReached(d, now)
	}
	s.paced(&r, now)
	if s.idle() {
		if r.OK && r.Full {
			s.verified, s.byClient = now, false
		}
		return
	}
	if s.next.IsZero() {
		s.routine(now)
	}
	switch {
	case s.ofDirectories(&r):
		s.directories(&r, changed, now)
	case r.OK:
		s.succeeded(&r, unlisted && s.trouble != nil && aim.Point == s.trouble.target.Point, now)
	case !news && s.calm() && s.cannot() == 0:
		s.lookAt(s.intent(&r), s.again(&r), now.Add(s.spread(soon)))
	default:
		s.failed(&r, now)
	}
	s.act(now)
}

// note remembers when things were tried.
func (s *Service) note(t Target, now time.Time) {
	if t.Point != 0 {
		s.tried[Target{Point: t.Point}] = now
	}
	if t.Directory != [32]byte{} {
		s.tried[Target{Directory: t.Directory}] = now
	}
	s.forget()
	for k := range s.tried { // what is no more needs no memory
		if k.Point != 0 && !slices.Contains(s.facts.Points, k.Point) || k.Point == 0 && !slices.Contains(s.facts.Directories, k.Directory) {
			delete(s.tried, k)
		}
	}
}

// succeeded takes a probe that met the service. unlisted: the introduction point that is looked
// into is in no descriptor, so no client is sent there.
func (s *Service) succeeded(r *Result, unlisted bool, now time.Time) {
	s.unsure = 0
	if r.Full {
		s.verified, s.byClient = now, false
	}
	switch {
	case s.trouble != nil:
		if !unlisted && !s.over(r) {
			s.lookAt(s.trouble.target, Stepped, now)
			return
		}
		s.survey = nil // it was of this trouble
		s.healed(now)
	case s.doubt != nil && !s.doubt.again && s.worthAnother(&s.doubt.first):
		s.doubt.again = true
		s.lookAt(suspected(&s.doubt.first), Confirm, now)
		return
	case s.doubt != nil:
		s.doubt = nil
	}
	if s.verdict != Up && (r.Full || s.verdict == Unverified && s.met.After(now.Add(-s.period))) {
		s.up(false, now)
	}
}

// over: does a probe that met the service end the trouble?
func (s *Service) over(r *Result) bool {
	switch t := s.trouble.target; {
	case t == Target{}:
		return r.Full
	default: // directories are another matter
		return r.Full && (r.Tried.Point == t.Point || !slices.Contains(s.facts.Points, t.Point))
	}
}

// worthAnother: would it help to know whether that one introduction point is of no use?
func (s *Service) worthAnother(r *Result) bool {
	return slices.Contains(s.facts.Points, suspected(r).Point)
}

// suspected is what a failed probe points at.
func suspected(r *Result) Target {
	switch {
	case r.Stage <= Descriptor:
		return Target{Directory: r.Tried.Directory}
	case r.Stage == Rendezvous || r.Arrived:
		return Target{}
	}
	return Target{Point: r.Tried.Point}
}

// lookAt has something tried at once.
func (s *Service) lookAt(t Target, why Why, now time.Time) {
	s.next, s.why, s.want, s.brief = time.Time{}, 0, t, false
	s.due(now, why)
}

func (s *Service) failed(r *Result, now time.Time) {
	if cause := s.cannot(); cause != 0 {
		s.doubted(cause, now)
		return
	}
	if !r.Reached {
		s.doubted(Connections, now)
		return
	}
	if s.unsure < s.grace(r) {
		s.unsure++
		s.retry(r, s.again(r), now.Add(s.spread(soon)))
		return
	}
	if r.Stage == Rendezvous || r.Stage == Directory && !r.Answer || r.Short {
		// No relay of our choice would wait, no directory is reached, or circuits end on their way
		// to the introduction point: that is not the service.
		s.doubted(Connections, now)
		return
	}
	if s.facts.Settling || r.Tried.Point != 0 && !slices.Contains(s.facts.Points, r.Tried.Point) && s.trouble == nil {
		s.due(now.Add(s.spread(settleAgain)), Changed) // it is another one by now
		return
	}
	s.unsure = 0
	if s.trouble == nil {
		s.survey = nil // it was not for a look that this was made: directories have their turn again
	}
	switch {
	case s.trouble != nil:
		s.stillBroken(r, s.wrongWith(r), now)
	case s.doubt == nil:
		s.doubt = &doubt{first: *r}
		s.lookAt(Target{}, Confirm, now)
	case s.doubt.again:
		s.found(r, s.wrongWith(r), suspected(r), now)
	default:
		s.found(&s.doubt.first, s.worse(s.wrongWith(&s.doubt.first), s.wrongWith(r)), Target{}, now)
	}
}

// grace is how many failures of the kind in a row say nothing of the service: a circuit may
// fail by any relay on its way, and clients try again.
func (s *Service) grace(r *Result) int {
	switch {
	case r.Answer, r.Crowded:
		return 0
	case r.Short:
		return mostShort
	case r.Stage == Directory || r.Stage == Rendezvous || r.Stage == Point && !slices.Contains(s.facts.Down, r.Tried.Point):
		return 2
	case r.Arrived && !r.Crowded:
		return 1
	}
	return 0
}

// intent is what is being looked into.
func (s *Service) intent(r *Result) Target {
	switch {
	case s.calm() && r.Stage == Point:
		return suspected(r)
	case s.trouble != nil:
		return s.trouble.target
	case s.doubt != nil && s.doubt.again:
		return suspected(&s.doubt.first)
	}
	return Target{}
}

// worse is the cause of two failures on different paths: what they agree on.
func (s *Service) worse(a, b Cause) Cause {
	if a == b {
		return a
	}
	return PointUnreachable
}

// found begins the trouble.
func (s *Service) found(r *Result, wrong Cause, target Target, now time.Time) {
	s.doubt = nil
	s.trouble = &trouble{target: target, wrong: wrong, cause: s.explain(wrong, now), stage: r.Stage, since: now}
	s.resurvey()
	s.broken()
	s.step(now)
}

// broken tells the verdict.
func (s *Service) broken() {
	t := s.trouble
	s.verdict, s.cause = Broken, t.cause
	if t.target != (Target{}) {
		s.verdict = Impaired
	}
	s.tell(Found{Cause: t.cause, Stage: t.stage, Target: t.target})
}

// stillBroken: a probe failed in the midst of it.
func (s *Service) stillBroken(r *Result, wrong Cause, now time.Time) {
	t := s.trouble
	whole := t.target == Target{}
	if whole && wrong == Overload && t.wrong != Overload {
		s.turned(r, wrong, now) // a flood that was taken for something else as it began
		s.await(now)
		return
	}
	other := !whole && suspected(r) != t.target || t.unstored() && wrong != NotStored || whole && t.wrong == Overload && wrong != Overload
	if t.others++; !other {
		t.others = 0
	}
	switch {
	case t.others == 1: // perhaps; it is no news of what is looked into
		s.lookAt(t.target, Confirm, now.Add(s.spread(soon)))
		return
	case other: // more than that one is of no use
		s.turned(r, wrong, now)
	case s.verdict == Unverified:
		s.broken()
	}
	s.await(now)
}

// turned: it is another trouble, of the whole service.
func (s *Service) turned(r *Result, wrong Cause, now time.Time) {
	t := s.trouble
	t.target, t.wrong, t.stage, t.rung, t.others = Target{}, wrong, r.Stage, 0, 0
	t.cause, t.stepAt = s.explain(t.wrong, now), time.Time{}
	s.resurvey()
	s.broken()
}

// resurvey has the directories be asked anew if the trouble is with them.
func (s *Service) resurvey() {
	if s.survey = nil; s.trouble.unstored() {
		s.survey = newSurvey()
	}
}

// await waits for the time of the next step. It may heal by itself.
func (s *Service) await(now time.Time) {
	if t := s.trouble; t.stepAt.IsZero() {
		t.stepAt = now.Add(s.wait(t.steps))
	}
	s.routine(now)
}

// wait is how long before the step after so many: twice as long each time, up to a half
// less at random.
func (s *Service) wait(steps int) time.Duration {
	d := min(firstWait<<min(max(steps-1, 0), 20), longestWait)
	return d/2 + time.Duration(s.rand.Int64N(int64(d/2)+1))
}

// ladder is the one for the trouble; ends says that nothing is done after its last step.
func (t *trouble) ladder() (ladder []Step, ends bool) {
	switch {
	case t.wrong == Overload:
		return nil, false // another introduction point would be flooded next
	case t.target.Point != 0 && t.wrong == RelayGone:
		return gonePointLadder, true
	case t.target.Point != 0:
		return pointLadder, true
	case t.target.Directory != [32]byte{}:
		return directoryLadder, true
	}
	if l, ok := ladders[t.wrong]; ok {
		return l, false
	}
	return nil, false // such as Overload: nothing that is done here would help
}

// step makes the next one that the budget allows.
func (s *Service) step(now time.Time) {
	t := s.trouble
	t.stepAt = time.Time{}
	ladder, ends := t.ladder()
	if s.facts.Elsewhere && t.target.Point == 0 {
		ladder = nil
	}
	if cause := s.cannot(); cause != 0 || len(ladder) == 0 {
		s.routine(now)
		return
	}
	if ends && t.rung >= len(ladder) {
		s.excuse(now)
		return
	}
	rung, at := s.affordable(ladder, now)
	chosen := ladder[rung]
	if at.After(now) {
		if ends && t.unstored() { // others give the descriptor
			s.excuse(now)
			return
		}
		t.stepAt = at
		s.routine(now) // it may heal by itself
		return
	}
	s.budget.spend(chosen, now)
	if t.last = chosen; !ends || rung >= t.rung {
		t.rung = rung + 1
	}
	t.steps++
	point := uint64(0)
	if chosen == NewCircuits || chosen == Rotate {
		point = t.target.Point
	}
	s.tell(Healing{Step: chosen, Cause: t.cause, Attempt: t.steps, Point: point})
	s.out = append(s.out, Do{Step: chosen, Point: point})
	at = now.Add(s.spread(settles[chosen]))
	if s.resurvey(); s.survey == nil {
		s.lookAt(t.target, Stepped, at)
	} else if d, ok := s.unasked(now); ok {
		s.askOne(d, Stepped, at)
	} else {
		s.lookAt(Target{}, Stepped, at)
	}
}

// affordable is the next rung of a ladder that the budget allows now, those before it last, or the
// one that it allows first, and when.
func (s *Service) affordable(ladder []Step, now time.Time) (rung int, at time.Time) {
	t := s.trouble
	for i := range ladder {
		next := (t.rung + i) % len(ladder)
		free := s.budget.free(ladder[next], t.since, now)
		if at.IsZero() || free.Before(at) {
			rung, at = next, free
		}
		if !free.After(now) {
			break
		}
	}
	return rung, at
}

// excuse lets be what does not get better, for others work.
func (s *Service) excuse(now time.Time) {
	if s.trouble.unstored() {
		s.letBe(now, s.lack(now)...) // and it is impaired until it is met
	} else {
		s.verdict, s.cause = Starting, 0 // until the next probe
	}
	s.trouble, s.survey = nil, nil
	s.lookAt(Target{}, Confirm, now)
}

// doubted: it cannot be said. No step is made meanwhile; what was found before is looked
// into when it can be said again.
func (s *Service) doubted(cause Cause, now time.Time) {
	cause = s.explain(cause, now)
	if s.verdict != Unverified || s.cause != cause {
		s.verdict, s.cause = Unverified, cause
		s.tell(Doubted{cause})
	}
	s.doubt = nil
	if s.survey = nil; s.trouble != nil {
		s.trouble.stepAt = time.Time{}
		s.resurvey()
	}
	s.unsure = min(s.unsure+1, 16)
	s.next, s.why, s.want, s.brief = time.Time{}, 0, Target{}, false
	s.due(now.Add(s.spread(min(offlineFirst<<(s.unsure-1), max(s.period, offlineFirst)))), Network)
}

// healed ends the trouble.
func (s *Service) healed(now time.Time) {
	t := s.trouble
	s.trouble = nil
	s.up(false, now)
	s.tell(Healed{After: now.Sub(t.since), Cause: t.cause, Last: t.last, Steps: t.steps})
}

func (s *Service) up(byClient bool, now time.Time) {
	s.verdict, s.cause, s.verified, s.byClient = Up, 0, now, byClient
	s.tell(Verified{ByClient: byClient})
}

func (s *Service) tell(e Event) { s.out = append(s.out, Told{e}) }

// Period is how often it is probed, on average.
func (s *Service) Period() time.Duration { return s.period }

// Suspects is why a probe may have failed, before another is made.
func (s *Service) Suspects(r *Result, now time.Time) Cause {
	if cause := s.cannot(); cause != 0 {
		return cause
	}
	if !r.Reached || r.Stage == Rendezvous || r.Short {
		return s.explain(Connections, now)
	}
	return s.explain(s.wrongWith(r), now)
}

// Status is what is known.
type Status struct {
	Verdict  Verdict
	Cause    Cause     // 0: none
	Verified time.Time // when it was last met; zero: never
	ByClient bool
	Step     Step // that is being tried; 0: none
	Steps    int
	Since    time.Time // of the trouble
	Next     time.Time // probe
}

// Status looks at it.
func (s *Service) Status() Status {
	out := Status{Verdict: s.verdict, Cause: s.cause, Verified: s.verified, ByClient: s.byClient, Next: s.next}
	if t := s.trouble; t != nil {
		out.Step, out.Steps, out.Since = t.last, t.steps, t.since
	}
	return out
}
