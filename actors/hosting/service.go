package hosting

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/keystore"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	torcircuit "chive/tor/circuit"
	"chive/tor/onion/host"
	"chive/tor/onion/keyfile"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// publishTime bounds one upload with everything.
const publishTime = 60 * time.Second

// testingEffort is how often a service of a private network looks at the effort to suggest.
const testingEffort = 5 * time.Second

type (
	published struct {
		id  host.UploadID
		err error
	}
	tick struct{}
)

// use is what one circuit of the service is for: one of the three is set.
type use struct {
	point   host.PointID
	upload  *host.Upload
	meeting *host.Meet
	ready   *circuits.Ready
	met     bool   // the client is there
	number  uint32 // of the client whose circuit it is
	began   time.Time
}

// serviceActor hosts one service.
type serviceActor struct {
	h       *hosting // its Options, which never change
	e       *entry
	service config.OnionService
	store   *store
	floors  host.Floors
	machine *host.Service
	sound   bool // the machine finished what it began
	network *network
	timer   *kernel.Timer
	rules   *rules

	token    uint64
	uses     map[uint64]*use // by token
	points   map[host.PointID]uint64
	uploads  map[host.UploadID]uint64
	meetings map[host.MeetingID]uint64
	work     map[host.UploadID]context.CancelFunc
	waiting  *atomic.Int64  // introductions on their way here
	dropped  *atomic.Uint64 // those that were too many for that
	tally    tally
	shares   shares
	closed   bool      // there are no introduction points, and will be none
	quiet    bool      // it was told that nobody is on his way
	metAt    time.Time // the last client; zero: none was
	taken    int       // introductions of this turn that were not rejected at once
	health   health
}

func (h *hosting) props(e *entry) *actor.Props {
	service := e.service
	return kernel.Props(func() actor.Actor {
		a := &serviceActor{
			h: h, e: e, service: service, rules: newRules(service, &e.meter, h.o.Now), uses: map[uint64]*use{},
			points: map[host.PointID]uint64{}, uploads: map[host.UploadID]uint64{}, meetings: map[host.MeetingID]uint64{},
			work: map[host.UploadID]context.CancelFunc{}, waiting: new(atomic.Int64), dropped: new(atomic.Uint64),
		}
		a.rules.own = e.own
		a.shares.away = h.away.Load() || e.going.Load()
		a.closed = h.closed.Load()
		a.quiet = a.closed
		return a
	})
}

// Receive is the actor's table of messages.
func (a *serviceActor) Receive(ctx actor.Context) {
	now := a.h.o.Now()
	switch ctx.Message().(type) {
	case *actor.Started:
		if err := a.start(ctx, now); err != nil {
			ctx.Send(ctx.Parent(), supervisor.Failed{PID: ctx.Self(), Err: err})
		}
		return
	case *actor.Stopping:
		a.stopping(ctx)
		return
	case *actor.Stopped:
		return
	}
	if a.machine == nil { // it could not start, and stops
		if m, ok := ctx.Message().(kernel.Droppable); ok {
			m.Drop()
		}
		return
	}
	a.sound, a.taken = false, 0
	a.overrun(now)
	a.hear(ctx, now)
	a.perform(ctx)
	a.tend(ctx, now)
	a.tendFinish(ctx, now)
	a.sound = true
	a.e.meter.introductions.Add(uint64(max(a.taken, 0)))
	a.tally.flush(a, now)
	a.share(ctx, now)
	a.e.show(a.look())
	a.rest(ctx, now)
}

func (a *serviceActor) hear(ctx actor.Context, now time.Time) {
	switch m := ctx.Message().(type) {
	case *circuits.OnionNetwork:
		a.network = networkOf(m, &a.h.o)
		a.turnInTurn()
		a.machine.SetView(&a.network.View, now)
	case *configured:
		a.configure(ctx, m.service, now)
	case *circuits.Ready:
		a.ready(ctx, m, now)
	case *circuits.Over:
		a.over(m, now)
	case *circuits.Building:
		a.building(m, now)
	case *circuit.Proof:
		a.prove(ctx, m, now)
	case *circuit.Heard:
		a.heard(ctx, m, now)
	case *circuit.Joined:
		a.joined(m, now)
	case *Role:
		a.take(m, now)
	case *finish:
		a.finish(ctx)
	case *attend:
		a.attend(ctx, m, now)
	case *published:
		a.endWork(m.id)
		if token, ok := a.uploads[m.id]; ok {
			a.shut(ctx, token)
			a.machine.Uploaded(m.id, m.err, now)
		}
	case *tick:
		a.machine.Tick(now)
	default:
		a.hearHealth(ctx, now)
	}
}

