package circuits

import (
	crand "crypto/rand"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/conflux"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/predict"
)

// Conflux sets (proposal 329). A set is one circuit to streams: it is chosen, dirtied and
// retired like any. Its legs are counted and timed like circuits and carry nothing of
// their own; none is told to path bias, as C tor counts none.
//
//	set launched ── its legs open ── their guards settle ──► LinkLeg ──► opened: usable
//	      ▲                                 │ a leg is gone
//	      └──────────── LegWanted ──────────┘ while it is not linked

// Mode says whether conflux is used.
type Mode uint8

// The values of the option ConfluxEnabled.
const (
	Auto Mode = iota // as the consensus says
	Off
	On
)

// sets is what is known of all of them.
type sets struct {
	able, all int       // exits of the consensus, and those with conflux
	failures  int       // sets in a row that were not linked
	notBefore time.Time // of the next
}

// confluxParams are those of the consensus, with what the user says.
func (c *circuits) confluxParams() conflux.Params {
	p := c.network.conflux
	switch c.o.Settings.Conflux {
	case On:
		p.Enabled = true
	case Off:
		p.Enabled = false
	}
	return p
}

// prepareSets keeps sets ready, as many as the consensus says and the pool may hold, while
// any port is predicted.
func (c *circuits) prepareSets(ctx actor.Context) {
	ports := c.predicted()
	if len(ports) == 0 || c.progress < chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE || c.o.Now().Before(c.sets.notBefore) {
		return
	}
	p := c.confluxParams()
	want := min(p.Ready(c.sets.able, c.sets.all), c.o.Settings.PoolMax)
	var clean []*record
	there := 0
	for _, r := range c.records {
		if !r.isSet {
			continue
		}
		there++
		if !r.dirtied.IsZero() || r.tired || r.closing {
			continue
		}
		if r.open && len(r.legs) < p.Legs { // as slow as a circuit, and no stream has it yet
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
			continue
		}
		clean = append(clean, r)
	}
	for ; len(clean) < want && there < p.MaxSets && c.holdOff == nil && c.building+p.Legs <= c.mostBuilding(); there++ {
		port, _ := predict.Next(ports, clean, c.carries, want, want)
		set := c.launchSet(ctx, p, port, ports)
		if set == nil {
			return
		}
		clean = append(clean, set)
	}
}

// launchSet launches a set whose exit carries a port, or another of those predicted; nil
// if there is none, or its legs may not be launched now.
func (c *circuits) launchSet(ctx actor.Context, p conflux.Params, port predict.Port, ports []predict.Port) *record {
	legs, err := c.legs(p.Legs, port)
	for i := 0; err != nil && i < len(ports); i++ {
		legs, err = c.legs(p.Legs, ports[i])
	}
	if err != nil {
		c.setFailed() // the directory says so, for now
		ctx.Logger().Debug("no paths for a conflux set", "err", err)
		return nil
	}
	for _, relays := range legs {
		if !c.room(relays) {
			return nil
		}
	}
	for range legs {
		if !c.mayLaunch(ctx) {
			return nil
		}
	}
	r := &record{
		id: messages.RandomID(), purpose: chivev1.Purpose_PURPOSE_GENERAL, exit: legs[0][len(legs[0])-1],
		stable: true, launched: c.o.Now(), isSet: true,
	}
	c.records[r.id] = r
	c.places.clean[r] = struct{}{}
	options := circuit.SetOptions{
		Options: circuit.Options{
			ID: r.id, Flow: c.network.flow, Purpose: r.purpose, Recorder: c.o.Recorder, Now: c.o.Now, Limits: c.o.Limits,
		},
		Conflux: conflux.Config{Params: p, UX: c.o.Settings.ConfluxUX, Rand: crand.Reader},
	}
	for _, relays := range legs {
		leg := c.newLeg(r, relays)
		options.Legs = append(options.Legs, leg)
		options.Conflux.MaxRTT = max(options.Conflux.MaxRTT, leg.BuildTimeout)
	}
	r.pid = ctx.Spawn(circuit.SetProps(options))
	return r
}

// legs are paths of a set whose exit carries a port.
func (c *circuits) legs(n int, port predict.Port) ([][]*path.Relay, error) {
	return c.dir.Index.Legs(c.o.Rand, path.LegsRequest{
		Guards: c.o.Guards.Candidates(c.o.Now()), Legs: n,
		Want: path.Want{Port: port.Number, IPv6: port.IPv6, Stable: true},
	})
}

// newLeg counts a leg; its set launches it.
func (c *circuits) newLeg(set *record, relays []*path.Relay) circuit.Options {
	r := &record{
		id: messages.RandomID(), purpose: set.purpose, first: relays[0].Identity, exit: relays[len(relays)-1],
		launched: c.o.Now(), set: set, relays: relays,
	}
	o := c.options(r, hops(relays))
	c.began(r)
	set.legs = append(set.legs, r)
	return o
}

