package onion

import "time"

const (
	roundsPerPhase = 12 // of the shared random protocol, one a voting interval
	roundsPerRun   = 2 * roundsPerPhase

	defaultPeriodMinutes = 1440
	minPeriodMinutes     = 5 // C tor's floor; the specification's text says 30
	maxPeriodMinutes     = 14400
)

// Period is one time period: the Number-th of Minutes minutes (rend-spec-v3
// section 2.2.1).
type Period struct{ Number, Minutes uint64 }

// Next is the period after p.
func (p Period) Next() Period { return Period{p.Number + 1, p.Minutes} }

// Previous is the period before p.
func (p Period) Previous() Period { return Period{p.Number - 1, p.Minutes} }

// Schedule is the network's clockwork: when periods and runs of the shared random
// protocol begin.
type Schedule struct {
	Voting  time.Duration // between two consensuses; whole seconds, at least one
	Minutes uint64        // length of a period, at least one
}

// offset shifts periods against runs of the shared random protocol: half a run.
func (s Schedule) offset() time.Duration { return roundsPerPhase * s.Voting }

// run is the length of one run of the shared random protocol.
func (s Schedule) run() time.Duration { return roundsPerRun * s.Voting }

// Period is the one that holds t. As in C tor both the time and the offset are
// cut to whole minutes first, which a network with a voting interval of seconds
// notices.
func (s Schedule) Period(t time.Time) Period {
	minutes := t.Unix()/60 - int64(s.offset()/time.Minute)
	return Period{Number: uint64(max(minutes, 0)) / s.Minutes, Minutes: s.Minutes}
}

// Start is when a period begins.
func (s Schedule) Start(p Period) time.Time {
	return time.Unix(int64(p.Number*p.Minutes)*60, 0).UTC().Add(s.offset())
}

// RunStart is when the run of the shared random protocol that holds t began: the
// value that the run before it agreed on is in force from then on.
func (s Schedule) RunStart(t time.Time) time.Time {
	voting := int64(s.Voting / time.Second)
	slot := t.Unix() / voting % roundsPerRun
	return time.Unix(t.Unix()-slot*voting, 0).UTC()
}
