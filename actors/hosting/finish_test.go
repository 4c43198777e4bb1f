package hosting

import (
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/messages/chivev1"
	"chive/supervisor"
	torcircuit "chive/tor/circuit"
)

// points counts the circuits to introduction points that are there.
func (w *world) pointCircuits() (n int) {
	w.set(func() {
		for _, p := range w.ends {
			if p.open.Purpose == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION {
				n++
			}
		}
	})
	return n
}

// finish has nobody met any more.
func (w *world) finish() <-chan struct{} {
	done := make(chan struct{})
	w.system.Root.Send(w.hosting, &Finish{Done: func() { close(done) }})
	w.run(0)
	return done
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// A node that ends gives up its introduction points, and takes no others; what an introduction
// point passed on before is looked at first. Nothing of that is told as trouble, and a service
// that fails meanwhile keeps nobody.
func TestFinish(t *testing.T) {
	inWorld(t, 2, verifyPeriod, nil, func(w *world) {
		w.run(time.Minute)
		if n := w.pointCircuits(); n != 6 {
			t.Fatalf("%d introduction points", n)
		}
		w.events()
		var sent *playedCircuit
		w.set(func() {
			for _, p := range w.intros {
				sent = p
			}
			sent.counter.Add(1)
		})
		done := w.finish()
		if s := w.status(); s.State != Ending || !s.Health.Next.IsZero() {
			t.Errorf("%s, visited next at %v", s.State, s.Health.Next)
		}
		if _, err := w.verify(w.status().ID); !errors.Is(err, ErrEnding) {
			t.Errorf("visited: %v", err)
		}
		w.run(time.Second)
		if n := w.pointCircuits(); n != 0 || isDone(done) {
			t.Errorf("%d introduction points; done, with a client on his way: %v", n, isDone(done))
		}
		w.system.Root.Send(sent.open.Owner, &circuit.Heard{Token: sent.open.Token, What: torcircuit.Introduce2, Data: []byte("garbage")})
		w.run(0)
		if !isDone(done) {
			t.Error("not done")
		}
		w.system.Root.Send(w.hosting, hostingNetwork(60))
		w.run(10 * time.Minute)
		if n := w.pointCircuits(); n != 0 || w.events() != "" {
			t.Errorf("%d introduction points", n)
		}
		if again := w.finish(); !isDone(again) {
			t.Error("not done when asked again")
		}
	})
}

// A service that is taken out, or cannot go on, while a client is on his way is not waited for.
func TestFinishWithoutTheService(t *testing.T) {
	for name, ends := range map[string]func(*world){
		"taken out": func(w *world) { w.system.Root.Send(w.hosting, &Configure{VerifyPeriod: verifyPeriod}) },
		"fails": func(w *world) {
			w.set(func() {
				for _, p := range w.intros {
					w.system.Root.Send(w.hosting, supervisor.Failed{PID: p.open.Owner, Err: errors.New("no keys")})
					return
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, verifyPeriod, nil, func(w *world) {
				w.run(time.Minute)
				done := w.finishOnTheWay(t)
				ends(w)
				w.run(time.Minute)
				if !isDone(done) {
					t.Error("not done")
				}
			})
		})
	}
}

// Who was met has time to begin a stream.
func TestFinishWaitsForStreams(t *testing.T) {
	met := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	if a := (&serviceActor{}); !a.begins().IsZero() {
		t.Error("it waits for nobody")
	}
	if a := (&serviceActor{metAt: met}); !a.begins().Equal(met.Add(beginTime)) {
		t.Errorf("until %v", a.begins())
	}
}

// finishOnTheWay asks for the end of introduction points while a client is on his way.
func (w *world) finishOnTheWay(t *testing.T) <-chan struct{} {
	t.Helper()
	w.set(func() {
		for _, p := range w.intros {
			p.counter.Add(1)
			return
		}
	})
	done := w.finish()
	if isDone(done) {
		t.Fatal("done, with a client on his way")
	}
	return done
}

// fails has the actor that hosts services fail in its own turn.
func fails(system *actor.ActorSystem, hosting *actor.PID) {
	system.Root.Send(hosting, &List{}) // nobody to tell
}

// Who waits for the actor that hosts services is let go when it fails, as is who asked it what
// it never came to.
func TestNobodyWaitsForWhoFailed(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(time.Minute)
		done := w.finishOnTheWay(t)
		service := w.status().ID
		fails(w.system, w.hosting)
		left, listed, verified := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		w.system.Root.Send(w.hosting, &Leave{Done: func() { close(left) }})
		w.system.Root.Send(w.hosting, &List{Tell: func([]Status) { close(listed) }})
		w.system.Root.Send(w.hosting, &Verify{Service: service, Tell: func(_ Verification, err error) { verified <- err }})
		again := w.finish()
		for name, c := range map[string]<-chan struct{}{"finish": done, "finish, asked then": again, "leave": left, "list": listed} {
			if !isDone(c) {
				t.Errorf("%s: still waited for", name)
			}
		}
		select {
		case err := <-verified:
			if !errors.Is(err, ErrNotHosted) {
				t.Errorf("verify: %v", err)
			}
		default:
			t.Error("verify: still waited for")
		}
	})
}

// Other nodes do without a node whose services' actor failed: nobody waits for them.
func TestLeaveOfWhoFails(t *testing.T) {
	services := folders(t, 1)
	onStage(t, func(s *stage) {
		pid := s.node(1, services[0])
		s.publishing(pid, services[0])
		left := make(chan struct{})
		s.system.Root.Send(pid, &Leave{Done: func() { close(left) }})
		s.pass(0)
		if isDone(left) {
			t.Fatal("it is let go before the others know")
		}
		fails(s.system, pid)
		s.pass(0)
		if !isDone(left) {
			t.Error("it is not let go")
		}
	})
}
