package connections

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/internal/relaydouble"
	"chive/messages"
	"chive/messages/chivev1"
)

// rig is the actor with somebody who wants connections of it, against relays of ours.
type rig struct {
	system  *actor.ActorSystem
	owner   *actor.PID   // what it is sent goes on to the actor under test
	answers chan any     // Ready and Failed
	ahead   atomic.Int64 // how far the actor's clock is, in nanoseconds

	mu     sync.Mutex
	told   []*chivev1.Envelope
	more   chan struct{} // capacity 1: an event came
	blamed []chivev1.Outcome
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{system: kernel.NewSystem(nil), answers: make(chan any, 16), more: make(chan struct{}, 1)}
	recorder := messages.NewRecorder("test", time.Now, 1024)
	stop := recorder.Observe(func(e *chivev1.Envelope) {
		r.mu.Lock()
		r.told = append(r.told, e)
		r.mu.Unlock()
		select {
		case r.more <- struct{}{}:
		default:
		}
	})
	r.owner = r.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Spawn(Props(Options{
				Recorder: recorder, Now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }, Rand: rand.New(rand.NewPCG(1, 2)),
				Unreachable: func(_ [20]byte, out chivev1.Outcome) {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.blamed = append(r.blamed, out)
				},
			}))
		case *Ready, *Failed:
			r.answers <- m
		case *Want:
			m.Reply = ctx.Self()
			ctx.Send(ctx.Children()[0], m)
		case *Forgive:
			ctx.Send(ctx.Children()[0], m)
		}
	}))
	t.Cleanup(func() {
		if err := kernel.StopAndWait(r.system, r.owner, time.Minute); err != nil {
			t.Error(err)
		}
		stop()
		kernel.Shutdown(r.system)
	})
	return r
}

func (r *rig) want(target connection.Target, token uint64) {
	r.system.Root.Send(r.owner, &Want{Target: target, Token: token})
}

// ready is the next answer, a link.
func (r *rig) ready(t *testing.T) *Ready {
	t.Helper()
	m := <-r.answers
	ready, ok := m.(*Ready)
	if !ok {
		t.Fatalf("%+v", m)
	}
	return ready
}

// spawn is another actor of the rig.
func (r *rig) spawn(t *testing.T, f actor.ReceiveFunc) *actor.PID {
	t.Helper()
	pid := r.system.Root.Spawn(kernel.Func(f))
	t.Cleanup(func() {
		if err := kernel.StopAndWait(r.system, pid, time.Minute); err != nil {
			t.Error(err)
		}
	})
	return pid
}

// spent: there were so many dials, and no relay is blamed.
func (r *rig) spent(t *testing.T, want int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := dials(r.told); n != want || len(r.blamed) > 0 {
		t.Errorf("%d dials, want %d; blamed %v", n, want, r.blamed)
	}
}

// until waits for what the events are to show.
func (r *rig) until(t *testing.T, what string, so func([]*chivev1.Envelope) bool) {
	t.Helper()
	late := time.After(3 * time.Minute)
	for {
		r.mu.Lock()
		told := slices.Clone(r.told)
		r.mu.Unlock()
		if so(told) {
			return
		}
		select {
		case <-r.more:
		case <-late:
			t.Fatalf("no %s", what)
		}
	}
}

func dials(told []*chivev1.Envelope) (n int) {
	for _, e := range told {
		if e.GetConnectionDialled() != nil {
			n++
		}
	}
	return n
}

func targetOf(relay *relaydouble.Relay) connection.Target {
	hop := relay.Hops()[0]
	return connection.Target{RSA: hop.RSA(), Ed25519: hop.Ed25519(), IPv4: hop.Addr()}
}

// On another network a connection that is open takes no new circuits, and one that is being made
// is made anew: who waited for it gets the new one, the old one is given up, and nobody is
// blamed.
func TestConnectionsOfAnotherNetwork(t *testing.T) {
	t.Run("open", func(t *testing.T) {
		target := targetOf(relaydouble.Start(t, relaydouble.Options{Hops: 1}))
		r := newRig(t)
		r.want(target, 1)
		first := r.ready(t)
		r.system.Root.Send(r.owner, &Forgive{Renew: true})
		r.want(target, 2)
		if second := r.ready(t); second.Token != 2 || second.Link == first.Link {
			t.Errorf("got %+v, and then %+v", first, second)
		}
		r.spent(t, 2)
	})
	t.Run("being made", func(t *testing.T) {
		silent := make(chan struct{})
		target := targetOf(relaydouble.Start(t, relaydouble.Options{Hops: 1, Script: []relaydouble.Fault{
			{At: relaydouble.AtTLS, Nth: 1, Do: func(m *relaydouble.Moment) bool {
				defer close(silent)
				return relaydouble.Stall(m)
			}},
		}}))
		r := newRig(t)
		r.want(target, 1)
		r.want(target, 2)
		<-silent
		r.system.Root.Send(r.owner, &Forgive{Renew: true})
		r.want(target, 3)
		links := map[*connection.Link]int{}
		for range 3 {
			links[r.ready(t).Link]++
		}
		if len(links) != 1 {
			t.Errorf("those who wait get %d connections", len(links))
		}
		r.until(t, "end of the first dial", func(told []*chivev1.Envelope) bool {
			return slices.ContainsFunc(told, func(e *chivev1.Envelope) bool {
				return e.GetConnectionFailed().GetOutcome() == chivev1.Outcome_OUTCOME_CANCELLED
			})
		})
		r.spent(t, 2)
	})
}

// asActor runs f in the turn of an actor.
func asActor(t *testing.T, f func(actor.Context)) {
	t.Helper()
	system, done := kernel.NewSystem(nil), make(chan struct{})
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			defer close(done)
			f(ctx)
		}
	}))
	<-done
	if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
		t.Error(err)
	}
	kernel.Shutdown(system)
}

// What a dial of before finds out, when it was given up already, is nobody's fault, and the
// proxy that it was to try is tried by another.
func TestDialThatWasLeft(t *testing.T) {
	d := newProxyDesk(t)
	d.end(d.begin(1), errAway)
	d.wait()
	probe := d.begin(1)
	if probe == nil || d.begin(2) != nil {
		t.Fatal("not one dial at a time")
	}
	d.conns[probe.id], d.relay(1).conn = probe, probe
	asActor(t, func(ctx actor.Context) {
		probe.pid = ctx.Self()
		d.forgive(ctx, &Forgive{Renew: true})
		if !probe.left || d.relay(1).conn != nil || !d.admitProxy() {
			t.Errorf("left %v, still shared %v, the proxy waits for %v", probe.left, d.relay(1).conn != nil, d.proxy.until)
		}
		d.connections.down(ctx, &connection.Down{ID: probe.id, Outcome: chivev1.Outcome_OUTCOME_TIMEOUT, Err: errSilent})
		d.conns[probe.id] = probe
		d.connections.down(ctx, &connection.Down{ID: probe.id, Outcome: chivev1.Outcome_OUTCOME_MACHINE_FAILED, Err: errSilent})
	})
	if d.machine != (machine{}) {
		t.Errorf("the machine: %+v", d.machine)
	}
	if d.proxy.failures != 1 || len(d.blamed) > 0 || d.relay(1).failures != 0 || len(d.conns) > 0 {
		t.Errorf("%+v, blamed %v", d.proxy, d.blamed)
	}
}
