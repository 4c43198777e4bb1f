package hosting

import (
	"sync"
	"time"

	"chive/messages/chivev1"
	"chive/tor/onion/heal"
)

// Signals are what the node's own events say of why a service may not be up. Whoever passes
// the events on sets it; the services read it. The zero value is ready; nil tells nothing.
type Signals struct {
	mu      sync.Mutex // protects the fields below
	open    map[string]bool
	opened  time.Time // the last connection
	failed  time.Time // the last that could not be made
	out     chivev1.Outcome
	lost    time.Time // one that was in use
	none    time.Time // one could not be made while there was no other
	journal time.Time // it could not be written
	shaken  map[heal.Cause]time.Time
}

// See takes an event. It is called in turn with whatever emits it.
func (s *Signals) See(e *chivev1.Envelope, now time.Time) {
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ConnectionOpened:
		s.change(func() {
			if s.open == nil {
				s.open = map[string]bool{}
			}
			s.open[e.GetActorId()] = true
			s.opened = now
		})
	case *chivev1.Envelope_ConnectionFailed:
		s.change(func() {
			s.failed, s.out = now, body.ConnectionFailed.GetOutcome()
			if len(s.open) == 0 {
				s.none = now
			}
		})
	case *chivev1.Envelope_ConnectionClosed:
		s.change(func() {
			delete(s.open, e.GetActorId())
			if body.ConnectionClosed.GetOutcome() == chivev1.Outcome_OUTCOME_CONNECTION_LOST {
				s.lost = now
			}
		})
	case *chivev1.Envelope_JournalChanged:
		if body.JournalChanged.GetState() != "ready" {
			s.change(func() { s.journal = now })
		}
	}
}

func (s *Signals) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Happened notes what the node knows and no event says.
func (s *Signals) Happened(c heal.Cause, now time.Time) {
	s.change(func() {
		if s.shaken == nil {
			s.shaken = map[heal.Cause]time.Time{}
		}
		s.shaken[c] = now
	})
}

// away is why no relay can be reached, when that is known: none is connected to, and the
// last that was tried was in vain; 0: it is not known.
func (s *Signals) away() heal.Cause {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.open) > 0 || !s.failed.After(s.opened):
		return 0
	case s.out == chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE:
		return heal.Offline
	}
	return heal.Connections
}

// tell gives the evidence there is.
func (s *Signals) tell(note func(heal.Cause, time.Time)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, at := range s.shaken {
		note(c, at)
	}
	if !s.journal.IsZero() {
		note(heal.Journal, s.journal)
	}
	switch {
	case s.none.After(s.lost) && s.out == chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE:
		note(heal.Offline, s.none)
	case s.none.After(s.lost):
		note(heal.Connections, s.none)
	case !s.lost.IsZero():
		note(heal.Connections, s.lost)
	}
}
