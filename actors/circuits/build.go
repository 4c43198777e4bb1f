package circuits

import (
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/predict"
)

// errNotYet: the directory is not complete enough for paths.
var errNotYet = errors.New("not enough directory information yet")

// choose finds an open circuit for a request: one that was used and whose isolation it
// fits, so that who asks keeps an exit, else a clean one. Conflux sets come before single
// circuits. (In C tor a clean set comes before a circuit that was used.)
func (c *circuits) choose(w *waiting) *record {
	for _, sets := range [...]bool{true, false} {
		used := c.places.best(&w.Spec.Isolation, func(r *record) bool {
			return r.isSet == sets && r.open && c.suits(r, w) && c.fresh(r)
		})
		if used != nil {
			return used
		}
	}
	var clean *record
	for r := range c.places.clean {
		if r.open && (clean == nil || r.before(clean)) && c.suits(r, w) {
			clean = r
		}
	}
	return clean
}

// before: is a clean circuit to be used before another?
func (r *record) before(than *record) bool {
	if r.isSet != than.isSet {
		return r.isSet
	}
	return r.launched.Before(than.launched)
}

// suits: could the circuit carry the stream, isolation apart?
func (c *circuits) suits(r *record, w *waiting) bool {
	if r.tired || r.purpose != w.Spec.Purpose {
		return false
	}
	if w.Directory != nil {
		return r.first == w.Directory.RSA
	}
	return c.carries(r, predict.Port{Number: w.want.Port, IPv6: w.want.IPv6}) &&
		!slices.Contains(w.Spec.Avoid, r.exit.Identity) && c.mayExit(r.exit.Identity, w.Spec)
}

// carries: does the exit of a circuit carry a port, and live its relays long if
// connections to it do?
func (c *circuits) carries(r *record, port predict.Port) bool {
	return r.exit.Allows(port.Number, port.IPv6) && (r.stable || !c.dir.Index.LongLived(port.Number))
}

// fresh: may the circuit still take new streams?
func (c *circuits) fresh(r *record) bool {
	return r.dirtied.IsZero() || c.o.Now().Sub(r.dirtied) < c.o.Settings.Dirtiness
}

// sharedBuild finds a circuit being built for others that would do, the oldest. It does not
// look at who waits: in an outage these are thousands.
func (c *circuits) sharedBuild(w *waiting) (oldest *record) {
	for r := range c.places.clean {
		if r.waiters > 0 && !r.open && !r.waits && !r.late && (oldest == nil || r.launched.Before(oldest.launched)) &&
			r.promised.Fits(&w.Spec.Isolation) && c.suits(r, w) {
			oldest = r
		}
	}
	return oldest
}

func (c *circuits) launchFor(ctx actor.Context, w *waiting) error {
	if w.Directory != nil {
		if !c.mayLaunch(ctx) {
			return errNotYet
		}
		c.waitOn(w, c.launch(ctx, chivev1.Purpose_PURPOSE_DIRECTORY, []torcircuit.Hop{*w.Directory}, nil))
		return nil
	}
	if spare := c.spare(w); spare != nil {
		c.waitOn(w, spare)
		return nil
	}
	relays, err := c.planFor(w)
	if err != nil {
		return err
	}
	if !c.room(relays) || !c.mayLaunch(ctx) {
		w.plan = relays
		return errNotYet
	}
	w.plan = nil
	c.waitOn(w, c.launchOver(ctx, relays))
	return nil
}

// spare finds a circuit being built that nobody waits for.
func (c *circuits) spare(w *waiting) *record {
	for r := range c.places.clean {
		if !r.isSet && !r.open && !r.waits && !r.late && r.waiters == 0 && c.suits(r, w) {
			return r
		}
	}
	return nil
}

func (c *circuits) path(want path.Want) ([]*path.Relay, error) {
	if !c.dir.Enough {
		return nil, errNotYet
	}
	return c.pathBy(c.o.Guards.Candidates(c.o.Now()), want, nil)
}

func (c *circuits) pathBy(guards []netdoc.Digest, want path.Want, avoid []netdoc.Digest) ([]*path.Relay, error) {
	if len(guards) == 0 {
		return nil, errNotYet
	}
	relays, err := c.dir.Index.Path(c.o.Rand, path.Request{Guards: guards, Want: want, AvoidExits: avoid})
	if notYet(err) {
		return nil, errNotYet
	}
	return relays, err
}

// notYet: the guard's microdescriptor is being fetched (guard-spec §4.12).
func notYet(err error) bool {
	var none *path.NoPathError
	return errors.As(err, &none) && none.Rule == path.RuleMicrodescriptor
}

// guarded: does the circuit go through one of the guards?
func (r *record) guarded() bool { return r.purpose != chivev1.Purpose_PURPOSE_DIRECTORY }

func hops(relays []*path.Relay) []torcircuit.Hop {
	out := make([]torcircuit.Hop, len(relays))
	for i, r := range relays {
		out[i] = HopOf(r)
	}
	return out
}

// launchOver launches a circuit for users.
func (c *circuits) launchOver(ctx actor.Context, relays []*path.Relay) *record {
	r := c.launch(ctx, chivev1.Purpose_PURPOSE_GENERAL, hops(relays), relays[len(relays)-1])
	r.stable = !slices.ContainsFunc(relays, func(relay *path.Relay) bool { return !relay.Flags.Has(netdoc.FlagStable) })
	return r
}

func (c *circuits) launch(ctx actor.Context, purpose chivev1.Purpose, path []torcircuit.Hop, exit *path.Relay) *record {
	return c.launchWith(ctx, purpose, path, exit, nil)
}

