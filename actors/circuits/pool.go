package circuits

import (
	"cmp"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/messages/chivev1"
	"chive/tor/path"
	"chive/tor/predict"
)

// pool says how many clean circuits are kept ready beside those for predicted ports
// (tor/predict): what the last period used, or the one under way, within the bounds of the
// settings. So in a period at most PoolMax more are built than are used.
type pool struct {
	since time.Time // when the period under way began
	used  int       // circuits that got their first stream in it
	want  int       // what the period before used
}

// demanded counts a circuit that gets its first stream.
func (p *pool) demanded(r *record) {
	if r.purpose == chivev1.Purpose_PURPOSE_GENERAL {
		p.used++
	}
}

// follow begins a new period when the one under way is over.
func (p *pool) follow(now time.Time, period time.Duration) {
	if now.Sub(p.since) >= period {
		p.since, p.want, p.used = now, p.used, 0
	}
}

// quietMost is how many are kept without demand: beyond it, what a busy period left is
// closed when the demand has gone.
const quietMost = 10

// bounds are how many clean circuits there should be now, and may be. Until the first
// has opened one is built in any case: it shows that the network can be used.
func (c *circuits) bounds() (least, most int) {
	if s := c.o.Settings; s.Prebuild {
		least = min(max(c.pool.want, c.pool.used, s.PoolMin), s.PoolMax)
		most = max(least, min(quietMost, s.PoolMax))
	}
	if c.progress < chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE {
		least, most = max(least, 1), max(most, 1)
	}
	return least, most
}

// predicted lists the ports that streams are likely to be asked for.
func (c *circuits) predicted() []predict.Port {
	if !c.o.Settings.Prebuild {
		return nil
	}
	return c.ports.Predicted(c.o.Now(), c.o.Settings.Relevance)
}

// clean lists the general circuits, open or being built, that no stream has
// used and none waits for. A conflux set counts as one when it is open.
func (c *circuits) clean() (out []*record) {
	for r := range c.places.clean {
		if r.purpose == chivev1.Purpose_PURPOSE_GENERAL && !r.tired && !r.waits && r.waiters == 0 && (!r.isSet || r.open) {
			out = append(out, r)
		}
	}
	return out
}

// prepare keeps clean circuits ready, so that a stream need not wait for one.
func (c *circuits) prepare(ctx actor.Context) {
	if !c.dir.Enough || c.holdOff != nil || c.hungry() {
		return
	}
	defer c.prepareSets(ctx)
	least, most := c.bounds()
	ports, clean := c.predicted(), c.clean()
	for c.building < c.mostBuilding() {
		port, missing := predict.Next(ports, clean, c.carries, least, most)
		if !missing {
			return
		}
		relays, err := c.cleanPath(ctx, port)
		if i := slices.Index(ports, port); err != nil && i >= 0 {
			ports = slices.Delete(ports, i, i+1) // no exit carries it, perhaps; others may be carried
			continue
		}
		if relays == nil {
			return
		}
		c.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_FIRST_CIRCUIT, 90, "building the first circuit")
		clean = append(clean, c.launchOver(ctx, relays))
	}
}

// hungry: does a stream wait for a circuit to an exit, or for a directory?
func (c *circuits) hungry() bool {
	return slices.ContainsFunc(c.queue, func(w *waiting) bool { return w.Spec.Onion == nil })
}

// cleanPath is the path of a circuit that nobody asked for; none if it may not be
// launched now. An error says that there is none for the port.
func (c *circuits) cleanPath(ctx actor.Context, port predict.Port) ([]*path.Relay, error) {
	relays, err := c.path(path.Want{Port: port.Number, IPv6: port.IPv6})
	if err != nil {
		return nil, err
	}
	if !c.room(relays) || !c.mayLaunch(ctx) {
		return nil, nil
	}
	return relays, nil
}

// likely is the port that the next stream is likely for.
func (c *circuits) likely() predict.Port {
	port, _ := predict.Next(c.predicted(), nil, c.carries, 1, 1)
	return port
}

// try builds a circuit that takes no stream, if one may be built now.
func (c *circuits) try(ctx actor.Context) {
	if c.closing != nil || c.holdOff != nil || c.building >= c.mostBuilding() {
		return
	}
	if relays, err := c.cleanPath(ctx, c.likely()); err == nil && relays != nil {
		c.launchOver(ctx, relays).tired = true // it ends when it has opened
	}
}

// shrink closes clean circuits beyond what there may be, the oldest first and conflux sets
// last.
// Without prebuilding none is built beyond what is needed, and what is there is
// used.
func (c *circuits) shrink(ctx actor.Context) {
	if !c.o.Settings.Prebuild {
		return
	}
	clean := c.clean()
	_, most := c.bounds()
	beyond := len(clean) - most
	if beyond <= 0 {
		return
	}
	slices.SortFunc(clean, func(a, b *record) int {
		switch {
		case a.isSet == b.isSet:
			return cmp.Or(a.launched.Compare(b.launched), cmp.Compare(a.id, b.id))
		case b.isSet:
			return -1
		}
		return 1
	})
	for _, r := range clean[:beyond] {
		c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_IDLE)
	}
}

// configure takes over new settings. Streams that are open stay where they are.
func (c *circuits) configure(ctx actor.Context, m *Configure) {
	old := c.o.Settings
	c.o.Settings = m.Settings
	if c.closing != nil {
		return
	}
	c.repad(ctx)
	c.layers(ctx)
	if m.Settings.BuildTimeout != old.BuildTimeout || m.Settings.Learn != old.Learn {
		c.retime(ctx)
	}
	if m.Rebuild {
		c.rebuild(ctx)
		c.atOnce() // what failed before says nothing any more
	}
	switch {
	case !c.confluxParams().Enabled:
		c.withoutConflux(ctx)
	case m.Settings.ConfluxUX != old.ConfluxUX:
		c.renewSets(ctx)
	}
	if m.Settings.Conflux != old.Conflux {
		c.sets.failures, c.sets.notBefore = 0, time.Time{}
	}
	for _, r := range c.records {
		c.retire(ctx, r) // MaxCircuitDirtiness may have become shorter
	}
	c.pool.follow(c.o.Now(), m.Settings.Period)
	c.shrink(ctx)
	c.serve(ctx)
}
