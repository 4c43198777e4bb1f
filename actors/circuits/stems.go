package circuits

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/pathbias"
)

// A stem is a circuit that is built before it is known which onion service it will be for:
// guard, layers and one relay. Who asks for a circuit gets it with one hop more, or as it is
// when that relay is to be the rendezvous point (tor/path says for what it may do). It is
// given away once, and carried nothing before: so it can join nobody with anybody. What was
// asked for has no say in it but that a relay stands in no path twice.
//
//	being built ─ opened ─► kept ─ taken ─► extended, or at once: its owner's
//	     └─ promised ───────────────┘ (who asks while it is being built waits for it)
//
// They are kept only while onion services are visited or hosted: mostly as many as the last
// NewCircuitPeriod used, at least leastStems (C tor: 3), at most CircuitPoolMaxSize. One whose
// guard or layers are not those of a path that would be made now is closed.

const stem = chivev1.Purpose_PURPOSE_ONION_STEM

// leastStems is what one visit takes: for the directory, the introduction and the rendezvous.
const leastStems = 3

// stems says how many are kept.
type stems struct {
	pool
	last  time.Time // when one was of use last
	spare []*record // that nobody was given or promised, oldest first
}

// fromStem says what is made of stems. What is done for a service at its leisure, and stays
// for a day, is not.
func fromStem(p chivev1.Purpose) bool {
	switch p {
	case chivev1.Purpose_PURPOSE_ONION_DIRECTORY, chivev1.Purpose_PURPOSE_INTRODUCTION,
		chivev1.Purpose_PURPOSE_RENDEZVOUS, chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS:
		return true
	}
	return false
}

// demanded counts a wish.
func (s *stems) demanded(p chivev1.Purpose, now time.Time) {
	if fromStem(p) {
		s.used++
		s.last = now
	}
}

// wanted is how many there should be.
func (s *stems) wanted(o *Settings, now time.Time) int {
	if !o.Prebuild || s.last.IsZero() || now.Sub(s.last) >= o.Relevance {
		return 0
	}
	return min(max(s.want, s.used, leastStems), o.PoolMax)
}

// aim is what a circuit is for, be it only promised.
func (r *record) aim() chivev1.Purpose {
	if r.purpose == stem && r.wish != nil {
		return r.wish.Purpose
	}
	return r.purpose
}

// good says whether a stem may still be given away.
func (r *record) good() bool { return !r.tired && !r.closing && !r.late }

// good counts the spare ones that may be given away, and those of them that are being built.
func (s *stems) good() (n, building int) {
	for _, r := range s.spare {
		if r.good() {
			n++
			if !r.open && !r.waits {
				building++
			}
		}
	}
	return n, building
}

// taken: a stem is spare no more.
func (s *stems) taken(r *record) {
	s.spare = slices.DeleteFunc(s.spare, func(o *record) bool { return o == r })
}

// bearing is by what paths are made now.
type bearing struct {
	guards []netdoc.Digest
	uses   func(guard netdoc.Digest) bool
	layers path.Layers
}

func (c *circuits) bearing(ctx actor.Context) (b bearing, ok bool) {
	if !c.dir.Enough || c.dir.Unusable {
		return b, false
	}
	b.guards, b.uses, b.layers = c.o.Guards.Candidates(c.o.Now()), c.o.Guards.Uses, c.layers(ctx)
	return b, len(b.guards) > 0
}

// holds says whether a stem would still be built as it is.
func (b *bearing) holds(r *record) bool {
	return b.uses(r.first) && path.ForStem.Check(r.stem, b.guards, b.layers) == nil
}

// takeStem gives a stem to who asks for a circuit, or promises one that is being built;
// false: there is none for it.
func (c *circuits) takeStem(ctx actor.Context, m *Open) bool {
	if !fromStem(m.Purpose) {
		return false
	}
	if len(c.stems.spare) == 0 {
		return false
	}
	b, ok := c.bearing(ctx)
	if !ok {
		return false
	}
	r := c.stemFor(&b, m)
	switch {
	case r == nil:
		return false
	case r.open:
		c.assign(ctx, r, m)
	default:
		r.wish = m
		c.stems.taken(r)
	}
	return true
}

// stemFor is the oldest open stem that may become what is asked for, else the oldest that is
// being built; nil: there is none.
func (c *circuits) stemFor(b *bearing, m *Open) (building *record) {
	for _, r := range c.stems.spare {
		switch {
		case !r.good() || r.waits || building != nil && !r.open || !c.becomes(b, r, m):
		case r.open:
			return r
		default:
			building = r
		}
	}
	return building
}

