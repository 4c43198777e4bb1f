package heal

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	startGrace   = 2 * time.Minute  // until a service must be published
	probeLimit   = 15 * time.Minute // with the wait for its turn; what takes longer is lost
	downFor      = 3 * time.Second  // a circuit may be made anew meanwhile
	soon         = time.Second      // after a change: others need not hear of it at once
	settleAgain  = 3 * time.Second
	offlineFirst = 5 * time.Second // until it is looked again, without a network; then longer
	awayFirst    = time.Minute     // until a directory that could not be reached is asked again; then longer
	awayMost     = 16
	metGap       = 2 * time.Second
	mostShort    = 5 // circuits in a row that end on their way: a vanguard that is away ends every fourth
)

// Service is one hosted service. It is for one goroutine at a time.
type Service struct {
	period time.Duration // 0: nothing is verified unless asked for
	rand   *rand.Rand
	facts  Facts
	born   time.Time

	verdict  Verdict
	cause    Cause     // of Impaired, Broken and Unverified
	verified time.Time // when it was last met, by a probe up to the end or a client; zero: never
	met      time.Time // when a client was
	byClient bool

	next   time.Time // probe; zero: none is due
	why    Why
	want   Target
	brief  bool // it asks a directory, and goes no further
	asked  bool // a full one
	flying *Probe
	lost   time.Time // when the one under way counts as lost
	lastID uint64
	began  time.Time // the one under way, or the last
	visit  time.Time // when the next probe up to the meeting is due, if no client is met
	looked bool      // the last was a look
	slow   bool      // the last probe waited long for its turn

	doubt    *doubt
	survey   *survey
	trouble  *trouble
	unsure   int // failures in a row that say nothing of the service
	tried    map[Target]time.Time
	down     map[uint64]time.Time
	excused  map[[32]byte]excuse // directories that are let be
	lacking  map[[32]byte]Stage  // those that gave no descriptor when asked last, or an old one
	away     map[[32]byte]away   // those that could not be reached
	evidence map[Cause]time.Time
	budget   budget

	out []Command
}

// doubt is a probe that failed, and is looked into.
type doubt struct {
	first Result
	again bool // what the first tried is tried once more: others work
}

// trouble is what is wrong, from when it is found until it is over.
type trouble struct {
	target Target // zero: the whole service
	wrong  Cause  // which decides what is done
	cause  Cause  // which is told
	stage  Stage
	since  time.Time
	rung   int
	steps  int
	last   Step
	stepAt time.Time // the next step; zero: a probe decides
	others int       // probes in a row that failed of something else
}

// New makes one that knows nothing. period is how often it is probed, on average.
func New(period time.Duration, rng *rand.Rand, now time.Time) *Service {
	s := &Service{
		period: period, rand: rng, born: now, tried: map[Target]time.Time{}, down: map[uint64]time.Time{},
		excused: map[[32]byte]excuse{}, lacking: map[[32]byte]Stage{}, away: map[[32]byte]away{}, evidence: map[Cause]time.Time{},
	}
	if period > 0 {
		s.due(now.Add(startGrace), Routine)
	}
	return s
}

// SetPeriod changes how often it is probed; 0: only when that is asked for.
func (s *Service) SetPeriod(period time.Duration, now time.Time) {
	if period == s.period {
		return
	}
	s.period = period
	if period == 0 {
		s.rest()
	} else {
		s.visit = now.Add(s.around(period)) // that of the old one may be far off
		s.routine(now)
	}
}

// rest has nothing be verified, but for what is asked for, and nothing be known.
func (s *Service) rest() {
	s.doubt, s.survey, s.trouble, s.want, s.brief = nil, nil, nil, Target{}, false
	if !s.asked {
		s.next, s.why = time.Time{}, 0
	}
	s.verdict, s.cause = Starting, 0
}

// idle: nothing is judged.
func (s *Service) idle() bool { return s.period == 0 }

// Take gives what is due, and forgets it.
func (s *Service) Take() []Command {
	out := s.out
	s.out = nil
	return out
}

