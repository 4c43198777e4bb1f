package hosting

import (
	"crypto/ecdh"
	crand "crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/onion/client"
	"chive/tor/onion/heal"
	"chive/tor/onion/host"
)

// Whether the service is up is judged by tor/onion/heal from visits (prober.go) and from
// what its machine and the node know; what that wants done the machine does.

type (
	// Verify has a service visited now. Tell is called once, in an actor's turn.
	Verify struct {
		Service string // its id, for this boot
		Tell    func(Verification, error)
	}
	// Shaken tells every service that something happened to the machine that the node runs
	// on.
	Shaken struct{ Why heal.Why }
)

var (
	// ErrNotHosted: there is no such service, or it does not run just now.
	ErrNotHosted = errors.New("no such onion service runs")
	// ErrEnding: the service is not visited any more, after Finish.
	ErrEnding = errors.New("the node is about to end: its onion services meet nobody new")
)

// Drop implements kernel.Droppable: there is nobody who would visit.
func (m *Verify) Drop() { m.Tell(Verification{}, ErrNotHosted) }

// Verification is what one visit found. It has relays in it, for people and scripts of this
// machine.
type Verification struct {
	OK        bool          `json:"ok"`
	Outcome   string        `json:"outcome"`
	Stage     string        `json:"stage"`  // the last begun
	Reason    string        `json:"reason"` // of the visit
	At        time.Time     `json:"at"`     // its end
	Took      time.Duration `json:"took_ns"`
	Stages    []StageTime   `json:"stages"` // those that succeeded
	Period    uint64        `json:"period,omitempty"`
	Point     uint64        `json:"introduction_point,omitempty"`
	Relay     string        `json:"relay,omitempty"`     // of the introduction point
	Directory string        `json:"directory,omitempty"` // fingerprint
	Arrived   bool          `json:"introduction_arrived"`
	Cause     string        `json:"cause,omitempty"`
}

// Health is what is known of whether a service is up.
type Health struct {
	Verdict  string        `json:"verdict"`           // starting, up, impaired, broken or unverified
	Cause    string        `json:"cause,omitempty"`   // of the last three
	Verified time.Time     `json:"verified,omitzero"` // when somebody was last met through what is published
	By       string        `json:"by,omitempty"`      // client or probe
	Step     string        `json:"step,omitempty"`    // the last, while it is not up
	Steps    int           `json:"steps,omitempty"`   // made since it broke
	Since    time.Time     `json:"since,omitzero"`    // it is not up
	Next     time.Time     `json:"next,omitzero"`     // visit
	Last     *Verification `json:"last,omitempty"`    // visit
	Every    time.Duration `json:"period_ns"`         // OnionVerifyPeriod
}

// health is a service's side of it.
type health struct {
	judge   *heal.Service
	key     [32]byte // x25519, private: reads the descriptor of a restricted service
	waiting []func(Verification, error)
	answers []func(Verification, error) // of the visit under way
	flying  *heal.Probe
	arrived bool
	crowded bool
	came    inflow
	last    *Verification
	cause   string // id of the last event
	looked  time.Time
}

// lookAgain is how long what the machine knows is not looked at for introductions alone:
// of those there may be many a second.
const lookAgain = time.Second

// settling is how long a new descriptor may take to all directories, from when the circuit to the
// last of them is begun, before a visit that finds another counts.
const settling = 20 * time.Second

// health passes on what is about whether services are up.
func (h *hosting) health(ctx actor.Context, message any) {
	switch m := message.(type) {
	case *Verify:
		i := slices.IndexFunc(h.entries, func(e *entry) bool { return e.id == m.Service })
		if i < 0 || h.children.Pass(ctx, m.Service, m) != nil {
			m.Drop()
		}
	case *Shaken:
		h.toAll(ctx, m)
	case *visit:
		if h.children.Pass(ctx, proberName, m) != nil { // it is being started anew
			ctx.Send(m.owner, &visitsLost{})
		}
	case *left:
		_ = h.children.Pass(ctx, proberName, m) // one that is started anew knows of none
	}
}

func (h *hosting) verifyEvery(ctx actor.Context, period time.Duration) {
	if h.period.Swap(int64(period)) != int64(period) {
		h.toAll(ctx, &verifyEvery{period}) // one that is started anew begins with it
	}
}

