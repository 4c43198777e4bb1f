package kernel

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/internal/safego"
)

// Go runs f in a new goroutine. If f panics, onPanic is called in that
// goroutine with what happened; a nil onPanic logs it. name appears in
// reports: say what the goroutine does, not for whom.
func Go(name string, f func(), onPanic func(*Panic)) {
	if onPanic == nil {
		safego.Go(name, f, nil)
		return
	}
	safego.Go(name, f, func(p Panic) { onPanic(&p) })
}

// GoWarm is Go on a goroutine of the actor system's that may have done other work before:
// for what is short and done often, as the stack of a new one grows by copies.
func GoWarm(system *actor.ActorSystem, name string, f func(), onPanic func(*Panic)) {
	runtimeOf(system).pool.schedule(func() { safego.Run(name, f, func(p Panic) { onPanic(&p) }) })
}

func call(name string, f func()) *Panic { return safego.Call(name, f) }
