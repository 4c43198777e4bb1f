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

// Layer is how far behind the guard a relay stands: its hop.
type Layer int

// The layers.
const (
	Second Layer = 2
	Third  Layer = 3
)

func (l Layer) place() path.Place {
	if l == Third {
		return path.Layer3
	}
	return path.Layer2
}

// mostNamed is how many relays a user may name for a layer that are all used, as in C tor:
// he has chosen them with care. Of more the layer is drawn, as it is of the network.
const mostNamed = 20

// Relay is one of a layer.
type Relay struct {
	Identity netdoc.Digest `json:"identity"`
	Expires  time.Time     `json:"expires"`
	Layer    Layer         `json:"layer,omitempty"` // what was kept without one is Second
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

// Event is a change of a layer.
type Event struct {
	Kind   `json:"kind"`
	Relay         // Removed: the identity and the layer alone
	Reason Reason `json:"reason,omitempty"` // Removed
}

// Params are the network's numbers.
type Params struct {
	Enabled         bool // vanguards-lite-enabled
	Full            bool // vanguards-enabled is 2: the third layer is used as well
	FullForServices bool // vanguards-hs-service is: by nodes that host services
	Second, Third   Bounds
	// SecondOfFull are those of the second layer where there is a third.
	SecondOfFull Bounds
}

// Bounds are the numbers of one layer.
type Bounds struct {
	Number            int
	Shortest, Longest time.Duration // lifetimes
}

// ParamsOf reads a consensus. What it does not say is as in param-spec, but for the second
// layer of full vanguards: there vanguards-spec has 30 to 60 days, half as long as a guard,
// and param-spec the 1 to 12 days of C tor's vanguards-lite.
func ParamsOf(p netdoc.Params) Params {
	const hour, day, most, all = 60 * 60, 24 * 60 * 60, 1<<31 - 1, 2
	seconds := func(name string, def int32) time.Duration {
		return time.Duration(p.Get(name, def, 1, most)) * time.Second
	}
	out := Params{
		Enabled: p.Get("vanguards-lite-enabled", 1, 0, 1) == 1,
		Full:    p.Get("vanguards-enabled", 1, 0, all) == all, FullForServices: p.Get("vanguards-hs-service", 1, 0, all) == all,
		Second: Bounds{
			Number:   int(p.Get("guard-hs-l2-number", 4, 1, 19)),
			Shortest: seconds("guard-hs-l2-lifetime-min", day), Longest: seconds("guard-hs-l2-lifetime-max", 12*day),
		},
		Third: Bounds{
			Number:   int(p.Get("guard-hs-l3-number", 8, 1, 19)),
			Shortest: seconds("guard-hs-l3-lifetime-min", hour), Longest: seconds("guard-hs-l3-lifetime-max", 48*hour),
		},
	}
	out.SecondOfFull = out.Second
	_, shortest := p["guard-hs-l2-lifetime-min"]
	if _, longest := p["guard-hs-l2-lifetime-max"]; !shortest && !longest {
		out.SecondOfFull.Shortest, out.SecondOfFull.Longest = 30*day*time.Second, 60*day*time.Second
	}
	return out
}

// Set is both layers. It is not safe for concurrent use.
type Set struct {
	rng    *rand.Rand
	relays []Relay
	events []Event
	named  [2]naming // of the second and the third layer, as of the last Update
}

// naming is what a user says of a layer.
type naming struct {
	any    bool // he names relays for it
	relays []netdoc.Digest
}

func (s *Set) naming(l Layer) *naming {
	if l == Third {
		return &s.named[1]
	}
	return &s.named[0]
}

// admits: may the relay be used in its layer? What was drawn before the user named others
// is kept for when he names none.
func (n *naming) admits(id netdoc.Digest) bool { return !n.any || slices.Contains(n.relays, id) }

// New makes empty layers that draw from rng.
func New(rng *rand.Rand) *Set { return &Set{rng: rng} }

// ErrEvent: an event does not fit the layers it is applied to.
var ErrEvent = errors.New("vanguards: an event that does not fit")

// Load replaces the layers by stored ones.
func (s *Set) Load(relays []Relay) {
	s.relays = slices.Clone(relays)
	for i := range s.relays {
		s.relays[i].Layer = s.relays[i].Layer.named()
	}
}

func (l Layer) named() Layer {
	if l == 0 {
		return Second
	}
	return l
}

// Relays are those of both layers, oldest first.
func (s *Set) Relays() []Relay { return slices.Clone(s.relays) }

// Of is what is used of one layer, for the choice of paths; never nil.
func (s *Set) Of(l Layer) []netdoc.Digest {
	out := []netdoc.Digest{}
	for _, r := range s.relays {
		if r.Layer == l && s.naming(l).admits(r.Identity) {
			out = append(out, r.Identity)
		}
	}
	return out
}

// Take gives the events since the last call, in order. They are applied already.
func (s *Set) Take() []Event {
	out := s.events
	s.events = nil
	return out
}

// Used says whether a relay is in [Set.Of] its layer.
func (s *Set) Used(r Relay) bool { return s.naming(r.Layer).admits(r.Identity) }

// Update removes whose time is over or who is no longer fit, and fills the second layer up;
// with full the third as well.
//
// Lifetimes in the third layer are the greater of two even draws (vanguards-spec, Design of
// full vanguards), so that most of it stays for long and some not; in the second one draw,
// as vanguards-spec has it with a third layer, and C tor without. (There vanguards-spec has
// the greater of two as well, of 1 to 22 days.) A relay may be in both layers: each is chosen
// on its own, and no path has it twice.
//
// Where the user names relays for a layer (HSLayer2Nodes, HSLayer3Nodes) it is all of them
// up to twenty, and else drawn of them.
//
// A consensus that is not live at the time changes nothing: the clock may be wrong, and what it
// would cost does not come back.
func (s *Set) Update(x *path.Index, p Params, full bool, now time.Time) {
	for _, l := range []Layer{Second, Third} {
		n := s.naming(l)
		n.relays, n.any = x.NamedLayer(l.place())
	}
	if !x.Live(now) {
		return
	}
	for _, r := range s.Relays() {
		named := s.naming(r.Layer)
		switch {
		case !now.Before(r.Expires):
			s.remove(r, Expired)
		case !x.FitVanguard(r.Identity) && !(named.any && named.admits(r.Identity)):
			s.remove(r, Unfit)
		}
	}
	if !full {
		s.fill(x, Second, p.Second, now)
		return
	}
	s.fill(x, Second, p.SecondOfFull, now)
	s.fill(x, Third, p.Third, now)
}

// fill has a layer be of its number, if there are so many.
func (s *Set) fill(x *path.Index, l Layer, b Bounds, now time.Time) {
	named := s.naming(l)
	if n := len(named.relays); named.any && n <= mostNamed {
		b.Number = n
	}
	for _, r := range slices.Backward(s.Relays()) {
		if r.Layer == l && s.Used(r) && len(s.Of(l)) > b.Number {
			s.remove(r, TooMany)
		}
	}
	for len(s.Of(l)) < b.Number {
		r, err := s.pick(x, l)
		if err != nil {
			return // there are no others
		}
		life := s.life(b)
		if l == Third {
			life = max(life, s.life(b))
		}
		s.emit(Event{Kind: Added, Relay: Relay{
			Identity: r.Identity, Layer: l, Expires: now.Add(life).Truncate(time.Second).UTC().Round(0),
		}})
	}
}

func (s *Set) pick(x *path.Index, l Layer) (*path.Relay, error) {
	if s.naming(l).any {
		return x.PickNamed(s.rng, l.place(), s.Of(l))
	}
	return x.PickVanguard(s.rng, s.Of(l))
}

func (s *Set) remove(r Relay, why Reason) {
	s.emit(Event{Kind: Removed, Relay: Relay{Identity: r.Identity, Layer: r.Layer}, Reason: why})
}

func (s *Set) life(b Bounds) time.Duration {
	if b.Longest <= b.Shortest {
		return b.Shortest
	}
	return b.Shortest + time.Duration(s.rng.Int64N(int64(b.Longest-b.Shortest)))
}

// Next is when a relay's time is over; zero: there is none.
func (s *Set) Next() (next time.Time) {
	for _, r := range s.relays {
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
	e.Layer = e.Layer.named()
	i := slices.IndexFunc(s.relays, func(r Relay) bool { return r.Identity == e.Identity && r.Layer == e.Layer })
	switch {
	case e.Layer != Second && e.Layer != Third:
		return fmt.Errorf("%w: layer %d", ErrEvent, e.Layer)
	case e.Kind == Added && i < 0:
		s.relays = append(s.relays, e.Relay)
	case e.Kind == Removed && i >= 0:
		s.relays = slices.Delete(s.relays, i, i+1)
	default:
		return fmt.Errorf("%w: %s", ErrEvent, e.Kind)
	}
	return nil
}
