package kernel

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
	"github.com/asynkron/protoactor-go/extensions"

	"chive/internal/safego"
)

var runtimeID = extensions.NextExtensionID()

// systemRuntime is what kernel keeps for each actor system.
type systemRuntime struct {
	pool        *pool
	log         *slog.Logger
	deadLetters atomic.Uint64
}

func (*systemRuntime) ExtensionID() extensions.ExtensionID { return runtimeID }

// NewSystem makes an actor system. It costs about 2.9 MB: one a process, or
// one a test binary. The library's own chatter is dropped below warnings; a
// nil log drops everything.
//
// Actors spawned from its Root that fail are stopped, never restarted; as they
// have no parent to tell, use OnFailure to hear of them.
func NewSystem(log *slog.Logger) *actor.ActorSystem {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(warnings{log.Handler()})
	}))
	rt := &systemRuntime{pool: newPool(maxIdleGoroutines, reapInterval), log: log}
	system.Extensions.Register(rt)
	replaceDeadLetters(system, rt)
	system.Root.WithGuardian(rootStrategy)
	return system
}

// DeadLetters counts the messages that found no actor since the system began.
func DeadLetters(system *actor.ActorSystem) uint64 { return runtimeOf(system).deadLetters.Load() }

// Shutdown ends the idle goroutines of a system at once, instead of after some
// idle time. It stops no actor: use StopAndWait first. Tests inside a synctest
// bubble need it, as time stands still when their body has returned.
func Shutdown(system *actor.ActorSystem) { runtimeOf(system).pool.close() }

// OnFailure calls f for every failed actor of the system: children, root-level
// actors, and panics while stopping. f runs in the turn of whichever actor
// noticed, so it must be quick and must not call into that actor. The returned
// function ends the subscription.
func OnFailure(system *actor.ActorSystem, f func(*ChildFailed)) (cancel func()) {
	sub := system.EventStream.Subscribe(func(event any) {
		if failed, ok := event.(*ChildFailed); ok {
			f(failed)
		}
	})
	return func() { system.EventStream.Unsubscribe(sub) }
}

// runtimeOf panics for a system that NewSystem did not make: without our pool
// and root strategy its actors would silently behave otherwise.
func runtimeOf(system *actor.ActorSystem) *systemRuntime {
	rt, ok := system.Extensions.Get(runtimeID).(*systemRuntime)
	if !ok {
		panic("kernel: the actor system was not made by kernel.NewSystem")
	}
	return rt
}

// replaceDeadLetters swaps the system's event stream for one without the
// library's dead-letter logger, which logs message payloads and leaves a
// goroutine for a second; watching an actor that is gone must still answer.
func replaceDeadLetters(system *actor.ActorSystem, rt *systemRuntime) {
	system.EventStream = eventstream.NewEventStream()
	system.EventStream.Subscribe(func(event any) {
		letter, ok := event.(*actor.DeadLetterEvent)
		if !ok {
			return
		}
		switch m := letter.Message.(type) {
		case *actor.Watch:
			sendSystem(system, m.Watcher, &actor.Terminated{Who: letter.PID, Why: actor.TerminatedReason_NotFound})
			return
		case *firing:
			return
		case Droppable:
			m.Drop()
		}
		rt.deadLetters.Add(1)
		if letter.Sender != nil {
			system.Root.Send(letter.Sender, &actor.DeadLetterResponse{Target: letter.PID})
		}
	})
}

// sendSystem posts a system message to a local process; the library exports no
// way to do so.
func sendSystem(system *actor.ActorSystem, pid *actor.PID, message any) {
	if process, ok := system.ProcessRegistry.Get(pid); ok {
		process.SendSystemMessage(pid, message)
	}
}

// publish tells the subscribers of OnFailure; a panicking one is logged
// instead of failing the actor that publishes.
func publish(system *actor.ActorSystem, failed *ChildFailed) {
	rt := runtimeOf(system)
	if p := safego.Call("failure subscriber", func() { system.EventStream.Publish(failed) }); p != nil {
		rt.log.Error("failure subscriber panicked", "reason", p.Reason())
	}
}

// warnings passes records of level Warn and above.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }
