package kernel_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

// system is shared: each costs 2.9 MB.
var system = kernel.NewSystem(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})))

func TestMain(m *testing.M) { leak.Main(m) }

const patience = 20 * time.Second

// next receives from ch or fails the test when it is clear that nothing comes.
func next[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

// spawn starts a root-level actor that is gone when the test ends.
func spawn(t *testing.T, receive func(actor.Context)) *actor.PID {
	t.Helper()
	pid := system.Root.Spawn(kernel.Func(receive))
	t.Cleanup(func() {
		if err := kernel.StopAndWait(system, pid, patience); err != nil {
			t.Error(err)
		}
	})
	return pid
}

// parent spawns an actor that spawns one child and passes on everything it hears.
func parent(t *testing.T, child func(actor.Context)) (childPID *actor.PID, heard <-chan any) {
	t.Helper()
	ch, pids := make(chan any, 64), make(chan *actor.PID, 1)
	spawn(t, func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			pids <- ctx.Spawn(kernel.Func(child))
		case *actor.Terminated, *kernel.ChildFailed:
			ch <- m
		}
	})
	return next(t, pids), ch
}

var errBoom = errors.New("boom")

func TestFailingChildIsStoppedAndItsParentTold(t *testing.T) {
	for name, child := range map[string]func(actor.Context){
		"panic in Started": func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				panic(errBoom)
			}
		},
		"panic in a message": func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *actor.Started:
				ctx.Send(ctx.Self(), "boom")
			case string:
				panic(errBoom)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pid, heard := parent(t, child)
			failed, ok := next(t, heard).(*kernel.ChildFailed)
			if !ok || failed.PID.Id != pid.Id || !errors.Is(failed.Reason, errBoom) || failed.Panic == nil {
				t.Fatalf("first message = %#v, want ChildFailed of the child with its error", failed)
			}
			if _, started := failed.Message.(*actor.Started); !started && failed.Message != "boom" {
				t.Errorf("it was handling %#v", failed.Message)
			}
			if site := failed.Site(); strings.Contains(site, "boom") || !strings.Contains(site, "kernel_test.go:") {
				t.Errorf("site = %q, want the place and no payload", site)
			}
			if m, ok := next(t, heard).(*actor.Terminated); !ok || m.Who.Id != pid.Id {
				t.Fatalf("second message = %#v, want Terminated", m)
			}
		})
	}
}

func TestGoexitInHandlerIsAFailure(t *testing.T) {
	pid, heard := parent(t, func(ctx actor.Context) {
		if ctx.Message() == "go" {
			goexit()
		}
	})
	system.Root.Send(pid, "go")
	if failed, ok := next(t, heard).(*kernel.ChildFailed); !ok || failed.Panic != nil || failed.Reason == nil {
		t.Fatalf("got %#v", failed)
	}
	if _, ok := next(t, heard).(*actor.Terminated); !ok {
		t.Fatal("no Terminated")
	}
}

// B3 and more: nothing a stopping actor does may wedge or resurrect it.
func TestPanicWhileStoppingEndsTheActorAnyway(t *testing.T) {
	bad := func(when string) func(actor.Context) {
		return func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *actor.Started:
				ctx.Spawn(kernel.Func(func(actor.Context) {}))
			case *actor.Stopping:
				if when == "stopping" {
					panic(errBoom)
				}
			case *actor.Terminated:
				if when == "child terminated" {
					panic(errBoom)
				}
			case *actor.Stopped:
				if when == "stopped" {
					panic(errBoom)
				}
			}
		}
	}
	for _, when := range []string{"stopping", "child terminated", "stopped"} {
		t.Run(when, func(t *testing.T) {
			reports := make(chan *kernel.ChildFailed, 8)
			cancel := kernel.OnFailure(system, func(f *kernel.ChildFailed) { reports <- f })
			defer cancel()
			pid, heard := parent(t, bad(when))
			if err := kernel.StopAndWait(system, pid, patience); err != nil {
				t.Fatal(err)
			}
			if _, ok := next(t, heard).(*actor.Terminated); !ok {
				t.Fatal("parent was not told")
			}
			if f := next(t, reports); !errors.Is(f.Reason, errBoom) {
				t.Fatalf("reported %v", f.Reason)
			}
		})
	}
}