// start opens the service's folder. What it holds is small, and nothing can be done before.
func (a *serviceActor) start(ctx actor.Context, now time.Time) error {
	keys, err := a.unlock(now)
	if err != nil {
		return err
	}
	if a.floors, err = a.store.Floors(); err != nil {
		return err
	}
	settings, err := a.settings()
	if err != nil {
		return err
	}
	machine, err := host.New(a.store.Address, keys, crand.Reader, settings, a.floors, now)
	if err != nil {
		return err
	}
	state, err := a.store.TakeState()
	if err == nil && state != nil {
		err = machine.Restore(state, now)
	}
	if err != nil { // it has other introduction points then
		a.h.o.Log.Warn("the introduction points of an onion service could not be kept", "folder", a.service.Dir, "err", err)
	}
	a.machine = machine
	if err := a.beginHealth(now); err != nil {
		a.machine = nil
		return err
	}
	a.beginInTurn()
	a.sound = true
	if err := a.store.NoteName(a.e.id, now); err != nil {
		a.h.o.Log.Warn("chive onion why will not know this run of an onion service", "folder", a.service.Dir, "err", err)
	}
	a.emit(messages.Event(chivev1.Kind_KIND_HOSTING, a.e.id, &chivev1.HostingStarted{
		Restricted: settings.Restricted, Address: a.store.Address.Host(),
	}))
	a.share(ctx, now)
	a.e.show(a.look())
	a.rest(ctx, now)
	return nil
}

// settings are those of the machine, with the clients as the folder lists them now. A list
// that cannot be read, or of which nothing can be used, opens the service to nobody.
func (a *serviceActor) settings() (host.Config, error) {
	s := &a.service
	c := host.Config{Points: s.IntroductionPoints, Shared: s.Shared}
	if s.IntroDoS {
		c.DoS = &relaymsg.DoSParams{Rate: uint32(s.IntroDoSRate), Burst: uint32(s.IntroDoSBurst)}
	}
	if s.PoW {
		c.PoW = &host.PoW{Rate: s.PoWRate, Burst: s.PoWBurst}
		if s.Shared {
			copy(c.Seeds[:], a.store.Common().Derive(seedsLabel, len(c.Seeds)))
		}
		if a.h.o.Testing {
			c.PoW.Period = testingEffort
		}
	}
	if s.OnionBalance {
		var err error
		if c.Masters, err = a.store.Masters(); err != nil {
			return c, err
		}
	}
	clients, skipped, err := a.store.Clients()
	if err != nil {
		return c, fmt.Errorf("%s: %w", keyfile.ClientsDir, err)
	}
	if a.machine == nil || a.e.own != nil { // else whoever changed the configuration was told
		keystore.WarnOf(a.h.o.Log, "a file of authorised clients holds no key and is passed over", filepath.Join(s.Dir, keyfile.ClientsDir), skipped)
	}
	c.Restricted = keystore.Restricted(clients, skipped)
	c.Clients = slices.Collect(maps.Values(clients))
	return c, nil
}

func (a *serviceActor) configure(ctx actor.Context, service config.OnionService, now time.Time) {
	shared := a.service.Shared
	a.service = service
	a.rules.set(service)
	err := a.rekey(now)
	var settings host.Config
	if err == nil {
		settings, err = a.settings()
	}
	if err == nil {
		err = a.machine.Configure(settings, now)
	}
	if err == nil && service.Shared != shared {
		err = a.admit(now)
	}
	if err != nil {
		// What could not be read must not be guessed: it is started anew, and tried again.
		ctx.Send(ctx.Parent(), supervisor.Failed{PID: ctx.Self(), Err: err})
	}
}

