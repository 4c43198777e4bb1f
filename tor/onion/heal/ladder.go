package heal

import (
	"slices"
	"time"
)

// ladders are the steps for a service that nobody reaches, by what is wrong with it. After the
// last the first has its turn again, for as long as it takes.
var ladders = map[Cause][]Step{
	RelayGone:        {Rotate, Republish, Rebuild},
	PointUnreachable: {NewCircuits, Republish, Rotate, Rebuild},
	NotStored:        {Republish},
	NotMet:           {NewCircuits, Rebuild},
	Unknown:          {NewCircuits, Republish, Rotate, Rebuild},
}

// Those for one introduction point or one directory, while others work. They end.
var (
	pointLadder     = []Step{NewCircuits, Rotate, Rotate}
	gonePointLadder = []Step{Rotate, Rotate}
	directoryLadder = []Step{Republish, Republish}
)

// budgets are how often each step is made in an hour.
var budgets = [...]int{NewCircuits: 12, Republish: 6, Rotate: 4, Rebuild: 2}

// settles are how long a step is given until a probe looks, unless the service tells before
// that it has done its part.
var settles = [...]time.Duration{
	NewCircuits: 8 * time.Second, Republish: 10 * time.Second, Rotate: 20 * time.Second, Rebuild: 30 * time.Second,
}

const (
	budgetTime  = time.Hour
	firstWait   = 2 * time.Second // before the second step; twice as long before each further one
	longestWait = 5 * time.Minute
)

// budget is when each step was made in the last hour.
type budget [len(budgets)][]time.Time

// free is when a step may be made: now, or later. One trouble, which began at since, has half of
// the budget as soon as it likes, and the rest in equal parts of the hour: what breaks anew in its
// midst does not wait until the hour is over.
func (b *budget) free(s Step, since, now time.Time) time.Time {
	b[s] = slices.DeleteFunc(b[s], func(at time.Time) bool { return now.Sub(at) >= budgetTime || at.After(now) })
	made := b[s]
	if len(made) >= budgets[s] {
		return made[0].Add(budgetTime)
	}
	half, own := (budgets[s]+1)/2, 0
	for _, at := range made {
		if !at.Before(since) {
			own++
		}
	}
	if own < half {
		return now
	}
	return later(now, made[len(made)-1].Add(budgetTime/time.Duration(budgets[s]-half+1)))
}

func (b *budget) spend(s Step, now time.Time) { b[s] = append(b[s], now) }

// explanations are the things that, having happened since the service was last up, are why
// other things go wrong: the newest is told as the cause, for it is what an operator asks
// for. What is done about it depends on what goes wrong.
var explanations = map[Cause][]Cause{
	Slept:       {RelayGone, PointUnreachable, NotStored, NotMet, Unknown, Connections},
	Clock:       {PointUnreachable, NotStored, NotMet, Unknown, Consensus},
	Connections: {RelayGone, PointUnreachable, NotStored, NotMet, Unknown},
	Offline:     {RelayGone, PointUnreachable, NotStored, NotMet, Unknown, Connections},
	Restarted:   {RelayGone, PointUnreachable, NotStored, NotMet, Unknown},
	Disk:        {NotStored, Unknown},
	Journal:     {Unknown},
	Overload:    {NotMet, PointUnreachable},
}

// evidenceLife is how long something that happened can be why.
const evidenceLife = 10 * time.Minute

// explain gives the cause to tell of something that is wrong.
func (s *Service) explain(wrong Cause, now time.Time) Cause {
	cause, newest := wrong, time.Time{}
	for c := Unknown; c <= NoClients; c++ {
		at, ok := s.evidence[c]
		if !ok || now.Sub(at) >= evidenceLife || at.Before(s.verified) || !slices.Contains(explanations[c], wrong) {
			continue
		}
		if at.After(newest) {
			cause, newest = c, at
		}
	}
	return cause
}

// wrongWith says what is wrong, by the failed probes.
func (s *Service) wrongWith(r *Result) Cause {
	if r.Crowded {
		return Overload
	}
	switch r.Stage {
	case Directory, Descriptor:
		return NotStored
	case Point:
		if slices.Contains(s.facts.Down, r.Tried.Point) || !slices.Contains(s.facts.Points, r.Tried.Point) {
			return RelayGone
		}
		return PointUnreachable
	case Introduce: // its relay was reached
		return PointUnreachable
	case Meeting:
		if r.Arrived {
			return NotMet
		}
		return PointUnreachable
	}
	return Unknown
}