// toAll gives a message to every service that runs.
func (h *hosting) toAll(ctx actor.Context, m any) {
	for _, e := range h.entries {
		_ = h.children.Pass(ctx, e.id, m)
	}
}

// beginHealth begins to watch over the service; its machine is there.
func (a *serviceActor) beginHealth(now time.Time) error {
	a.health = health{judge: heal.New(time.Duration(a.h.period.Load()), a.h.o.Rand(), now)}
	a.health.judge.Note(heal.Restarted, now)
	return a.admit(now)
}

// admit lets the node's own visits read the descriptor of a restricted service. That of a
// shared one is made by any of its nodes, so all have one key for it.
func (a *serviceActor) admit(now time.Time) error {
	key, err := ecdh.X25519().GenerateKey(crand.Reader)
	if a.service.Shared {
		key, err = ecdh.X25519().NewPrivateKey(a.store.Common().Derive(visitsLabel, 32))
	}
	if err != nil {
		return fmt.Errorf("key to read the descriptor with: %w", err)
	}
	public := [32]byte(key.PublicKey().Bytes())
	a.health.key = [32]byte(key.Bytes())
	a.machine.AdmitVisits(&public, now)
	return nil
}

// hearHealth handles what is about it.
func (a *serviceActor) hearHealth(ctx actor.Context, now time.Time) {
	switch m := ctx.Message().(type) {
	case *verifyEvery:
		a.health.judge.SetPeriod(m.period, now)
	case *Verify:
		a.machine.Begin(now) // somebody waits for it
		a.health.waiting = append(a.health.waiting, m.Tell)
		a.health.judge.Ask(now)
	case *Shaken:
		a.machine.Tick(now) // its times of day may be others now
		a.health.judge.Shaken(m.Why, now)
	case *expecting:
		if err := a.machine.Expect(m.message); err != nil {
			panic(err) // it was made by this module
		}
	case *visited:
		a.visited(m, now)
	case *visitsLost:
		a.health.waiting = append(a.health.answers, a.health.waiting...)
		a.health.answers, a.health.flying = nil, nil
		a.health.judge.Lost(now)
	}
}

// tend has the judge look, and does what it says.
func (a *serviceActor) tend(ctx actor.Context, now time.Time) {
	if a.closed { // that nobody is met is as it should be
		for _, tell := range a.health.waiting {
			tell(Verification{}, ErrEnding)
		}
		a.health.waiting = nil
		return
	}
	if m, ok := ctx.Message().(*circuit.Heard); ok && m.What == torcircuit.Introduce2 && now.Sub(a.health.looked) < lookAgain && a.health.flying == nil {
		return
	}
	a.health.looked = now
	a.h.o.Signals.tell(a.health.judge.Note)
	a.health.judge.Tick(now)
	for range 8 { // each step changes what is known, and is followed by none at once
		a.health.judge.Look(a.facts(now), now)
		commands := a.health.judge.Take()
		if len(commands) == 0 {
			return
		}
		for _, c := range commands {
			a.heed(ctx, c, now)
		}
		a.perform(ctx)
	}
}

// facts are what the machine and the node know.
func (a *serviceActor) facts(now time.Time) heal.Facts {
	r := a.machine.Reach()
	f := heal.Facts{
		Live: a.network != nil && now.Before(a.network.Until), Away: a.h.o.Signals.away(), NoClients: r.NoClients,
		Directories: r.Directories, Settling: r.Flying && (now.Sub(r.Built) < settling || now.Sub(r.Began) < settling),
	}
	if f.Elsewhere = r.Elsewhere; f.Elsewhere {
		f.Published, f.Settling = a.shares.offered(r.Points, now)
	}
	f.Settling = f.Settling || r.Queued
	for _, d := range r.Directories {
		f.Published = f.Published || slices.Contains(r.Stored, d)
	}
	for _, id := range r.Points {
		f.Points = append(f.Points, uint64(id))
	}
	for _, id := range r.Down {
		f.Down = append(f.Down, uint64(id))
	}
	return f
}

