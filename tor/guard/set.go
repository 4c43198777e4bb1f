package guard

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"chive/tor/netdoc"
	"chive/tor/path"
)

// Reachability is what is known of the way to a guard.
type Reachability uint8

// The states of guard-spec §4.1.
const (
	Maybe Reachability = iota // worth a try
	Yes                       // worked when last tried
	No                        // failed when last tried, and its retry time has not come
)

// reach is kept while the process runs: it says nothing about another day.
type reach struct {
	state        Reachability
	failingSince time.Time // zero: not failing
	lastTry      time.Time
}

// Set is the guards of one client. It is not safe for concurrent use.
type Set struct {
	// The fold of events.
	list      List
	reach     map[netdoc.Digest]reach
	selection string

	// Derived, or of this moment.
	params    Params
	consensus netdoc.Params
	settings  Settings
	rng       *rand.Rand
	x         *path.Index
	allows    func(*path.Relay) bool
	named     string // selection that the filter's owner asks for
	primaries []netdoc.Digest
	circuits  map[string]*circuit
	waiting   map[string]*circuit // of these, those that are Waiting
	online    time.Time           // last_time_on_internet
	exhausted bool                // nothing was left to try, and nothing has worked since
	round     time.Time           // when primaries were last forgiven for that
	fullRound time.Time           // and the others
	started   bool                // a selection was chosen
	passing   int                 // guards of the consensus that the filter allows
	events    []Event
}

// New makes an empty set that draws from rng.
func New(rng *rand.Rand) *Set {
	return &Set{rng: rng, params: ParamsOf(nil), reach: map[netdoc.Digest]reach{}, circuits: map[string]*circuit{}, waiting: map[string]*circuit{}}
}

// Load replaces the sampled guards by those of a stored state.
func (s *Set) Load(list List) { s.list = slices.Clone(list) }

// List is the sampled guards of all selections.
func (s *Set) List() List { return slices.Clone(s.list) }

// Selection is the name of the one in use.
func (s *Set) Selection() string { return s.selection }

// Primaries are the primary guards, best first, which is in the order of their sampling
// (guard-spec §4.4).
func (s *Set) Primaries() []netdoc.Digest { return slices.Clone(s.primaries) }

// Reachability is what is known of a guard.
func (s *Set) Reachability(id netdoc.Digest) Reachability { return s.reach[id].state }