func TestChildSpawnedWhileStoppingDoesNotHoldItsParent(t *testing.T) {
	pid := system.Root.Spawn(kernel.Func(spawnsOnceWhileStopping()))
	if err := kernel.StopAndWait(system, pid, patience); err != nil {
		t.Fatal(err)
	}
}

func TestRootActorThatFailsIsStoppedNotRestarted(t *testing.T) {
	reports := make(chan *kernel.ChildFailed, 8)
	cancel := kernel.OnFailure(system, func(f *kernel.ChildFailed) { reports <- f })
	defer cancel()
	starts, stopped := make(chan struct{}, 8), make(chan struct{})
	system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started:
			starts <- struct{}{}
			panic(errBoom)
		case *actor.Stopped:
			close(stopped)
		}
	}))
	next(t, stopped)
	if f := next(t, reports); !errors.Is(f.Reason, errBoom) {
		t.Fatalf("reported %v", f.Reason)
	}
	if len(starts) != 1 {
		t.Fatalf("started %d times", len(starts))
	}
}

func TestProducerFailureIsTheChilds(t *testing.T) {
	for name, producer := range map[string]actor.Producer{
		"panics":      func() actor.Actor { panic(errBoom) },
		"returns nil": func() actor.Actor { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan any, 8)
			spawn(t, func(ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case *actor.Started:
					ctx.Spawn(kernel.Props(producer))
				case *kernel.ChildFailed, *actor.Terminated:
					heard <- m
				}
			})
			if _, ok := next(t, heard).(*kernel.ChildFailed); !ok {
				t.Fatal("want ChildFailed first")
			}
		})
	}
}

func TestSubscriberPanicDoesNotFailTheParent(t *testing.T) {
	cancel := kernel.OnFailure(system, func(*kernel.ChildFailed) { panic("subscriber") })
	defer cancel()
	pid, heard := parent(t, func(ctx actor.Context) {
		if ctx.Message() == "boom" {
			panic(errBoom)
		}
	})
	system.Root.Send(pid, "boom")
	if _, ok := next(t, heard).(*kernel.ChildFailed); !ok {
		t.Fatal("want ChildFailed")
	}
}

func TestOwnStrategyIsUsed(t *testing.T) {
	handled := make(chan any, 1)
	pid := system.Root.Spawn(kernel.Props(func() actor.Actor { return &ownStrategy{handled} }))
	if got := next(t, handled); !errors.Is(got.(error), errBoom) {
		t.Fatalf("strategy got %v", got)
	}
	if err := kernel.StopAndWait(system, pid, patience); err != nil {
		t.Fatal(err)
	}
}

type ownStrategy struct{ handled chan any }

func (*ownStrategy) Receive(ctx actor.Context) {
	if _, ok := ctx.Message().(*actor.Started); ok {
		ctx.Spawn(kernel.Func(func(actor.Context) { panic(errBoom) }))
	}
}

func (o *ownStrategy) HandleFailure(_ *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	parent.StopChildren(child)
	o.handled <- reason
}

func TestMessagesKeepTheirOrderAndSystemOnesGoFirst(t *testing.T) {
	release, entered, order := make(chan struct{}), make(chan struct{}), make(chan any, 1000)
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case string:
			close(entered)
			<-release
		case int:
			order <- m
		case *actor.Stopped:
			order <- m
		}
	}))
	for i := range 100 {
		system.Root.Send(pid, i)
	}
	for i := range 100 {
		if got := next(t, order); got != i {
			t.Fatalf("message %d = %v", i, got)
		}
	}
	system.Root.Send(pid, "block")
	next(t, entered)
	for i := range 500 {
		system.Root.Send(pid, i)
	}
	system.Root.Stop(pid)
	close(release)
	if got := next(t, order); got == 0 {
		t.Fatal("a queued user message was handled before the stop")
	}
	if err := kernel.StopAndWait(system, pid, patience); err != nil {
		t.Fatal(err)
	}
}