func (a *serviceActor) heed(ctx actor.Context, c heal.Command, now time.Time) {
	switch c := c.(type) {
	case heal.Probe:
		a.visit(ctx, c)
	case heal.Do:
		a.machine.Begin(now) // what is wrong waits for no turn
		id := host.PointID(c.Point)
		switch c.Step {
		case heal.NewCircuits:
			a.machine.RenewPoint(id, now)
		case heal.Republish:
			a.machine.Republish(now)
		case heal.Rotate:
			a.machine.RotatePoint(id, now)
		case heal.Rebuild:
			a.machine.ForgetAll(now)
		}
	case heal.Told:
		a.toldHealth(c.Event)
	}
}

// visit asks for one.
func (a *serviceActor) visit(ctx actor.Context, p heal.Probe) {
	h := &a.health
	h.flying, h.arrived, h.crowded = &p, false, false
	if p.Full {
		h.answers, h.waiting = h.waiting, nil
	}
	m := &visit{owner: ctx.Self(), probe: p, address: a.store.Address, key: h.key, what: client.Visit{Directory: p.Target.Directory}}
	if auth, ok := a.machine.AuthKey(host.PointID(p.Target.Point)); ok {
		m.what.Point = auth
	}
	if r := a.machine.Reach(); slices.Contains(r.Stored, p.Target.Directory) {
		m.least = r.Revision
	}
	ctx.Send(ctx.Parent(), m)
}

// visited takes what a visit found.
func (a *serviceActor) visited(m *visited, now time.Time) {
	h := &a.health
	if h.flying == nil || h.flying.ID != m.result.ID {
		return
	}
	r := m.result
	if m.auth != [32]byte{} {
		r.Tried.Point = uint64(a.machine.PointOf(m.auth))
	}
	if !r.OK && r.Stage > heal.Descriptor && m.auth != [32]byte{} && r.Tried.Point == 0 && !a.service.Shared {
		// What the directory gave names a point that is none of the service's any more.
		r.Stage, r.Answer, m.out = heal.Descriptor, true, chivev1.Outcome_OUTCOME_DOCUMENT_STALE
	}
	r.Arrived = h.arrived
	r.Crowded = r.Crowded || h.crowded && r.Stage == heal.Meeting || r.Stage == heal.Introduce && a.limited(now)
	v := &Verification{
		OK: r.OK, Outcome: messages.OutcomeName(m.out), Stage: r.Stage.String(), Reason: h.flying.Why.String(), At: now, Took: m.took,
		Stages: m.times, Period: m.period, Point: r.Tried.Point, Arrived: r.Arrived,
	}
	e := &chivev1.HostingProbed{
		Outcome: m.out, Stage: chivev1.ProbeStage(r.Stage), Reason: h.flying.Why.String(), Took: messages.Took(m.took), Period: m.period,
		Point: r.Tried.Point, Arrived: r.Arrived,
	}
	if id, ok := a.relayOf(r.Tried.Point); ok {
		v.Relay, e.Relay = fmt.Sprintf("%X", id), id
	}
	if d := r.Tried.Directory; d != [32]byte{} {
		e.Directory = d[:]
		if a.network != nil {
			if relay := a.network.shared.Directory(d); relay != nil {
				v.Directory = relay.Identity.String()
			}
		}
	}
	if !r.OK {
		cause := a.health.judge.Suspects(&r, now)
		v.Cause, e.Cause = cause.String(), chivev1.HealthCause(cause)
	}
	h.cause = a.emit(messages.Event(chivev1.Kind_KIND_HOSTING, a.e.id, e))
	h.flying, h.last = nil, v
	for _, tell := range h.answers {
		tell(*v, nil)
	}
	h.answers = nil
	h.judge.Probed(r, now)
}

// relayOf is the identity of an introduction point's relay.
func (a *serviceActor) relayOf(point uint64) ([]byte, bool) {
	for _, p := range a.machine.Status().Points {
		if point != 0 && uint64(p.ID) == point {
			return p.Relay[:], true
		}
	}
	return nil, false
}

