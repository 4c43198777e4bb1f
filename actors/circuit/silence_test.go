package circuit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	torcircuit "chive/tor/circuit"
	"chive/tor/conflux"
)

const lost = chivev1.Outcome_OUTCOME_CONNECTION_LOST

// A circuit that is being built when its guard falls silent ends, and says why: it is no failure
// of the network.
func TestBuildingOnASilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system, born, gone := kernel.NewSystem(nil), make(chan *actor.PID, 1), make(chan *Gone, 1)
		quiet := system.Root.Spawn(kernel.Func(func(actor.Context) {}))
		parent := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				born <- ctx.Spawn(Props(Options{
					ID: "c", Path: []torcircuit.Hop{{}}, Connections: quiet, Recorder: messages.NewRecorder("n", time.Now, 64), Now: time.Now,
					BuildTimeout: time.Hour, Purpose: general,
				}))
			case *Gone:
				gone <- m
			}
		}))
		system.Root.Send(<-born, &connection.Silent{})
		if g := <-gone; g.Outcome != lost || !g.Silent || g.WasOpen || g.Dialled {
			t.Errorf("%+v", g)
		}
		for _, pid := range []*actor.PID{parent, quiet} {
			if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
		kernel.Shutdown(system)
	})
}

// A set one of whose guards falls silent ends if no stream of it is connected: those that wait
// go to another circuit. With one that is it stays for that alone.
func TestSetWithASilentLeg(t *testing.T) {
	t.Run("unused", func(t *testing.T) {
		r := linked(t)
		r.tell(&LegSilent{ID: "leg1"})
		if how := r.gone(); how != "closed connection-lost" {
			t.Errorf("the set %s", how)
		}
	})
	t.Run("a stream waits", func(t *testing.T) {
		r := linked(t)
		r.first()
		_, _ = r.application()
		r.tell(&LegSilent{ID: "leg1"})
		b := hears[*StreamBack](r)
		if b.Spec.Last != lost {
			t.Errorf("%+v", b.Spec)
		}
		r.dispose(b.Spec)
		if how := r.gone(); how != "closed connection-lost" {
			t.Errorf("the set %s", how)
		}
	})
	t.Run("a stream is connected, another waits", func(t *testing.T) {
		r := linked(t)
		r.first()
		app, id := r.application()
		r.over(0, conflux.Message{Command: cell.RelayConnected, Stream: id})
		r.reads(app, "connected\n")
		_, waits := r.application()
		r.tell(&LegSilent{ID: "leg0"})
		if tired := hears[*Tired](r); tired.ID != "set" {
			t.Errorf("%+v", tired)
		}
		b := hears[*StreamBack](r)
		r.dispose(b.Spec)
		if s := r.goes(); s.command != cell.RelayEnd || s.stream != waits {
			t.Errorf("%+v", s)
		}
		r.over(0, conflux.Message{Command: cell.RelayData, Stream: id, Data: []byte("it is back")})
		r.reads(app, "it is back")
	})
	t.Run("it is not linked", func(t *testing.T) {
		r := newSetRig(t)
		r.open(0)
		r.tell(&LegSilent{ID: "leg0"})
		hears[*LegWanted](r)
		r.tell(&AddLeg{Options: Options{ID: "leg2"}})
		r.link(1)
		r.link(2)
		if o := hears[*Opened](r); o.ID != "set" {
			t.Errorf("%+v", o)
		}
	})
}
