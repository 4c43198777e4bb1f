package onions

import (
	"context"
	crand "crypto/rand"
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/onion/client"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// ErrNone is what a Fetch returns when the directory has no descriptor.
var ErrNone = errors.New("no such descriptor")

const (
	fetchTime = 30 * time.Second
	openTime  = time.Minute // beyond what circuits take; they have limits of their own
	// Introduction points and services get at least so long to answer, however fast
	// circuits are built, and at most so long: a service gives a rendezvous up after 30 s
	// itself, and another one should be tried before the application has gone.
	minAck, maxAck               = 5 * time.Second, 15 * time.Second
	minRendezvous, maxRendezvous = 10 * time.Second, 30 * time.Second
	// lookEvery is how often an actor without work looks whether it may end.
	lookEvery = time.Minute
)

// TimesOf are how long others may take, when a circuit of three hops may take limit (C
// tor's cutoffs).
func TimesOf(limit time.Duration) client.Times {
	return client.Times{
		Fetch: fetchTime, Open: openTime,
		Ack:        min(max(minAck, limit*14/6+time.Second), maxAck),
		Rendezvous: min(max(minRendezvous, limit*3+time.Second), maxRendezvous),
	}
}

type (
	authorize struct{ key *[32]byte }
	fetched   struct {
		id    client.ID
		text  []byte
		err   error
		began time.Time
	}
	solved struct {
		id    client.ID
		proof *pow.Proof
	}
	tick struct{}
)

// serviceActor reaches one service.
type serviceActor struct {
	s       *onions // its Options, and what all services share; the fields never change
	sv      *service
	name    string
	machine *client.Service
	network *network
	timer   *kernel.Timer

	meetings map[string]*meeting
	attempts map[client.ID]*meeting
	circuits map[client.ID]*opened
	work     map[client.ID]context.CancelFunc // fetches and searches
}

type meeting struct {
	id      string
	attempt client.ID
	began   time.Time
	cause   string // id of the last event about it
}

// opened is a circuit of the machine's.
type opened struct {
	what    client.Action // that asked for it
	meeting *meeting      // nil: a fetch
	ready   *circuits.Ready
	effort  uint32
	joining bool
	began   time.Time
}

func (s *onions) props(sv *service) *actor.Props {
	key := s.o.Settings.key(sv.address)
	return kernel.Props(func() actor.Actor {
		a := &serviceActor{
			s: s, sv: sv, name: sv.name, meetings: map[string]*meeting{}, attempts: map[client.ID]*meeting{},
			circuits: map[client.ID]*opened{}, work: map[client.ID]context.CancelFunc{},
		}
		a.machine = client.New(client.Options{
			Address: sv.address, Keys: crand.Reader, Rand: s.o.Rand(), AllowPrivate: s.o.Settings.AllowPrivate,
			Testing: s.o.Settings.Testing, Times: TimesOf(0),
		})
		a.machine.Authorize(key, s.o.Now())
		return a
	})
}

// Receive is the actor's table of messages.
func (a *serviceActor) Receive(ctx actor.Context) {
	now := a.s.o.Now()
	switch m := ctx.Message().(type) {
	case *circuits.Meet:
		a.meet(m, now)
	case *circuits.NoMeet:
		if w := a.meetings[m.Meeting]; w != nil {
			a.forget(w)
			a.machine.Cancel(w.attempt)
		}
	case *network:
		a.network = m
		a.machine.Update(m.view, now)
	case *authorize:
		a.machine.Authorize(m.key, now)
	case *Forget:
		a.machine.Forget(now)
	case *circuits.Ready:
		a.ready(ctx, m, now)
	case *circuits.Over:
		a.over(ctx, m, now)
	case *circuit.Heard:
		a.heard(m, now)
	case *circuit.Joined:
		a.joined(ctx, m, now)
	case *fetched:
		a.fetched(ctx, m, now)
	case *solved:
		a.endWork(m.id)
		a.machine.Solved(m.id, m.proof, now)
	case *tick:
		a.machine.Tick(now)
	case *actor.Stopping:
		a.stopping(ctx)
		return
	}
	a.perform(ctx)
	a.rest(ctx, now)
}

func (a *serviceActor) meet(m *circuits.Meet, now time.Time) {
	w := &meeting{id: m.Meeting, began: now, cause: m.Cause}
	w.attempt = a.machine.Connect(now)
	a.meetings[w.id], a.attempts[w.attempt] = w, w
}

func (a *serviceActor) forget(w *meeting) {
	delete(a.meetings, w.id)
	delete(a.attempts, w.attempt)
}

// perform does what the machine says.
func (a *serviceActor) perform(ctx actor.Context) {
	for _, action := range a.machine.Take() {
		switch m := action.(type) {
		case *client.Fetch:
			a.fetch(ctx, m)
		case *client.OpenRendezvous:
			a.open(ctx, m, a.attempts[m.Attempt], &circuits.Open{Token: uint64(m.ID), Purpose: chivev1.Purpose_PURPOSE_RENDEZVOUS, Avoid: m.Avoid})
		case *client.OpenIntroduction:
			a.open(ctx, m, a.attempts[m.Attempt], &circuits.Open{Token: uint64(m.ID), Purpose: chivev1.Purpose_PURPOSE_INTRODUCTION, Target: circuits.HopAt(m.Point)})
		case *client.Solve:
			a.solve(ctx, m)
		case *client.Introduce:
			if c := a.circuits[m.ID]; c != nil && c.ready != nil {
				ctx.Send(c.ready.PID, &circuit.Introduce{Message: m.Message})
			}
		case *client.Join:
			a.join(ctx, m)
		case *client.Close:
			a.close(ctx, m.ID)
		case *client.Failed:
			a.failed(ctx, m)
		}
	}
}

func (a *serviceActor) open(ctx actor.Context, what client.Action, w *meeting, m *circuits.Open) {
	a.circuits[client.ID(m.Token)] = &opened{what: what, meeting: w, began: a.s.o.Now()}
	m.Owner = ctx.Self()
	ctx.Send(a.s.o.Circuits, m)
}

func (a *serviceActor) fetch(ctx actor.Context, m *client.Fetch) {
	r := a.network.Directory(m.Directory)
	if r == nil { // of a view that was replaced
		a.machine.NotFetched(m.ID, a.s.o.Now())
		return
	}
	hop := circuits.HopOf(r)
	a.open(ctx, m, nil, &circuits.Open{Token: uint64(m.ID), Purpose: chivev1.Purpose_PURPOSE_ONION_DIRECTORY, Target: &hop})
}

// ready: a circuit is open, and can be used for what it is for.
func (a *serviceActor) ready(ctx actor.Context, m *circuits.Ready, now time.Time) {
	id := client.ID(m.Token)
	c := a.circuits[id]
	if c == nil {
		return // it was shut meanwhile
	}
	a.machine.SetTimes(TimesOf(m.Limit))
	c.ready = m
	switch what := c.what.(type) {
	case *client.Fetch:
		a.ask(ctx, id, what)
	case *client.OpenRendezvous:
		ctx.Send(m.PID, &circuit.Establish{Cookie: what.Cookie})
	case *client.OpenIntroduction:
		a.machine.Opened(id, now)
	}
}

// ask has the directory at the end of a circuit asked.
func (a *serviceActor) ask(ctx actor.Context, id client.ID, what *client.Fetch) {
	work, cancel := context.WithTimeout(context.Background(), fetchTime)
	a.work[id] = cancel
	root, self, fetch := ctx.ActorSystem().Root, ctx.Self(), a.s.o.Fetch
	began, at := a.s.o.Now(), a.circuits[id].ready.Last.IPv4
	kernel.Go("onion descriptor", func() {
		text, err := fetch(work, self, uint64(id), what.Blinded, at)
		root.Send(self, &fetched{id, text, err, began})
	}, func(p *kernel.Panic) { root.Send(self, &fetched{id: id, err: p, began: began}) })
}

func (a *serviceActor) fetched(ctx actor.Context, m *fetched, now time.Time) {
	c := a.circuits[m.id]
	if c == nil {
		return
	}
	out := chivev1.Outcome_OUTCOME_OK
	switch {
	case errors.Is(m.err, ErrNone):
		out = chivev1.Outcome_OUTCOME_ONION_NOT_FOUND
	case errors.Is(m.err, context.DeadlineExceeded):
		out = chivev1.Outcome_OUTCOME_TIMEOUT
	case m.err != nil:
		out = chivev1.Outcome_OUTCOME_DIRECTORY_STATUS
	}
	a.told(out, c, now)
	a.close(ctx, m.id)
	if m.err != nil {
		a.machine.NotFetched(m.id, now)
		return
	}
	a.machine.Fetched(m.id, m.text, now)
}

// told reports a fetch, to all who wait for it.
func (a *serviceActor) told(out chivev1.Outcome, c *opened, now time.Time) {
	e := &chivev1.ServiceDescriptorFetched{Outcome: out, Took: messages.Took(now.Sub(c.began)), Address: a.sv.address.Host()}
	if f, ok := c.what.(*client.Fetch); ok {
		if r := a.network.Directory(f.Directory); r != nil {
			e.Directory = r.Identity[:]
		}
	}
	var cause string
	for _, w := range a.meetings {
		cause = w.cause
	}
	id := a.s.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_ONION, a.name, e), cause, ""))
	for _, w := range a.meetings {
		w.cause = id
	}
}