// toldHealth emits what the judge tells.
func (a *serviceActor) toldHealth(e heal.Event) {
	const kind = chivev1.Kind_KIND_HOSTING
	id := a.e.id
	var out *chivev1.Envelope
	switch e := e.(type) {
	case heal.Verified:
		out = messages.Event(kind, id, &chivev1.HostingVerified{By: metBy(e.ByClient)})
	case heal.Doubted:
		out = messages.Event(kind, id, &chivev1.HostingUnverified{Cause: chivev1.HealthCause(e.Cause)})
	case heal.Found:
		a.h.o.Log.Warn("an onion service is not up", "folder", a.service.Dir, "cause", e.Cause.String(), "partly", e.Target != heal.Target{})
		f := &chivev1.HostingBroken{
			Cause: chivev1.HealthCause(e.Cause), Stage: chivev1.ProbeStage(e.Stage), Point: e.Target.Point, Partly: e.Target != heal.Target{},
		}
		if a.health.last != nil && !a.health.last.OK {
			f.Outcome, _ = messages.ParseOutcome(a.health.last.Outcome) // it is one
		}
		f.Relay, _ = a.relayOf(e.Target.Point)
		if d := e.Target.Directory; d != [32]byte{} {
			f.Directory = d[:]
		}
		out = messages.Event(kind, id, f)
	case heal.Healing:
		a.h.o.Log.Info("an onion service is being healed", "folder", a.service.Dir, "step", e.Step.String(), "cause", e.Cause.String(), "attempt", e.Attempt)
		out = messages.Event(kind, id, &chivev1.HostingHealing{
			Step: chivev1.HealStep(e.Step), Cause: chivev1.HealthCause(e.Cause), Attempt: uint32(e.Attempt), Point: e.Point,
		})
	case heal.Healed:
		a.h.o.Log.Info("an onion service is up again", "folder", a.service.Dir, "after", e.After.Round(time.Second), "steps", e.Steps)
		out = messages.Event(kind, id, &chivev1.HostingHealed{
			After: messages.Took(e.After), Cause: chivev1.HealthCause(e.Cause), Step: chivev1.HealStep(e.Last), Steps: uint32(e.Steps),
		})
	default:
		return
	}
	a.health.cause = a.emit(messages.Because(out, a.health.cause, ""))
}

// toldMachine takes the machine's facts that are evidence.
func (a *serviceActor) toldMachine(e host.Event, now time.Time) {
	j := a.health.judge
	switch e := e.(type) {
	case host.Visited:
		a.health.arrived = true
		a.taken--
		a.tally.visited(e.Point)
	case host.Published, host.PointUp:
		j.Shaken(heal.Changed, now)
	case host.Refused:
		if errors.Is(e.Cause, host.ErrCrowded) {
			a.health.crowded = true
			j.Note(heal.Overload, now)
		}
	case host.MeetingLost:
		if errors.Is(e.Cause, host.ErrGaveWay) { // so many are not met that others would not be
			j.Note(heal.Overload, now)
		}
	}
}

// overrun takes introductions that came faster than they can be looked at. They were thrown
// away unread, the host's own visit among them perhaps: that is no fault of an
// introduction point, and with others the flood would not be less.
func (a *serviceActor) overrun(now time.Time) {
	n := a.dropped.Swap(0)
	if n == 0 {
		return
	}
	a.tally.all.clients += n // whoever they were of
	a.tally.refuse(host.ErrCrowded, n)
	a.e.meter.rejected[byCrowd].Add(n)
	a.health.crowded = true
	a.health.judge.Note(heal.Overload, now)
}

// leaveHealth: the actor stops.
func (a *serviceActor) leaveHealth(ctx actor.Context) {
	ctx.Send(ctx.Parent(), &left{ctx.Self()})
	err := ErrNotHosted
	if a.closed {
		err = ErrEnding
	}
	for _, tell := range append(a.health.answers, a.health.waiting...) {
		tell(Verification{}, err)
	}
	a.health.answers, a.health.waiting = nil, nil
}

// wellness is the health for people.
func (a *serviceActor) wellness() *Health {
	s := a.health.judge.Status()
	out := &Health{
		Verdict: s.Verdict.String(), Verified: s.Verified, Steps: s.Steps, Since: s.Since, Next: s.Next, Last: a.health.last, Every: a.health.judge.Period(),
	}
	if s.Cause != 0 {
		out.Cause = s.Cause.String()
	}
	if s.Step != 0 {
		out.Step = s.Step.String()
	}
	if !s.Verified.IsZero() {
		out.By = metBy(s.ByClient)
	}
	return out
}

// metBy says who met the service.
func metBy(client bool) string {
	if client {
		return "client"
	}
	return "probe"
}