// legWanted gives a set another leg, or says that there is none.
func (c *circuits) legWanted(ctx actor.Context, id string) {
	set := c.records[id]
	if set == nil || set.closing || c.closing != nil {
		return // it ends
	}
	if leg := c.anotherLeg(ctx, set); leg != nil {
		ctx.Send(set.pid, &circuit.AddLeg{Options: *leg})
		return
	}
	ctx.Send(set.pid, &circuit.NoLeg{})
}

func (c *circuits) anotherLeg(ctx actor.Context, set *record) *circuit.Options {
	if set.tired || !c.dir.Enough || c.holdOff != nil || c.building >= c.mostBuilding() {
		return nil
	}
	var others []netdoc.Digest
	for _, leg := range set.legs {
		if leg.late || leg.closing {
			continue // it is none any more
		}
		for _, relay := range leg.relays[:len(leg.relays)-1] {
			others = append(others, relay.Identity)
		}
	}
	relays, err := c.dir.Index.Leg(c.o.Rand, path.LegRequest{
		Guards: c.o.Guards.Candidates(c.o.Now()), Exit: set.exit.Identity, Others: others, Want: path.Want{Stable: true},
	})
	if err != nil || !c.room(relays) || !c.mayLaunch(ctx) {
		return nil
	}
	o := c.newLeg(set, relays)
	return &o
}

// setOpened: streams may go on a set from now on.
func (c *circuits) setOpened(ctx actor.Context, r *record) {
	c.sets.failures = 0
	r.open, r.idleSince = true, c.o.Now()
	c.serve(ctx)
}

// setGone: a set that was never linked holds the next up.
func (c *circuits) setGone(r *record, m *circuit.Gone) {
	if m.WasOpen || r.closing || r.tired || m.Outcome == chivev1.Outcome_OUTCOME_SHUTDOWN {
		return
	}
	c.setFailed()
}

func (c *circuits) setFailed() {
	c.sets.failures++
	c.sets.notBefore = c.o.Now().Add(pause.Delay(c.sets.failures, c.o.Rand))
}

// legsGone forgets the legs of a set that nothing more is heard of.
func (c *circuits) legsGone(ctx actor.Context, set *record, out chivev1.Outcome) {
	for _, leg := range slices.Clone(set.legs) {
		c.gone(ctx, &circuit.Gone{ID: leg.id, Outcome: out, WasOpen: leg.open || leg.waits})
	}
}

// legGone forgets a leg.
func (c *circuits) legGone(r *record) {
	if i := slices.Index(r.set.legs, r); i >= 0 {
		r.set.legs = slices.Delete(r.set.legs, i, i+1)
	}
}

// withoutConflux ends the sets that nothing uses, and lets the others take no new streams.
func (c *circuits) withoutConflux(ctx actor.Context) {
	for _, r := range c.records {
		if !r.isSet || r.closing {
			continue
		}
		r.tired = true
		if r.streams == 0 {
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
		}
	}
}

// renewSets ends the sets that no stream has used: others take their place.
func (c *circuits) renewSets(ctx actor.Context) {
	for _, r := range c.records {
		if r.isSet && r.dirtied.IsZero() && !r.closing {
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
		}
	}
}

// setPanicked: the set's actor failed. Its streams and legs end themselves, and it is gone
// when they are (terminated).
func (c *circuits) setPanicked(r *record, m *kernel.ChildFailed) {
	c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, r.id, &chivev1.ActorFailed{Reason: m.Site()}))
	r.tired, r.closing, r.failed = true, true, true
	c.setFailed()
}

func (c *circuits) terminated(ctx actor.Context, pid *actor.PID) {
	for _, r := range c.records {
		if !r.failed || !r.pid.Equal(pid) {
			continue
		}
		c.legsGone(ctx, r, chivev1.Outcome_OUTCOME_INTERNAL)
		c.o.Recorder.Emit(ended(r))
		c.gone(ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL, WasOpen: r.open})
		return
	}
}

// ended is the terminal event of a circuit that cannot tell it.
func ended(r *record) *chivev1.Envelope {
	if r.open || r.waits {
		return messages.Event(chivev1.Kind_KIND_CIRCUIT, r.id, &chivev1.CircuitClosed{Outcome: chivev1.Outcome_OUTCOME_INTERNAL})
	}
	return messages.Event(chivev1.Kind_KIND_CIRCUIT, r.id, &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_INTERNAL})
}

// send gives a circuit a message; a leg gets it from its set.
func (r *record) send(ctx actor.Context, message any) {
	if r.set != nil {
		ctx.Send(r.set.pid, &circuit.ToLeg{ID: r.id, Message: message})
		return
	}
	ctx.Send(r.pid, message)
}
