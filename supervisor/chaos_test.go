package supervisor

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/supervisor/retry"
)

// troop is 200 children that fail at random in every handler.
type troop struct {
	alive, failures, ups atomic.Int64
	enough               chan struct{} // closed when there were plenty
	done                 atomic.Bool
}

func (tr *troop) options() Options {
	return Options{
		Strategy: Strategy{
			Backoff: Backoff{Min: 100 * time.Microsecond, Max: 5 * time.Millisecond, Factor: 2, Jitter: 1}, Retries: 4,
			Breaker: &BreakerConfig{Failures: 3, OpenFor: 2 * time.Millisecond},
		},
		OnChange: func(c StateChanged) {
			switch c.State {
			case StateBackoff:
				tr.failures.Add(1)
			case StateUp:
				tr.ups.Add(1)
			}
			if tr.failures.Load() > 5000 && tr.ups.Load() > 500 && !tr.done.Swap(true) {
				close(tr.enough)
			}
		},
	}
}

func (tr *troop) receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		tr.alive.Add(1)
		if rand.IntN(4) == 0 {
			panic(errRefused)
		}
		healthy(ctx)
		ctx.Send(ctx.Self(), rand.IntN(3))
	case int:
		switch m {
		case 0:
			panic(errRefused)
		case 1:
			ctx.Send(ctx.Parent(), Failed{ctx.Self(), errRefused})
		case 2:
			kernel.After(ctx.ActorSystem(), ctx.Self(), time.Millisecond, rand.IntN(3))
		}
	case *actor.Stopping:
		if rand.IntN(4) == 0 {
			panic("stopping")
		}
	case *actor.Stopped:
		tr.alive.Add(-1)
		if rand.IntN(4) == 0 {
			panic("stopped")
		}
	}
}

// start spawns the supervisor and its children.
func (tr *troop) start(t *testing.T, system *actor.ActorSystem) *actor.PID {
	t.Helper()
	tr.enough = make(chan struct{})
	producer, err := Producer(tr.options())
	if err != nil {
		t.Fatal(err)
	}
	pid := system.Root.Spawn(kernel.Props(producer))
	for i := range 200 {
		system.Root.Send(pid, Supervise{Name: fmt.Sprint("c", i), Key: fmt.Sprint("k", i%10), Props: always(tr.receive)})
	}
	return pid
}

// Thousands of failures, as fast as the machine can; then the whole tree stops
// in less than a second and nothing of it is left.
func TestChaos(t *testing.T) {
	system := kernel.NewSystem(nil)
	defer kernel.Shutdown(system)
	var tr troop
	pid := tr.start(t, system)
	select {
	case <-tr.enough:
	case <-time.After(5 * time.Minute):
		t.Fatalf("only %d failures and %d ups", tr.failures.Load(), tr.ups.Load())
	}
	if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := tr.alive.Load(); n != 0 {
		t.Fatalf("%d children outlived the supervisor", n)
	}
}

// The same in virtual time: a fifth of a second of it holds thousands of
// failures, and the stop takes none of it, so that no part of it waits for a timer.
func TestChaosInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := kernel.NewSystem(nil)
		defer kernel.Shutdown(system)
		var tr troop
		pid := tr.start(t, system)
		time.Sleep(time.Second / 5)
		if n := tr.failures.Load(); n < 1000 {
			t.Errorf("%d failures in a fifth of a second", n)
		}
		before := time.Now()
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("the stop waited for a timer: %v", took)
		}
		if n := tr.alive.Load(); n != 0 {
			t.Fatalf("%d children outlived the supervisor", n)
		}
		synctest.Wait()
	})
}

// A dependency that is down for long: the breaker keeps the attempts rare
// whatever the number of children, and all come up when it is back.
func TestManyChildrenOfADeadDependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := kernel.NewSystem(nil)
		defer kernel.Shutdown(system)
		var attempts, ups atomic.Int64
		var back atomic.Bool
		producer, err := Producer(Options{
			Strategy: Strategy{Backoff: Backoff{Min: time.Second, Max: 10 * time.Second, Factor: 2, Jitter: 0.5}, Retries: 3, Breaker: &BreakerConfig{}},
			OnChange: func(c StateChanged) {
				if c.State == StateUp {
					ups.Add(1)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		pid := system.Root.Spawn(kernel.Props(producer))
		for i := range 100 {
			system.Root.Send(pid, Supervise{Name: fmt.Sprint("c", i), Key: "relay", Props: always(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Started); !ok {
					return
				}
				attempts.Add(1)
				if !back.Load() {
					panic(errRefused)
				}
				healthy(ctx)
			})})
		}
		time.Sleep(time.Hour)
		// Each once before the breaker opened, at most; then a probe every 30 s.
		if n := attempts.Load(); n < 90 || n > 100+120 {
			t.Errorf("%d attempts in an hour", n)
		}
		back.Store(true)
		time.Sleep(2 * time.Minute)
		if n := ups.Load(); n != 100 {
			t.Errorf("%d of 100 are up", n)
		}
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
}

func TestQuietBreakersAreForgotten(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c, err := NewChildren(Options{Strategy: Connection(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	of := func(key string) *slot {
		return &slot{Supervise: Supervise{Key: key}, strategy: &c.o.Strategy}
	}
	for i := range keepBreakers {
		b := c.breaker(of(fmt.Sprint(i)))
		if i%2 == 0 {
			b.Fell()
		}
	}
	c.slots["x"] = of("1")
	c.sweep()
	if n := len(c.breakers); n != keepBreakers/2+1 {
		t.Fatalf("%d breakers kept, want those with failures and the one in use", n)
	}
	now = now.Add(time.Hour)
	for i := range keepBreakers {
		c.breaker(of(fmt.Sprint(i)))
	}
	c.sweep()
	if n := len(c.breakers); n != 1 {
		t.Fatalf("%d breakers kept after an hour", n)
	}
	if b := c.breaker(&slot{strategy: &Strategy{Kind: "circuit"}}); b != nil {
		t.Fatal("a breaker for a kind without")
	}
}

func TestNamedStrategiesAreValid(t *testing.T) {
	for _, s := range []Strategy{Connection(), Circuit(), Stream(), Listener(), Service()} {
		if err := s.Validate(); err != nil || s.Kind == "" {
			t.Errorf("%+v: %v", s, err)
		}
		// What is told as exhausted is not given up: there is a longest wait.
		if got := s.Wait(1<<40, middle); got > s.Max || float64(got) < float64(s.Max)/(1+s.Jitter)-1 {
			t.Errorf("%s: waits %v after many failures", s.Kind, got)
		}
		if s.ExhaustedAt(s.Retries) || !s.ExhaustedAt(s.Retries+1) || s.ExhaustedAt(s.Retries+2) {
			t.Errorf("%s: not told once", s.Kind)
		}
	}
	if s := (Strategy{Retries: retry.Forever}); s.ExhaustedAt(0) || s.ExhaustedAt(1) {
		t.Error("forever has an end")
	}
}
