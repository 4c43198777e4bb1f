package kernel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

// inBubble runs f in virtual time with a system of its own.
func inBubble(t *testing.T, f func(t *testing.T, system *actor.ActorSystem)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		system := kernel.NewSystem(nil)
		defer kernel.Shutdown(system)
		f(t, system)
		synctest.Wait()
	})
}

func TestTimerDelivers(t *testing.T) {
	inBubble(t, func(t *testing.T, system *actor.ActorSystem) {
		start, at := time.Now(), make(chan time.Duration, 1)
		pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			if ctx.Message() == "tick" {
				at <- time.Since(start)
			}
		}))
		timer := kernel.After(system, pid, time.Hour, "tick")
		if got := <-at; got != time.Hour {
			t.Fatalf("after %v", got)
		}
		if timer.Stop() {
			t.Error("Stop claims to have prevented what was delivered")
		}
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStoppedTimerIsNotDeliveredEvenIfQueued(t *testing.T) {
	inBubble(t, func(t *testing.T, system *actor.ActorSystem) {
		got := make(chan any, 8)
		var timer *kernel.Timer
		pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch ctx.Message() {
			case "arm":
				timer = kernel.After(system, ctx.Self(), time.Second, "tick")
				time.Sleep(2 * time.Second) // virtual: the tick is now in the mailbox
				if !timer.Stop() || timer.Stop() {
					t.Error("the first Stop must prevent, the second not")
				}
			case "end", "tick":
				got <- ctx.Message()
			}
		}))
		system.Root.Send(pid, "arm")
		synctest.Wait()
		time.Sleep(3 * time.Second)
		system.Root.Send(pid, "end")
		if m := <-got; m != "end" {
			t.Fatalf("got %v", m)
		}
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
		var never *kernel.Timer
		if never.Stop() {
			t.Error("a nil Timer has nothing to stop")
		}
	})
}

func TestTimerForAStoppedActorVanishes(t *testing.T) {
	inBubble(t, func(t *testing.T, system *actor.ActorSystem) {
		pid := system.Root.Spawn(kernel.Func(func(actor.Context) {}))
		kernel.After(system, pid, time.Minute, "tick")
		if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := kernel.DeadLetters(system); n != 0 {
			t.Fatalf("%d dead letters", n)
		}
	})
}