// Take gives the events since the last call, in order. They are applied already.
func (s *Set) Take() []Event {
	out := s.events
	s.events = nil
	return out
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

// Same reports whether two sets are the same fold.
func (s *Set) Same(other *Set) bool {
	return slices.Equal(s.list, other.list) && s.selection == other.selection && maps.Equal(s.reach, other.reach)
}

// emit applies an event that was decided.
func (s *Set) emit(e Event) {
	if err := s.apply(e); err != nil {
		panic(err) // an event that its own state forbids
	}
	s.events = append(s.events, e)
}

func (s *Set) apply(e Event) error {
	if e.Kept() {
		err := s.list.Apply(e)
		if err == nil && e.Kind == Removed && !s.known(e.Guard) {
			delete(s.reach, e.Guard)
		}
		return err
	}
	r := s.reach[e.Guard]
	switch e.Kind {
	case Selected:
		s.selection = e.Selection
		return nil
	case Tried:
		r.lastTry = e.At
	case Reached:
		r.state, r.failingSince = Yes, time.Time{}
	case Failed:
		if r.failingSince.IsZero() {
			r.failingSince = e.At
		}
		r.state, r.lastTry = No, e.At
	case Retriable:
		r.state = Maybe
	}
	s.reach[e.Guard] = r
	return nil
}

// known: is the relay in any sample?
func (s *Set) known(id netdoc.Digest) bool {
	return slices.ContainsFunc(s.list, func(g Guard) bool { return g.Identity == id })
}

// SetFilter says which relays the user allows as guards; nil allows all. With a
// name, what is sampled under it is a selection of its own, as with bridges;
// without one, the filter has the selection Restricted if it leaves fewer of the
// consensus's guards than guard-meaningful-restriction-percent, so that the
// Default sample does not reflect what was forbidden at some time (§4.1.1).
// It counts from the next Update.
func (s *Set) SetFilter(allows func(*path.Relay) bool, name string) { s.allows, s.named = allows, name }

// Configure takes the user's settings, at once if there was an Update.
func (s *Set) Configure(settings Settings, now time.Time) {
	s.settings = settings
	if s.x != nil {
		s.Update(s.x, s.consensus, now)
	}
}

// Update takes a consensus (guard-spec §4.10), or a new filter. Only by one that is live are
// guards dropped or sampled: a clock that was set wrong would else cost all of them, for good
// (C tor likewise).
func (s *Set) Update(x *path.Index, params netdoc.Params, now time.Time) {
	s.x, s.consensus, s.params = x, params, ParamsOf(params).under(s.settings)
	s.choose()
	if x.Live(now) {
		for _, g := range s.List() {
			s.relist(g, now)
		}
	}
	s.expand(now)
	s.order()
}

// choose decides which selection is in use.
func (s *Set) choose() {
	guards := s.x.Count(path.Guard)
	s.passing = guards
	if s.allows != nil {
		s.passing = s.x.CountGuards(s.allows)
	}
	want := s.selection
	// Between 95 % and 105 % of the threshold it stays as it is (C tor's).
	threshold := guards * s.params.MeaningfulPercent
	switch {
	case s.named != "":
		want = s.named
	case !s.started || (want != Default && want != Restricted):
		want = Default
		if s.passing*100 < threshold {
			want = Restricted
		}
	case s.passing*10000 >= threshold*105:
		want = Default
	case s.passing*10000 < threshold*95:
		want = Restricted
	}
	if want != s.selection {
		s.emit(Event{Kind: Selected, Selection: want})
		s.primaries = nil
	}
	s.started = true
}

// Extreme reports whether the filter leaves so few of the consensus's guards that
// this client is told apart by them (EXTREME_RESTRICTION_FRAC).
func (s *Set) Extreme() bool {
	return s.x != nil && s.passing*100 < s.x.Count(path.Guard)*s.params.ExtremePercent
}

func (s *Set) relist(g Guard, now time.Time) {
	e := Event{Guard: g.Identity, Selection: g.Selection}
	r, ok := s.x.ByIdentity(g.Identity)
	switch listed := ok && r.CanGuard(); {
	case listed && !g.Unlisted.IsZero():
		e.Kind = Listed
		s.emit(e)
		g.Unlisted = time.Time{}
	case !listed && g.Unlisted.IsZero():
		e.Kind, e.At = Unlisted, s.blur(now, s.params.notBlur)
		s.emit(e)
		g.Unlisted = e.At
	}
	life, from := s.params.SampledLife, g.Sampled
	if !g.Confirmed.IsZero() {
		life, from = s.params.ConfirmedLife, g.Confirmed
	}
	e = Event{Kind: Removed, Guard: g.Identity, Selection: g.Selection}
	switch {
	case !g.Unlisted.IsZero() && now.Sub(g.Unlisted) > s.params.UnlistedLife:
		e.Reason = GoneTooLong
	case now.Sub(from) > life: // as it is today, not as it was when Expires was told
		e.Reason = Expired
	default:
		return
	}
	s.emit(e)
}

// blur is RAND(now, span) of guard-spec A.2, in whole seconds.
func (s *Set) blur(now time.Time, span time.Duration) time.Time {
	return now.Add(-time.Duration(s.rng.Int64N(int64(span)))).Truncate(time.Second).UTC().Round(0)
}

// expand samples until enough filtered guards are usable (guard-spec §4.2).
func (s *Set) expand(now time.Time) {
	for s.x != nil && s.x.Live(now) && s.countUsable() < s.params.MinFiltered {
		size := 0
		for _, g := range s.list {
			size += boolInt(g.Selection == s.selection)
		}
		if size >= s.params.maxSample(s.x.Count(path.Guard)) || len(s.list) >= maxList {
			return
		}
		r, err := s.x.PickGuard(s.rng, func(r *path.Relay) bool {
			// The filter counts before sampling only where the sample is the filter's.
			return s.list.index(s.selection, r.Identity) >= 0 || s.selection != Default && !s.allowed(r)
		})
		if err != nil {
			return
		}
		at := s.blur(now, s.params.sampleBlur)
		s.emit(Event{Kind: Sampled, Guard: r.Identity, Selection: s.selection, At: at, Expires: at.Add(s.params.SampledLife)})
	}
}

func (s *Set) countUsable() (n int) {
	for _, g := range s.filtered() {
		n += boolInt(s.reach[g.Identity].state != No)
	}
	return n
}

func (s *Set) allowed(r *path.Relay) bool { return s.allows == nil || s.allows(r) }

// filtered is FILTERED_GUARDS, best first: those confirmed, then the others, each as sampled.
func (s *Set) filtered() []Guard {
	var out []Guard
	if s.x == nil {
		return nil
	}
	for _, g := range s.list {
		if g.Selection != s.selection || !g.Unlisted.IsZero() {
			continue
		}
		if r, ok := s.x.ByIdentity(g.Identity); ok && r.CanGuard() && s.allowed(r) {
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b Guard) int { return boolInt(a.Confirmed.IsZero()) - boolInt(b.Confirmed.IsZero()) })
	return out
}

// order computes the primaries: these are confirmed ones before others, those that were
// primary before before those that were not, and then as sampled; their own order is that
// of the sampling alone.
func (s *Set) order() {
	var out []netdoc.Digest
	filtered := s.filtered()
	for rank := range 3 {
		for _, g := range filtered {
			confirmed, before := !g.Confirmed.IsZero(), slices.Contains(s.primaries, g.Identity)
			fits := [3]bool{confirmed, !confirmed && before, !confirmed && !before}[rank]
			if fits && len(out) < s.params.Primary {
				out = append(out, g.Identity)
			}
		}
	}
	slices.SortFunc(out, func(a, b netdoc.Digest) int { return s.list.index(s.selection, a) - s.list.index(s.selection, b) })
	s.primaries = out
}
