package kernel_test

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

type ball struct{ n int }

// BenchmarkPingPong is one round trip between two actors: at most 1 µs.
func BenchmarkPingPong(b *testing.B) {
	done := make(chan struct{})
	echo := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*ball); ok {
			ctx.Send(ctx.Sender(), m)
		}
	}))
	player := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*ball); ok {
			if m.n--; m.n < 0 {
				close(done)
				return
			}
			ctx.Request(echo, m)
		}
	}))
	defer kernel.StopAndWait(system, echo, patience)
	defer kernel.StopAndWait(system, player, patience)
	b.ReportAllocs()
	b.ResetTimer()
	system.Root.Send(player, &ball{b.N})
	<-done
}

func BenchmarkTell(b *testing.B) {
	done := make(chan struct{})
	n := 0
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*ball); ok {
			if n++; n == b.N {
				close(done)
			}
		}
	}))
	defer kernel.StopAndWait(system, pid, patience)
	m := &ball{}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		system.Root.Send(pid, m)
	}
	<-done
}

// BenchmarkBatchHop is a batch of 31 cells handed through two actors, one
// batch in flight: the lonely-reader case of the data path.
func BenchmarkBatchHop(b *testing.B) {
	type batch [31]int
	arrived := make(chan struct{}, 1)
	last := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*batch); ok {
			arrived <- struct{}{}
		}
	}))
	first := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*batch); ok {
			ctx.Send(last, m)
		}
	}))
	defer kernel.StopAndWait(system, last, patience)
	defer kernel.StopAndWait(system, first, patience)
	m := &batch{}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		system.Root.Send(first, m)
		<-arrived
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(m)), "ns/cell")
}

func BenchmarkSpawnStop(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		pid := system.Root.Spawn(kernel.Func(func(actor.Context) {}))
		if err := kernel.StopAndWait(system, pid, patience); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAsk(b *testing.B) {
	type question struct{ reply kernel.Reply[int] }
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if q, ok := ctx.Message().(question); ok {
			q.reply.Send(1)
		}
	}))
	defer kernel.StopAndWait(system, pid, patience)
	b.ReportAllocs()
	for range b.N {
		if _, err := kernel.Ask(b.Context(), system, pid, func(r kernel.Reply[int]) any { return question{r} }); err != nil {
			b.Fatal(err)
		}
	}
}