// heard: the last hop of a circuit said something.
func (a *serviceActor) heard(m *circuit.Heard, now time.Time) {
	id := client.ID(m.Token)
	c := a.circuits[id]
	if c == nil || c.ready == nil {
		return
	}
	switch m.What {
	case torcircuit.RendezvousEstablished:
		a.machine.Established(id, circuits.PointOf(&c.ready.Last), now)
	case torcircuit.IntroduceAck:
		out := chivev1.Outcome_OUTCOME_OK
		if status, err := relaymsg.ParseIntroduceAck(m.Data); err != nil || status != relaymsg.AckSuccess {
			out = chivev1.Outcome_OUTCOME_ONION_INTRODUCTION
		}
		a.introduced(c, out)
		a.machine.Acked(id, m.Data, now)
	case torcircuit.Rendezvous:
		a.machine.Met(id, m.Data, now)
	}
}

func (a *serviceActor) introduced(c *opened, out chivev1.Outcome) {
	if c.meeting == nil || c.ready == nil {
		return
	}
	c.meeting.cause = a.s.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_ONION, a.name, &chivev1.ServiceIntroduced{
		Outcome: out, CircuitId: c.ready.ID, Effort: pow.Rounded(c.effort), Address: a.sv.address.Host(),
	}), c.meeting.cause, ""))
}