// Look takes what the host knows now.
func (s *Service) Look(f Facts, now time.Time) {
	before := s.facts
	s.facts = f
	for p := range s.down {
		if !slices.Contains(f.Down, p) {
			delete(s.down, p)
		}
	}
	for _, p := range f.Down {
		if _, ok := s.down[p]; !ok {
			s.down[p] = now
		}
	}
	if s.period == 0 {
		return
	}
	switch {
	case f.Published && !before.Published:
		s.due(now.Add(s.spread(soon)), Published)
	case f.Elsewhere != before.Elsewhere && !f.Published && s.trouble == nil:
		s.next, s.why = now.Add(startGrace), Routine // who publishes now has begun to
	case f.Live && f.Away == 0 && (!before.Live || before.Away != 0):
		if f.Published {
			s.due(now.Add(s.spread(soon)), Network)
		} else if s.trouble == nil { // the way to be published begins here
			s.next, s.why = now.Add(startGrace), Routine
		}
	}
	s.act(now)
}

// Shaken says that something happened after which the service may not be what it was: it
// is looked at soon.
func (s *Service) Shaken(why Why, now time.Time) {
	if !s.idle() && s.facts.Published {
		s.due(now.Add(s.spread(soon)), why)
	}
	if t := s.trouble; t != nil && t.stepAt.IsZero() && why == Changed {
		s.due(now.Add(s.spread(soon)), Stepped)
	}
	s.act(now)
}

// Note takes evidence of what may be a cause.
func (s *Service) Note(c Cause, now time.Time) { s.evidence[c] = now }

// Lost says that nothing will be heard of the probe under way. It says nothing of the
// service.
func (s *Service) Lost(now time.Time) {
	if s.flying == nil {
		return
	}
	s.asked = s.asked || s.flying.Why == Asked
	why := s.flying.Why
	s.flying = nil
	if !s.idle() || s.asked {
		s.due(now.Add(s.spread(settleAgain)), why)
	}
	s.act(now)
}

// Met says that a client was met.
func (s *Service) Met(now time.Time) {
	s.met = now
	if s.idle() {
		return
	}
	if s.survey != nil { // he may have had the descriptor for hours
		return
	}
	if s.trouble == nil && s.doubt == nil {
		if s.verdict != Up {
			s.up(true, now)
		}
		s.verified, s.byClient = now, true
		return
	}
	s.due(now.Add(metGap), Confirm)
	s.act(now)
}

// Ask has it probed now, up to the meeting; after one that is under way.
func (s *Service) Ask(now time.Time) {
	s.asked = true
	s.due(now, Asked)
	s.act(now)
}

// Tick says that time went by.
func (s *Service) Tick(now time.Time) { s.act(now) }

// Next is when Tick is due; zero: when something happens.
func (s *Service) Next() time.Time {
	var out time.Time
	earliest := func(t time.Time) {
		if !t.IsZero() && (out.IsZero() || t.Before(out)) {
			out = t
		}
	}
	if s.flying != nil {
		return s.lost
	}
	earliest(s.next)
	if _, at := s.suspect(); s.calm() && s.facts.Published {
		earliest(at)
	}
	if s.trouble != nil {
		earliest(s.trouble.stepAt)
	}
	return out
}

// calm: nothing is being looked into.
func (s *Service) calm() bool {
	return !s.idle() && s.doubt == nil && s.survey == nil && s.trouble == nil
}

// suspect is the introduction point that has been without a circuit for longest, and when
// that is to be looked into; 0: none is.
func (s *Service) suspect() (uint64, time.Time) {
	var point uint64
	var at time.Time
	for p, since := range s.down {
		due := since.Add(downFor)
		if tried := s.tried[Target{Point: p}]; !tried.Before(since) {
			continue
		}
		if at.IsZero() || due.Before(at) || due.Equal(at) && p < point {
			point, at = p, due
		}
	}
	return point, at
}

// due has a probe be made at a time, or sooner if one is due before.
func (s *Service) due(at time.Time, why Why) {
	if s.next.IsZero() || at.Before(s.next) {
		s.next = at
		s.why = max(s.why, why)
	} else if why > s.why {
		s.why = why
	}
}

// spread is d, up to a half less or more.
func (s *Service) spread(d time.Duration) time.Duration {
	return d/2 + time.Duration(s.rand.Int64N(int64(d)))
}

