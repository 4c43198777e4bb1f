package kernel_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

// chaotic panics at random in any handler and spawns children of its own.
type chaotic struct {
	depth int
	alive *atomic.Int64
}

func (c *chaotic) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		c.alive.Add(1)
		if c.depth > 0 {
			for range 3 {
				ctx.Spawn(kernel.Props(func() actor.Actor { return &chaotic{c.depth - 1, c.alive} }))
			}
		}
	case *actor.Stopped:
		c.alive.Add(-1)
	case int:
		for _, child := range ctx.Children() {
			ctx.Send(child, 1)
		}
	}
	if rand.IntN(8) == 0 {
		panic("chaos")
	}
}

func TestChaosLeavesNothingBehind(t *testing.T) {
	var alive, failures atomic.Int64
	cancel := kernel.OnFailure(system, func(*kernel.ChildFailed) { failures.Add(1) })
	defer cancel()
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for range rounds {
		root := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *actor.Started:
				for range 50 {
					ctx.Spawn(kernel.Props(func() actor.Actor { return &chaotic{2, &alive} }))
				}
			case int:
				for _, child := range ctx.Children() {
					ctx.Send(child, 1)
				}
			}
		}))
		for i := range 20 {
			system.Root.Send(root, i)
		}
		if err := kernel.StopAndWait(system, root, patience); err != nil {
			t.Fatal(err)
		}
		if n := alive.Load(); n != 0 {
			t.Fatalf("%d actors outlived their tree", n)
		}
	}
	if failures.Load() == 0 {
		t.Fatal("nothing failed: the test tests nothing")
	}
	t.Logf("%d failures survived", failures.Load())
}