// over: a circuit is no more, or could not be had.
func (a *serviceActor) over(ctx actor.Context, m *circuits.Over, now time.Time) {
	id := client.ID(m.Token)
	c := a.circuits[id]
	if c == nil {
		return
	}
	a.dropped(id)
	switch {
	case c.joining:
		a.notMet(ctx, c.meeting, chivev1.Outcome_OUTCOME_ONION_RENDEZVOUS, now)
	case c.meeting == nil:
		a.told(m.Outcome, c, now)
		if c.ready == nil {
			a.machine.NotReached(id, now)
		} else {
			a.machine.NotFetched(id, now)
		}
	default:
		if _, ok := c.what.(*client.OpenIntroduction); ok {
			a.introduced(c, m.Outcome)
		}
		a.machine.Lost(id, m.Outcome == chivev1.Outcome_OUTCOME_TIMEOUT, now)
	}
}

// join makes the service the last hop.
func (a *serviceActor) join(ctx actor.Context, m *client.Join) {
	c := a.circuits[m.ID]
	if c == nil || c.ready == nil || c.meeting == nil { // the machine joins only what is there
		panic("onions: joined on a circuit that is not there")
	}
	if i := a.circuits[m.Introduced]; i != nil {
		a.introduced(i, chivev1.Outcome_OUTCOME_OK) // the service was quicker than the answer
	}
	c.joining = true
	delete(a.attempts, m.Attempt)
	ctx.Send(c.ready.PID, &circuit.Join{Keys: m.Keys, Increment: m.SendmeIncrement})
}