func TestAsk(t *testing.T) {
	type question struct{ reply kernel.Reply[int] }
	pid := spawn(t, func(ctx actor.Context) {
		switch q := ctx.Message().(type) {
		case question:
			q.reply.Send(42)
			q.reply.Send(43) // only the first counts
		case *question: // answers and stops
			q.reply.Send(44)
			ctx.Stop(ctx.Self())
		}
	})
	ask := func(ctx context.Context, q func(kernel.Reply[int]) any) (int, error) {
		return kernel.Ask(ctx, system, pid, q)
	}
	if got, err := ask(t.Context(), func(r kernel.Reply[int]) any { return question{r} }); err != nil || got != 42 {
		t.Fatalf("answer %d, %v", got, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	if _, err := ask(ctx, func(kernel.Reply[int]) any { return "ignored" }); !errors.Is(err, errBoom) {
		t.Fatalf("cancelled ask: %v", err)
	}
	if got, err := ask(t.Context(), func(r kernel.Reply[int]) any { return &question{r} }); err != nil || got != 44 {
		t.Fatalf("last answer %d, %v", got, err)
	}
	if err := kernel.StopAndWait(system, pid, patience); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), func(r kernel.Reply[int]) any { return question{r} }); !errors.Is(err, kernel.ErrStopped) {
		t.Fatalf("ask a stopped actor: %v", err)
	}
	kernel.Reply[int]{}.Send(1) // the zero Reply swallows it
}

func TestAskEndsWhenTheActorStopsUnanswering(t *testing.T) {
	pid := spawn(t, func(ctx actor.Context) {
		if ctx.Message() == "question" {
			ctx.Stop(ctx.Self())
		}
	})
	_, err := kernel.Ask(t.Context(), system, pid, func(kernel.Reply[int]) any { return "question" })
	if !errors.Is(err, kernel.ErrStopped) {
		t.Fatal(err)
	}
}

func TestStopTimeout(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	pid := spawn(t, func(ctx actor.Context) {
		if ctx.Message() == "block" {
			close(entered)
			<-release
		}
	})
	system.Root.Send(pid, "block")
	next(t, entered)
	if err := kernel.StopAndWait(system, pid, time.Millisecond); !errors.Is(err, kernel.ErrStopTimeout) {
		t.Fatal(err)
	}
	close(release)
}

func TestDeadLettersAreCountedAndAnswered(t *testing.T) {
	pid := system.Root.Spawn(kernel.Func(func(actor.Context) {}))
	if err := kernel.StopAndWait(system, pid, patience); err != nil {
		t.Fatal(err)
	}
	before := kernel.DeadLetters(system)
	answers := make(chan any, 1)
	spawn(t, func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Request(pid, "hello")
		case *actor.DeadLetterResponse:
			answers <- m
		}
	})
	next(t, answers)
	if got := kernel.DeadLetters(system) - before; got != 1 {
		t.Fatalf("%d dead letters", got)
	}
}

func TestGoReportsPanic(t *testing.T) {
	got := make(chan *kernel.Panic, 1)
	kernel.Go("worker", func() { panic(errBoom) }, func(p *kernel.Panic) { got <- p })
	if p := next(t, got); p.Name != "worker" || !errors.Is(p, errBoom) {
		t.Fatalf("%+v", p)
	}
	done := make(chan struct{})
	kernel.Go("worker", func() { close(done) }, nil)
	next(t, done)
}

func TestForeignSystemIsRefused(t *testing.T) {
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, "NewSystem") {
			t.Fatalf("recovered %v", v)
		}
	}()
	foreign := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	foreign.Root.Spawn(kernel.Func(func(actor.Context) {}))
}

// held is a message that holds something.
type held struct{ dropped chan<- int }

func (h *held) Drop() { h.dropped <- 1 }

// What an actor never sees, because it stopped before, is dropped: what was in
// its mailbox, and what is sent to it later.
func TestMessagesToAStoppedActorAreDropped(t *testing.T) {
	dropped, handled := make(chan int, 100), make(chan int, 100)
	entered, leave := make(chan struct{}), make(chan struct{})
	pid := spawn(t, func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case string:
			close(entered)
			<-leave
			ctx.Stop(ctx.Self())
		case *held:
			handled <- 1
			m.Drop()
		}
	})
	system.Root.Send(pid, "block")
	<-entered
	for range 50 {
		system.Root.Send(pid, &held{dropped})
	}
	close(leave)
	if err := kernel.StopAndWait(system, pid, patience); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		system.Root.Send(pid, &held{dropped})
	}
	for range 100 {
		next(t, dropped)
	}
	if n := len(handled); n > 50 {
		t.Errorf("%d messages handled by a stopped actor", n)
	}
}
