package host

import (
	"errors"
	"fmt"
	"io"
	"time"

	"chive/tor/onion"
)

// ErrNoKeys: the identity key is kept offline and no keys were brought for the
// period. What the package returns says more.
var ErrNoKeys = errors.New("no keys for this period")

// Why there are none. They are values, so that each is told once.
var (
	errKeysOver   = fmt.Errorf("%w: the delegated ones have run out", ErrNoKeys)
	errKeysEarly  = fmt.Errorf("%w: the delegated ones are for later", ErrNoKeys)
	errKeysOther  = fmt.Errorf("%w: the delegated ones are for periods of another length than this network's", ErrNoKeys)
	errKeysAbsent = fmt.Errorf("%w: none are delegated", ErrNoKeys)
)

// Offline holds keys that were made elsewhere by [Delegate].
type Offline map[onion.Period]PeriodKeys

// Period implements [Keys].
func (o Offline) Period(_ io.Reader, p onion.Period, now time.Time) (PeriodKeys, error) {
	if k, ok := o[p]; ok {
		if !now.Before(k.Expires) {
			return PeriodKeys{}, errKeysOver
		}
		return k, nil
	}
	last, ok := o.last(p.Minutes)
	switch {
	case len(o) == 0:
		return PeriodKeys{}, errKeysAbsent
	case !ok:
		return PeriodKeys{}, errKeysOther
	case p.Number > last.Number:
		return PeriodKeys{}, errKeysOver
	}
	return PeriodKeys{}, errKeysEarly
}

// Until implements [Keys]: the beginning of the last period, for a service is
// published for that one while the one before lasts.
func (o Offline) Until(s onion.Schedule) (time.Time, bool) {
	last, ok := o.last(s.Minutes)
	if !ok {
		return time.Time{}, true
	}
	return s.Start(last), true
}

// last is the latest of the periods of a length.
func (o Offline) last(minutes uint64) (last onion.Period, ok bool) {
	for p := range o {
		if p.Minutes == minutes && (!ok || p.Number > last.Number) {
			last, ok = p, true
		}
	}
	return last, ok
}

// keysWarning is how long before delegated keys run out it is told.
const keysWarning = 7 * 24 * time.Hour

// keysTold is what was told of keys that run out at until.
type keysTold struct {
	until      time.Time
	soon, over bool
}

// SetKeys puts other keys of the same identity into force: later ones, as a rule.
// What is published stays until it is made anew, and what could not be is tried at
// once.
func (s *Service) SetKeys(keys Keys, now time.Time) {
	s.keys = keys
	for _, sl := range s.slots {
		sl.retryAt = time.Time{}
	}
	s.settle(now)
}

// tendKeys tells when the keys run out: a while before, and when they have.
func (s *Service) tendKeys(now time.Time) {
	if s.view == nil {
		return
	}
	until, limited := s.keys.Until(s.view.Schedule)
	if !limited || until.IsZero() { // then no period is published, which is told
		return
	}
	if until != s.ending.until {
		s.ending = keysTold{until: until}
	}
	switch {
	case s.due(until, now):
		if !s.ending.over {
			s.ending.over = true
			s.tell(KeysEnd{Until: until, Over: true})
		}
	case s.due(until.Add(-keysWarning), now) && !s.ending.soon:
		s.ending.soon = true
		s.tell(KeysEnd{Until: until})
	}
}
