package guard

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"chive/tor/netdoc"
)

// CircuitState is a circuit's, as guard-spec §4.6 has it.
type CircuitState uint8

// The states. Streams go on Complete circuits only.
const (
	OnCompletion CircuitState = iota + 1 // being built; Complete when it opens
	IfNoBetter                           // being built through a guard that is not primary
	Waiting                              // open, and perhaps a better one will be
	Complete
)

type circuit struct {
	id    string
	guard netdoc.Digest
	state CircuitState
	since time.Time // in this state
}

// Launched: a circuit is being built through the guard, one of Candidates.
func (s *Set) Launched(id string, guard netdoc.Digest, now time.Time) CircuitState {
	state := IfNoBetter
	if slices.Contains(s.primaries, guard) {
		state = OnCompletion
	}
	s.circuits[id] = &circuit{id: id, guard: guard, state: state, since: now}
	if s.known(guard) {
		s.emit(Event{Kind: Tried, Guard: guard, At: now})
	}
	return state
}

// Opened: a circuit for users is open. Its guard is confirmed. The state says
// whether it may be used now or has to wait.
func (s *Set) Opened(id string, now time.Time) CircuitState {
	c := s.circuits[id]
	if c == nil || c.state == Complete || c.state == Waiting {
		return Complete
	}
	if s.known(c.guard) {
		s.reached(c.guard, now, c.state == IfNoBetter)
		s.confirm(c.guard, now)
	}
	if c.state == OnCompletion {
		c.state, c.since = Complete, now
	} else {
		c.state, c.since = Waiting, now
		s.waiting[id] = c
	}
	return c.state
}

// Gone: the circuit is no more.
func (s *Set) Gone(id string) {
	delete(s.circuits, id)
	delete(s.waiting, id)
}

// Settle is guard-spec §4.9, to be called about every second: it names the
// circuits that waited and are Complete now, and those that waited for
// too long and are to be closed. Both are forgotten as waiting.
func (s *Set) Settle(now time.Time) (complete, tooLong []string) {
	for _, id := range slices.Sorted(maps.Keys(s.waiting)) {
		c := s.waiting[id]
		switch {
		case s.betterDown(c.guard) && !s.blocked(c, now):
			c.state, c.since = Complete, now
			delete(s.waiting, id)
			complete = append(complete, id)
		case now.Sub(c.since) > s.params.IdleTimeout:
			s.Gone(id)
			tooLong = append(tooLong, id)
		}
	}
	return complete, tooLong
}

// betterDown: did all primary guards fail that are better? The guard of a circuit
// that waits was confirmed by it, and may be primary itself by now.
func (s *Set) betterDown(guard netdoc.Digest) bool {
	for _, id := range s.primaries {
		if id == guard {
			break
		}
		if s.reach[id].state != No {
			return false
		}
	}
	return true
}

// blocked: is there a circuit through a better guard, or may there be one soon?
func (s *Set) blocked(c *circuit, now time.Time) bool {
	for _, other := range s.circuits {
		if other == c || cmp.Compare(s.priority(other.guard), s.priority(c.guard)) >= 0 {
			continue
		}
		if other.state != IfNoBetter || now.Sub(other.since) <= s.params.ConnectTimeout {
			return true
		}
	}
	return false
}

// priority is the guard's place in the order of preference; less is better.
func (s *Set) priority(id netdoc.Digest) int {
	at := s.list.index(s.selection, id)
	switch {
	case at < 0:
		return 2 * len(s.list)
	case s.list[at].Confirmed.IsZero():
		return len(s.list) + at
	default:
		return at
	}
}

// pending: is a circuit being built through the guard of which it is not known
// whether it works (is_pending)?
func (s *Set) pending(id netdoc.Digest) bool {
	return s.reach[id].state != Yes && s.has(id, IfNoBetter)
}

func (s *Set) has(id netdoc.Digest, state CircuitState) bool {
	for _, c := range s.circuits {
		if c.guard == id && c.state == state {
			return true
		}
	}
	return false
}