func (c *circuits) launchWith(ctx actor.Context, purpose chivev1.Purpose, path []torcircuit.Hop, exit *path.Relay, onion *circuit.Onion) *record {
	r := &record{
		id: messages.RandomID(), purpose: purpose, first: path[0].RSA, hops: len(path), exit: exit, launched: c.o.Now(),
	}
	o := c.options(r, path)
	o.Onion = onion
	r.pid = ctx.Spawn(circuit.Props(o))
	if onion == nil { // else it is its owner's
		c.places.clean[r] = struct{}{}
	}
	c.began(r)
	return r
}

func (c *circuits) options(r *record, path []torcircuit.Hop) circuit.Options {
	limit, last := c.limits(r)
	return circuit.Options{
		ID: r.id, Path: path, Window: c.network.window, Flow: c.network.flow, Purpose: r.purpose, Connections: c.o.Connections,
		BuildTimeout: limit, CloseTimeout: last, Heard: c.times.heard, Recorder: c.o.Recorder, Now: c.o.Now, Limits: c.o.Limits, Totals: &c.totals,
	}
}

// began counts a circuit that is being built.
func (c *circuits) began(r *record) {
	c.records[r.id] = r
	c.building++
	if r.guarded() {
		c.pace(r.first).building++
		c.o.Guards.Launched(r.id, r.first, r.launched)
	}
	if r.purpose == chivev1.Purpose_PURPOSE_GENERAL {
		c.times.Launched(r.launched)
	}
}

// tick closes what is too old and refuses what waited too long, or for nobody.
func (c *circuits) tick(ctx actor.Context) {
	c.ticker = kernel.After(ctx.ActorSystem(), ctx.Self(), tickEvery, &tick{})
	now := c.o.Now()
	for _, r := range c.records {
		c.retire(ctx, r)
	}
	left := c.queue[:0]
	for _, w := range c.queue {
		switch {
		case w.Spec.Left(now):
			c.cancelled(ctx, w)
		case now.Sub(w.since) >= c.o.Settings.SocksTimeout:
			c.awaits(ctx, w, nil)
			c.giveUp(w, c.lateOutcome(w))
		default:
			left = append(left, w)
		}
	}
	clear(c.queue[len(left):])
	c.queue = left
	if c.closing == nil {
		c.keep()
		c.sweep(now)
		c.o.Bias.Tick()
		c.test(ctx)
		c.settle(ctx)
		c.pool.follow(now, c.o.Settings.Period)
		c.shrink(ctx)
		c.sweepStems(ctx)
		c.serve(ctx)
	}
}

// cancel takes a request out of the queue.
func (c *circuits) cancel(ctx actor.Context, id string) {
	for i, w := range c.queue {
		if w.Spec.ID == id {
			c.queue = slices.Delete(c.queue, i, i+1)
			c.cancelled(ctx, w)
			return
		}
	}
}

// cancelled ends a request that nobody waits for any more.
func (c *circuits) cancelled(ctx actor.Context, w *waiting) {
	w.over = true
	c.awaits(ctx, w, nil)
	c.waitOn(w, nil)
	c.refuse(w.Spec, chivev1.Outcome_OUTCOME_CANCELLED)
}

func (c *circuits) lateOutcome(w *waiting) chivev1.Outcome {
	switch {
	case w.Spec.Last != chivev1.Outcome_OUTCOME_UNSPECIFIED:
		return w.Spec.Last
	case c.proxyDown:
		return chivev1.Outcome_OUTCOME_PROXY_FAILED
	case c.machineFails:
		return chivev1.Outcome_OUTCOME_MACHINE_FAILED
	case !c.dir.Enough && w.Directory == nil:
		return chivev1.Outcome_OUTCOME_NO_DIRECTORY
	default:
		return chivev1.Outcome_OUTCOME_TIMEOUT
	}
}

// retire closes a circuit that has no stream and will get none.
func (c *circuits) retire(ctx actor.Context, r *record) {
	if !r.open && !r.waits || r.streams > 0 || r.closing || r.set != nil || r.owned() {
		return
	}
	idle := c.o.Now().Sub(r.idleSince)
	switch {
	case r.tired, !c.fresh(r):
	case r.waits:
		return
	case r.purpose == chivev1.Purpose_PURPOSE_DIRECTORY && idle > directoryLife:
	case r.dirtied.IsZero() && idle > c.cleanLife():
	default:
		return
	}
	c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_IDLE)
}

// cleanLife is how long an unused circuit is kept. While build times are learned
// it makes room for another soon.
func (c *circuits) cleanLife() time.Duration {
	if c.times.Wanting() {
		return min(c.o.Settings.CleanLife, learningLife)
	}
	return c.o.Settings.CleanLife
}

// dismiss closes a circuit that nothing uses.
func (c *circuits) dismiss(ctx actor.Context, r *record, why chivev1.Outcome) {
	r.tired, r.closing = true, true
	c.identities.forget(r) // its exit is nobody's from now on
	r.send(ctx, &circuit.Close{Outcome: why})
}

// wantOf says what exit a stream needs.
func wantOf(spec *stream.Spec) path.Want { return path.Want{Port: spec.Port, IPv6: spec.IPv6} }

// noPathOutcome names why no circuit can be built for a request: what the
// exits said before, if any was asked.
func noPathOutcome(err error, last chivev1.Outcome) chivev1.Outcome {
	if last != chivev1.Outcome_OUTCOME_UNSPECIFIED {
		return last
	}
	var none *path.NoPathError
	if errors.As(err, &none) && none.Rule == path.RulePort {
		return chivev1.Outcome_OUTCOME_EXIT_POLICY
	}
	return chivev1.Outcome_OUTCOME_NO_PATH
}