// act does what is due.
func (s *Service) act(now time.Time) {
	if s.flying != nil {
		if now.Before(s.lost) {
			return
		}
		s.Lost(now) // whoever was to make it is no more
		return
	}
	if t := s.trouble; t != nil && !t.stepAt.IsZero() && !now.Before(t.stepAt) {
		s.step(now)
	}
	if s.calm() {
		if p, at := s.suspect(); p != 0 && !now.Before(at) && s.facts.Published {
			s.want = Target{Point: p}
			s.due(now, Changed)
		}
	}
	if s.asked { // nothing that came between makes it wait
		s.due(now, Asked)
	}
	if !s.next.IsZero() && !now.Before(s.next) {
		s.probe(now)
	}
}

// probe begins one, unless the facts say all.
func (s *Service) probe(now time.Time) {
	asked, why := s.asked, s.why
	if s.idle() && !asked {
		s.next = time.Time{}
		return
	}
	if cause := s.cannot(); cause != 0 && !s.idle() {
		s.doubted(cause, now)
		if !asked {
			return
		}
	} else if !s.facts.Published && !asked {
		s.unpublished(now)
		return
	}
	s.lastID++
	p := Probe{
		ID: s.lastID, Why: why, Target: s.choose(now),
		Full: asked || !s.brief && (!s.calm() || why != Routine || !s.metWithin(s.period, now) && !now.Before(s.visit)),
	}
	s.asked, s.next, s.why, s.want, s.brief = false, time.Time{}, 0, Target{}, false
	s.flying, s.began, s.lost = &p, now, now.Add(probeLimit)
	s.out = append(s.out, p)
}

// cannot says why a probe would tell nothing of the service; 0: it would.
func (s *Service) cannot() Cause {
	switch {
	case s.facts.NoClients:
		return NoClients
	case !s.facts.Live:
		return Consensus
	}
	return s.facts.Away
}

// unpublished: it ought to be by now. What was just made anew is on its way: to give up
// introduction points for it would leave clients who know them with nothing.
func (s *Service) unpublished(now time.Time) {
	if s.facts.Settling && (s.trouble == nil || s.trouble.unstored() || s.facts.Elsewhere) || s.trouble == nil && s.fresh(now) {
		s.next = now.Add(s.spread(settleAgain))
		return
	}
	r := Result{Stage: Directory, Reached: true}
	wrong := NotStored
	if len(s.facts.Points) == len(s.facts.Down) {
		wrong = RelayGone
	}
	if s.trouble != nil {
		s.next, s.why = time.Time{}, 0 // the next step may be waited for
		s.stillBroken(&r, wrong, now)
		return
	}
	s.found(&r, wrong, Target{}, now)
}

// fresh: are all introduction points without a circuit, one of them not for long?
func (s *Service) fresh(now time.Time) bool {
	return len(s.facts.Points) == len(s.facts.Down) && slices.ContainsFunc(s.facts.Down, func(p uint64) bool { return now.Sub(s.down[p]) < downFor })
}

// choose takes the introduction point and the directory that were not tried for longest,
// but for what is looked into.
func (s *Service) choose(now time.Time) Target {
	t := s.want
	var avoid []Target
	if d := s.doubt; d != nil && !d.again {
		avoid = append(avoid, d.first.Tried)
	}
	if !slices.Contains(s.facts.Points, t.Point) {
		t.Point = oldest(s, s.facts.Points, func(p uint64) Target { return Target{Point: p} }, func(p uint64) bool {
			return slices.ContainsFunc(avoid, func(t Target) bool { return t.Point == p })
		})
	}
	if t.Directory == [32]byte{} {
		t.Directory = oldest(s, s.facts.Directories, func(d [32]byte) Target { return Target{Directory: d} }, func(d [32]byte) bool {
			return s.shuns(d, now) || slices.ContainsFunc(avoid, func(t Target) bool { return t.Directory == d })
		})
	}
	return t
}

// oldest is the one that was not tried for longest, of those that are not to be avoided, or
// of all if there are no others.
func oldest[T comparable](s *Service, all []T, target func(T) Target, avoid func(T) bool) (best T) {
	left := slices.DeleteFunc(slices.Clone(all), avoid)
	if len(left) == 0 {
		left = slices.Clone(all)
	}
	s.rand.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	for i, v := range left {
		if i == 0 || s.tried[target(v)].Before(s.tried[target(best)]) {
			best = v
		}
	}
	return best
}