// rest sets the timer for the machine's next deadline.
func (a *serviceActor) rest(ctx actor.Context, now time.Time) {
	a.timer.Stop()
	next := a.machine.Next()
	if due := a.tally.due(); !due.IsZero() && (next.IsZero() || due.Before(next)) {
		next = due
	}
	if due := a.health.judge.Next(); !a.closed && !due.IsZero() && (next.IsZero() || due.Before(next)) {
		next = due
	}
	if due := a.begins(); a.closed && !a.quiet && due.After(now) && (next.IsZero() || due.Before(next)) {
		next = due
	}
	if !next.IsZero() {
		a.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), next.Sub(now), &tick{})
	}
}

// stopping keeps the introduction points for the next start, unless it stops for a
// failure.
func (a *serviceActor) stopping(ctx actor.Context) {
	a.timer.Stop()
	for id, cancel := range a.work {
		a.unbound(id)
		cancel()
	}
	if a.e.own != nil && a.e.own.isLeaving() {
		a.leave(ctx)
	}
	a.unshare(ctx)
	ctx.Send(a.h.o.Circuits, &circuits.Orphaned{Owner: ctx.Self()})
	if a.machine == nil {
		return
	}
	a.leaveHealth(ctx)
	out := chivev1.Outcome_OUTCOME_INTERNAL
	if a.sound {
		out = chivev1.Outcome_OUTCOME_SHUTDOWN
		state, err := a.machine.State()
		if err == nil {
			err = a.store.SaveState(state)
		}
		if err != nil {
			a.h.o.Log.Warn("the introduction points of an onion service could not be kept", "folder", a.service.Dir, "err", err)
		}
	}
	a.emit(messages.Event(chivev1.Kind_KIND_HOSTING, a.e.id, &chivev1.HostingStopped{Outcome: out, Address: a.store.Address.Host()}))
}

func (a *serviceActor) emit(e *chivev1.Envelope) string { return a.h.o.Recorder.Emit(e) }

// prove: the circuit to an introduction point says what the message must prove.
func (a *serviceActor) prove(ctx actor.Context, m *circuit.Proof, now time.Time) {
	u := a.uses[m.Token]
	if u == nil || u.point == 0 || u.ready == nil {
		return
	}
	message := a.machine.Opened(u.point, m.KH, now)
	if message == nil {
		a.shut(ctx, m.Token)
		return
	}
	ctx.Send(u.ready.PID, &circuit.EstablishIntro{Message: message, Waiting: a.waiting, Dropped: a.dropped})
}

// heard: an introduction point said something. What it must not say makes the machine
// close its circuit.
func (a *serviceActor) heard(ctx actor.Context, m *circuit.Heard, now time.Time) {
	if m.What == torcircuit.Introduce2 {
		a.waiting.Add(-1)
	}
	u := a.uses[m.Token]
	if u == nil || u.point == 0 {
		return
	}
	switch m.What {
	case torcircuit.IntroEstablished:
		a.machine.Established(u.point, m.Data, now)
	case torcircuit.Introduce2:
		a.tally.arrived(u.point)
		a.taken++
		a.health.came.note(u.point, now)
		a.machine.Introduce2(u.point, m.Data, now)
	}
}

func (a *serviceActor) joined(m *circuit.Joined, now time.Time) {
	u := a.uses[m.Token]
	if u == nil || u.meeting == nil || u.met {
		return
	}
	delete(a.meetings, u.meeting.ID)
	if u.meeting.Visit { // it is no client, and sends nothing
		a.machine.Met(u.meeting.ID, now)
		return
	}
	u.met, a.metAt = true, now
	a.tally.met++
	a.e.meter.toRendezvous.observe(now.Sub(u.began))
	a.health.judge.Met(now)
	met := &chivev1.HostingMet{CircuitId: u.ready.ID, CongestionControl: m.CongestionControl, Effort: pow.Rounded(u.meeting.Effort)}
	if a.service.ExportCircuitID {
		met.Number = u.number
	}
	a.emit(messages.Event(chivev1.Kind_KIND_HOSTING, a.e.id, met))
	a.machine.Met(u.meeting.ID, now)
}
