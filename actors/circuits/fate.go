package circuits

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/messages/chivev1"
)

// What becomes of a circuit that was launched:
//
//	being built ── opened ──► usable            (its guard is as good as any)
//	     │            └─────► waits ── settle ──► usable, or closed
//	     └─ gone ──► buildFailed: its guard hears of it, from the connections, only when that to it failed

func (c *circuits) opened(ctx actor.Context, m *circuit.Opened) {
	r := c.records[m.ID]
	if r == nil {
		return
	}
	if r.isSet {
		c.setOpened(ctx, r)
		return
	}
	if r.late { // it opened just when it was told not to
		r.open = true
		c.built(r)
		c.listen()
		c.learn(c.times.Built(m.Took, true))
		c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_TIMEOUT)
		return
	}
	c.paced(r, m.Took)
	c.ended(r)
	c.failures, c.machineFails = 0, false
	c.built(r)
	if r.purpose == chivev1.Purpose_PURPOSE_GENERAL {
		c.listen()
		c.learn(c.times.Built(m.Took, r.slow))
	} else if r.hops == circuit.LearnAt {
		c.learnFrom(m.Took)
	}
	switch {
	case r.extended: // its guard was looked at when it was built
	case r.guarded():
		r.waits = !c.o.Guards.Opened(r.id, c.o.Now())
	default:
		c.o.Guards.Connected(r.first, c.o.Now())
	}
	if !r.waits {
		c.usable(ctx, r)
	}
	c.settle(ctx)
	c.serve(ctx)
}

// usable: streams may go on the circuit from now on, or it may be linked, or its owner may
// use it.
func (c *circuits) usable(ctx actor.Context, r *record) {
	r.open, r.waits, r.idleSince = true, false, c.o.Now()
	if r.set != nil {
		ctx.Send(r.set.pid, &circuit.LinkLeg{ID: r.id})
		return
	}
	switch {
	case r.wish == nil || r.closing:
	case r.purpose == stem:
		c.promised(ctx, r)
	default:
		c.ready(ctx, r)
	}
	if r.purpose == chivev1.Purpose_PURPOSE_GENERAL {
		c.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE, 100, "ready: a circuit is open")
	}
}

// settle has circuits wait no longer that guard-spec lets go.
func (c *circuits) settle(ctx actor.Context) {
	ready, tooLong := c.o.Guards.Settle(c.o.Now())
	for _, id := range ready {
		if r := c.records[id]; r != nil && r.waits {
			c.usable(ctx, r)
		}
	}
	for _, id := range tooLong {
		if r := c.records[id]; r != nil && r.waits {
			c.dismiss(ctx, r, chivev1.Outcome_OUTCOME_IDLE)
		}
	}
}

// resume tries at once what would have been tried later.
func (c *circuits) resume(ctx actor.Context) {
	c.atOnce()
	if c.closing == nil {
		c.settle(ctx)
		c.serve(ctx)
	}
}

// atOnce ends the pause after failures.
func (c *circuits) atOnce() {
	c.failures = 0
	if c.holdOff != nil {
		c.holdOff.Stop()
		c.holdOff = nil
	}
}

func (c *circuits) gone(ctx actor.Context, m *circuit.Gone) {
	r := c.records[m.ID]
	if r == nil {
		return
	}
	// What a set has not heard of when it ends is launched by nobody.
	c.legsGone(ctx, r, chivev1.Outcome_OUTCOME_REPLACED)
	c.forget(r)
	if r.isSet {
		c.setGone(r, m)
	} else {
		c.accounted(r, m)
		c.over(ctx, r, m)
		if !m.WasOpen && !r.closing {
			c.buildFailed(ctx, r, m)
		}
		c.o.Guards.Gone(r.id)
	}
	if c.maybeClosed(ctx) {
		return
	}
	c.serve(ctx)
}

func (c *circuits) forget(r *record) {
	delete(c.records, r.id)
	c.places.forget(r)
	c.identities.forget(r)
	c.stems.taken(r)
	c.parted(r)
	c.ended(r)
	if r.set != nil {
		c.legGone(r)
	}
}

// buildFailed counts a circuit that did not open. If it was the outgoing connection that
// failed, the guards have heard of it from the connections.
func (c *circuits) buildFailed(ctx actor.Context, r *record, m *circuit.Gone) {
	c.blame(r, m.Cause)
	machine := m.Outcome == chivev1.Outcome_OUTCOME_MACHINE_FAILED
	if machine || m.Dialled && !r.late { // how else one ends says nothing of dials
		c.machineFails = machine
	}
	if r.purpose == chivev1.Purpose_PURPOSE_DIRECTORY {
		c.refuseWaiting(r.id, m.Outcome)
		return
	}
	if r.wish != nil { // who chose its last hop could else hold the others up
		c.unreached(r, m)
		if machine { // which nobody chose, and no other can be built either
			c.failed(ctx, true)
		}
		return
	}
	c.unbuilt(r, m)
	switch {
	case r.late: // counted when it was late
	case m.Silent: // the next dials anew
	case m.Outcome == chivev1.Outcome_OUTCOME_SHUTDOWN, m.Outcome == chivev1.Outcome_OUTCOME_REPLACED:
	case m.Dialled: // that guard is not tried again soon, and the others are not to wait for it
	default:
		c.failed(ctx, notTried(m.Outcome))
	}
}

// blame names the event for which what waits for the circuit has to wait on.
func (c *circuits) blame(r *record, cause string) {
	for _, w := range c.queue {
		if w.on == r.id {
			w.blame = cause
		}
	}
}

// failed counts a circuit that was not built in time; after several in a row
// there is a pause. What fails together with all others pauses at once, and what fails so
// during the pause is no further failure.
func (c *circuits) failed(ctx actor.Context, together bool) {
	if together && c.holdOff != nil {
		return
	}
	c.failures++
	if c.failures < 3 && !together {
		return
	}
	if c.holdOff == nil {
		c.holdOff = kernel.After(ctx.ActorSystem(), ctx.Self(), pause.Delay(c.failures, c.o.Rand), &retry{})
	}
}

// notTried: the connection was refused without a dial, or nothing can be dialled at all, and
// so would the next be.
func notTried(out chivev1.Outcome) bool {
	switch out {
	case chivev1.Outcome_OUTCOME_BACKOFF, chivev1.Outcome_OUTCOME_QUARANTINED, chivev1.Outcome_OUTCOME_PROXY_FAILED,
		chivev1.Outcome_OUTCOME_MACHINE_FAILED:
		return true
	}
	return false
}
