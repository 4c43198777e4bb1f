package conflux

import (
	"fmt"
	"math"
	"time"

	"chive/tor/cell"
)

// Route is the leg for one message.
type Route struct {
	Leg int
	// Switch: a SWITCH goes out on the leg before the message; Skipped is for its body.
	Switch  bool
	Skipped uint32
}

// Observe tells what congestion control says of a leg: how many DATA cells it may send
// now, and the newest estimate of its round trip.
// Route counts the cells that it lets go in between.
func (s *Set) Observe(leg int, room int, rtt time.Duration) {
	l := &s.legs[leg]
	l.room = max(room, 0)
	if rtt > 0 {
		l.rtt = rtt
	}
}

// Route says over which leg the next message goes, which then must go out. DATA needs
// room on a leg (ErrBlocked); other messages do not, and go where the last one went if
// there is none. The set must be Ready.
//
// The exit says what it wants to have: for throughput, the fastest leg that has room;
// for latency or little memory, the fastest leg and no other (proposal 329, 3.2).
func (s *Set) Route(c cell.RelayCommand) (Route, error) {
	switch {
	case s.state == Over:
		return Route{}, ErrOver
	case s.state != Ready || !Sequenced(c):
		return Route{}, fmt.Errorf("%w: %v", ErrNotSequenced, c)
	}
	if s.current < 0 {
		s.current = s.fastest(false)
	}
	to := s.fastest(s.asked == NoOpinion || s.asked == HighThroughput)
	if to < 0 || s.legs[to].room == 0 {
		if c == cell.RelayData {
			return Route{}, ErrBlocked
		}
		to = s.current
	}
	r := Route{Leg: to}
	l := &s.legs[to]
	if to != s.current {
		skipped := s.sent - l.sent
		if skipped >= math.MaxUint32 {
			return Route{}, s.end(fmt.Errorf("%w: SWITCH after %d messages", ErrSequence, skipped))
		}
		r.Switch, r.Skipped = true, uint32(skipped)
		s.current = to
		s.counters.SwitchesOut++
	}
	s.sent++
	l.sent = s.sent
	if c == cell.RelayData {
		l.room--
	}
	return r, nil
}

// fastest is the linked leg with the shortest round trip, of those with room or of all;
// -1 if there is none.
func (s *Set) fastest(withRoom bool) int {
	best := -1
	for i := range s.legs {
		l := &s.legs[i]
		if l.state != LegLinked || withRoom && l.room == 0 {
			continue
		}
		if best < 0 || l.rtt < s.legs[best].rtt {
			best = i
		}
	}
	return best
}

// Room is how many DATA messages Route would let go now, one after the other.
func (s *Set) Room() (n int) {
	if s.state != Ready {
		return 0
	}
	if s.asked != NoOpinion && s.asked != HighThroughput {
		if to := s.fastest(false); to >= 0 {
			n = s.legs[to].room
		}
		return n
	}
	for i := range s.legs {
		if s.legs[i].state == LegLinked {
			n += s.legs[i].room
		}
	}
	return n
}
