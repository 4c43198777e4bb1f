package kernel_test

import (
	"runtime"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

func goexit() { runtime.Goexit() }

// spawnsOnceWhileStopping has one child; when that has stopped on the actor's
// own stop, but others remain, it spawns one more.
func spawnsOnceWhileStopping() func(actor.Context) {
	spawned := false
	return func(ctx actor.Context) {
		idle := func(actor.Context) {}
		switch ctx.Message().(type) {
		case *actor.Started:
			ctx.Spawn(kernel.Func(idle))
			ctx.Spawn(kernel.Func(idle))
		case *actor.Terminated:
			if !spawned {
				spawned = true
				ctx.Spawn(kernel.Func(idle))
			}
		}
	}
}