// becomes says whether a stem may become what is asked for.
func (c *circuits) becomes(b *bearing, r *record, m *Open) bool {
	purpose := shapes[m.Purpose]
	given, ok := purpose.FromStem(b.layers.Mode())
	if !ok || given != (m.Target != nil) || !b.holds(r) {
		return false
	}
	whole := r.stem
	if given {
		whole = append(slices.Clone(whole), netdoc.Digest(m.Target.RSA))
	} else if _, fit := c.dir.Index.FitRendezvous(whole[len(whole)-1]); !fit || m.Avoid == whole[len(whole)-1] {
		return false
	}
	return purpose.Check(whole, b.guards, b.layers) == nil
}

// assign makes an open stem what is asked for: becomes has said that it may be that.
func (c *circuits) assign(ctx actor.Context, r *record, m *Open) {
	c.stems.taken(r)
	r.purpose, r.wish = m.Purpose, m
	a := &circuit.Assign{Purpose: m.Purpose, Owner: m.Owner, Token: m.Token, Flow: c.network.onion, Hop: m.Target}
	if m.Target == nil {
		point, _ := c.dir.Index.FitRendezvous(r.stem[len(r.stem)-1])
		r.last = HopOf(point)
		ctx.Send(r.pid, a)
		c.ready(ctx, r)
		return
	}
	c.o.Bias.Ended(r.id, pathbias.ByUs) // the new last hop may end it as it likes (C tor likewise)
	r.last, r.open, r.extended, r.far = *m.Target, false, true, true
	r.hops++
	a.Limit, _ = c.limits(r)
	ctx.Send(r.pid, a)
}

// promised: a stem is open for which somebody waits. What paths are made by may have changed
// while it was built.
func (c *circuits) promised(ctx actor.Context, r *record) {
	m := r.wish
	r.wish = nil
	if b, ok := c.bearing(ctx); ok && !r.tired && c.becomes(&b, r, m) {
		c.assign(ctx, r, m)
		return
	}
	c.opens = append([]*Open{m}, c.opens...)
	c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
}

// stemLost has who waits for a stem that is no more get another circuit; false: it was none
// or nobody waits for it.
func (c *circuits) stemLost(r *record) bool {
	if r.purpose != stem || r.wish == nil {
		return false
	}
	c.opens = append([]*Open{r.wish}, c.opens...)
	r.wish = nil
	return true
}

// prepareStems builds what is missing.
func (c *circuits) prepareStems(ctx actor.Context) {
	want := c.stems.wanted(&c.o.Settings, c.o.Now())
	if want == 0 || c.holdOff != nil || c.hungry() || c.building >= c.mostBuilding() {
		return
	}
	have, building := c.stems.good()
	for ; have < want && building < c.mostStems() && c.building < c.mostBuilding(); have++ {
		if !c.launchStem(ctx) {
			return
		}
		building++
	}
}

// mostStems is how many may be built at once: clients of our services make demand, and with
// those that are built for them already they must not keep us from the network.
func (c *circuits) mostStems() int { return max(c.mostBuilding()/4, 1) }

// launchStem builds one more; false: it may not be built now.
func (c *circuits) launchStem(ctx actor.Context) bool {
	b, ok := c.bearing(ctx) // with a guard of its own
	if !ok {
		return false
	}
	relays, err := c.dir.Index.OnionPath(c.o.Rand, path.OnionRequest{Purpose: path.ForStem, Guards: b.guards, Layers: b.layers})
	if err != nil || !c.room(relays) || !c.mayLaunch(ctx) {
		return false
	}
	ids := make([]netdoc.Digest, len(relays))
	for i, r := range relays {
		ids[i] = r.Identity
	}
	if err := path.ForStem.Check(ids, b.guards, b.layers); err != nil {
		ctx.Logger().Debug("no path", "err", err)
		return false
	}
	r := c.launchFrom(ctx, stem, hops(relays), &Open{})
	r.stem = ids
	c.stems.spare = append(c.stems.spare, r)
	return true
}

// sweepStems follows the demand, and closes what is too much or would not be built any more.
func (c *circuits) sweepStems(ctx actor.Context) {
	now := c.o.Now()
	for _, r := range c.records {
		if r.purpose == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION && r.open {
			c.stems.last = now // a client may come at any time
			break
		}
	}
	c.stems.follow(now, c.o.Settings.Period)
	if len(c.stems.spare) == 0 {
		return
	}
	want := c.stems.wanted(&c.o.Settings, now)
	if !c.o.Settings.Prebuild {
		want = len(c.stems.spare) // none is built any more; what is there is used
	}
	b, ok := c.bearing(ctx)
	have, _ := c.stems.good()
	beyond := have - want
	for _, r := range c.stems.spare {
		if r.good() && (beyond > 0 || ok && !b.holds(r)) {
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_IDLE)
			beyond--
		}
	}
}