// joined hands the circuit over to those who wait for it.
func (a *serviceActor) joined(ctx actor.Context, m *circuit.Joined, now time.Time) {
	id := client.ID(m.Token)
	c := a.circuits[id]
	if c == nil || !c.joining {
		return
	}
	delete(a.circuits, id)
	w := c.meeting
	if a.meetings[w.id] == nil { // nobody waits any more
		ctx.Send(a.s.o.Circuits, &circuits.Shut{Owner: ctx.Self(), Token: m.Token})
		return
	}
	a.forget(w)
	w.cause = a.s.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_ONION, a.name, &chivev1.ServiceJoined{
		CircuitId: c.ready.ID, Took: messages.Took(now.Sub(w.began)), CongestionControl: m.CongestionControl, Address: a.sv.address.Host(),
	}), w.cause, ""))
	ctx.Send(ctx.Parent(), &circuits.Met{Meeting: w.id, Owner: ctx.Self(), Token: m.Token, Cause: w.cause})
}

// failed ends a meeting that will not be.
func (a *serviceActor) failed(ctx actor.Context, m *client.Failed) {
	if w := a.attempts[m.Attempt]; w != nil {
		a.notMet(ctx, w, outcome.FromOnion(m.Cause), a.s.o.Now())
	}
}

func (a *serviceActor) notMet(ctx actor.Context, w *meeting, out chivev1.Outcome, now time.Time) {
	if a.meetings[w.id] == nil {
		return
	}
	a.forget(w)
	w.cause = a.s.o.Recorder.Emit(messages.Because(messages.Event(chivev1.Kind_KIND_ONION, a.name, &chivev1.ServiceFailed{
		Outcome: out, Took: messages.Took(now.Sub(w.began)), Address: a.sv.address.Host(),
	}), w.cause, ""))
	ctx.Send(ctx.Parent(), &circuits.NotMet{Meeting: w.id, Outcome: out, Cause: w.cause})
}

// close ends a circuit, a fetch or a search that the machine wants no more.
func (a *serviceActor) close(ctx actor.Context, id client.ID) {
	if a.circuits[id] != nil {
		ctx.Send(a.s.o.Circuits, &circuits.Shut{Owner: ctx.Self(), Token: uint64(id)})
	}
	a.dropped(id)
}

// dropped forgets a circuit that is over, or that is not needed any more.
func (a *serviceActor) dropped(id client.ID) {
	a.endWork(id)
	delete(a.circuits, id)
}

func (a *serviceActor) endWork(id client.ID) {
	if cancel := a.work[id]; cancel != nil {
		cancel()
		delete(a.work, id)
	}
}

// rest sets the timer for the machine's next deadline; an actor without work looks now and
// then whether it may end.
func (a *serviceActor) rest(ctx actor.Context, now time.Time) {
	a.timer.Stop()
	if len(a.meetings) == 0 && len(a.circuits) == 0 && a.machine.Idle(now) {
		ctx.Send(ctx.Parent(), &idle{a.name})
	}
	wait := lookEvery
	if next := a.machine.Next(); !next.IsZero() {
		wait = next.Sub(now)
	}
	a.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), wait, &tick{})
}

// stopping lets go of the circuits that it has not given away: what it was told last it may not
// have heard, and nobody else closes them.
func (a *serviceActor) stopping(ctx actor.Context) {
	a.timer.Stop()
	for _, cancel := range a.work {
		cancel()
	}
	ctx.Send(a.s.o.Circuits, &circuits.Orphaned{Owner: ctx.Self()})
}
