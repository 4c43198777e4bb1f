package vanguard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// Relay is one of the layer.
type Relay struct {
	Identity netdoc.Digest `json:"identity"`
	Expires  time.Time     `json:"expires"`
}

// Kind is what happened.
type Kind string

// The kinds.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
)

// Reason is why a relay was removed.
type Reason string

// The reasons.
const (
	Expired Reason = "expired" // its time was over
	Unfit   Reason = "unfit"   // the consensus or the user has it no longer
	TooMany Reason = "too many"
)

// Event is a change of the layer.
type Event struct {
	Kind   `json:"kind"`
	Relay         // Removed: the identity alone
	Reason Reason `json:"reason,omitempty"` // Removed
}

// Params are the network's numbers.
type Params struct {
	Enabled           bool // vanguards-lite-enabled
	Number            int
	Shortest, Longest time.Duration
}

// ParamsOf reads a consensus.
func ParamsOf(p netdoc.Params) Params {
	const day, most = 24 * 60 * 60, 1<<31 - 1
	seconds := func(name string, def int32) time.Duration {
		return time.Duration(p.Get(name, def, 1, most)) * time.Second
	}
	return Params{
		Enabled:  p.Get("vanguards-lite-enabled", 1, 0, 1) == 1,
		Number:   int(p.Get("guard-hs-l2-number", 4, 1, 19)),
		Shortest: seconds("guard-hs-l2-lifetime-min", day), Longest: seconds("guard-hs-l2-lifetime-max", 12*day),
	}
}

// Set is the layer. It is not safe for concurrent use.
type Set struct {
	rng    *rand.Rand
	layer  []Relay
	events []Event
}

// New makes an empty layer that draws from rng.
func New(rng *rand.Rand) *Set { return &Set{rng: rng} }

// ErrEvent: an event does not fit the layer it is applied to.
var ErrEvent = errors.New("vanguards: an event that does not fit")

// Load replaces the layer by a stored one.
func (s *Set) Load(layer []Relay) { s.layer = slices.Clone(layer) }

// Relays is the layer, oldest first.
func (s *Set) Relays() []Relay { return slices.Clone(s.layer) }

// Identities is the layer for the choice of paths; never nil.
func (s *Set) Identities() []netdoc.Digest {
	out := make([]netdoc.Digest, len(s.layer))
	for i, r := range s.layer {
		out[i] = r.Identity
	}
	return out
}

// Take gives the events since the last call, in order. They are applied already.
func (s *Set) Take() []Event {
	out := s.events
	s.events = nil
	return out
}

// Update removes whose time is over or who is no longer fit, and fills the layer up.
func (s *Set) Update(x *path.Index, p Params, now time.Time) {
	for _, r := range s.Relays() {
		switch {
		case !now.Before(r.Expires):
			s.emit(Event{Kind: Removed, Relay: Relay{Identity: r.Identity}, Reason: Expired})
		case !x.FitLayer2(r.Identity):
			s.emit(Event{Kind: Removed, Relay: Relay{Identity: r.Identity}, Reason: Unfit})
		}
	}
	for len(s.layer) > p.Number {
		s.emit(Event{Kind: Removed, Relay: Relay{Identity: s.layer[len(s.layer)-1].Identity}, Reason: TooMany})
	}
	for len(s.layer) < p.Number {
		r, err := x.PickLayer2(s.rng, s.Identities())
		if err != nil {
			return // there are no others
		}
		s.emit(Event{Kind: Added, Relay: Relay{Identity: r.Identity, Expires: now.Add(s.life(p)).Truncate(time.Second).UTC().Round(0)}})
	}
}

func (s *Set) life(p Params) time.Duration {
	if p.Longest <= p.Shortest {
		return p.Shortest
	}
	return p.Shortest + time.Duration(s.rng.Int64N(int64(p.Longest-p.Shortest)))
}

// Next is when a relay's time is over; zero: there is none.
func (s *Set) Next() (next time.Time) {
	for _, r := range s.layer {
		if next.IsZero() || r.Expires.Before(next) {
			next = r.Expires
		}
	}
	return next
}

// Replay applies events that another set gave.
func (s *Set) Replay(events []Event) error {
	for _, e := range events {
		if err := s.apply(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) emit(e Event) {
	if err := s.apply(e); err != nil {
		panic(err) // an event that its own state forbids
	}
	s.events = append(s.events, e)
}

func (s *Set) apply(e Event) error {
	i := slices.IndexFunc(s.layer, func(r Relay) bool { return r.Identity == e.Identity })
	switch {
	case e.Kind == Added && i < 0:
		s.layer = append(s.layer, e.Relay)
	case e.Kind == Removed && i >= 0:
		s.layer = slices.Delete(s.layer, i, i+1)
	default:
		return fmt.Errorf("%w: %s", ErrEvent, e.Kind)
	}
	return nil
}
