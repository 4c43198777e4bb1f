package kernel

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// Props describes an actor to spawn: producer makes its state, once for each
// spawn. Every actor of chive is made of Props from here; options are applied
// last and may replace the supervision strategy (actor.WithSupervisor), which
// by default stops a failing child and tells this actor by *ChildFailed.
//
// A producer that panics or returns nil makes an actor that fails at once, so
// the failure is the child's and not its parent's.
func Props(producer actor.Producer, opts ...actor.PropsOption) *actor.Props {
	base := []actor.PropsOption{actor.WithMailbox(newMailbox), actor.WithSupervisor(childStrategy)}
	return actor.PropsFromProducer(func() actor.Actor { return guarded(producer) }, append(base, opts...)...)
}

// Func is Props for an actor that is one function.
func Func(receive func(actor.Context), opts ...actor.PropsOption) *actor.Props {
	return Props(func() actor.Actor { return actor.ReceiveFunc(receive) }, opts...)
}

func guarded(producer actor.Producer) actor.Actor {
	var inner actor.Actor
	if p := call("producer", func() { inner = producer() }); p != nil {
		inner = stillborn{p}
	} else if inner == nil {
		inner = stillborn{fmt.Errorf("producer returned no actor")}
	}
	if strategy, ok := inner.(actor.SupervisorStrategy); ok {
		return &strategist{guard{inner: inner}, strategy}
	}
	return &guard{inner: inner}
}

// stillborn fails when it is started.
type stillborn struct{ reason any }

func (s stillborn) Receive(actor.Context) { panic(s.reason) }

// guard lets a running actor fail, but recovers whatever a stopping one does:
// in that state the library would resurrect it, or leave its parent waiting
// for it for ever.
type guard struct {
	inner    actor.Actor
	stopping bool
	stopped  bool
}

// Receive implements actor.Actor.
func (g *guard) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Stopping, *actor.Restarting:
		g.stopping = true
	case *actor.Stopped:
		g.stopped = true
	}
	if !g.stopping {
		g.inner.Receive(ctx)
		return
	}
	before := len(ctx.Children())
	if p := call(typeName(g.inner), func() { g.inner.Receive(ctx) }); p != nil {
		publish(ctx.ActorSystem(), newChildFailed(ctx.Self(), p, ctx.Message()))
	}
	// The library stops the children it had when stopping began; one spawned
	// since would keep this actor from ever finishing.
	if children := ctx.Children(); len(children) > before {
		for _, child := range children {
			ctx.Stop(child)
		}
	}
}

// strategist is the guard of an actor that is its own supervision strategy.
type strategist struct {
	guard
	strategy actor.SupervisorStrategy
}

// HandleFailure implements actor.SupervisorStrategy: OnFailure hears of it too.
func (s *strategist) HandleFailure(system *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any) {
	publish(system, newChildFailed(child, reason, message))
	s.strategy.HandleFailure(system, parent, child, rs, reason, message)
}

// isStopped says whether the actor behind a mailbox's invoker takes no more messages.
func isStopped(invoker actor.MessageInvoker) bool {
	ctx, ok := invoker.(actor.Context)
	if !ok {
		return false
	}
	switch a := ctx.Actor().(type) {
	case *guard:
		return a.stopped
	case *strategist:
		return a.stopped
	default:
		return false
	}
}

// actorType names the Go type behind a mailbox's invoker.
func actorType(invoker actor.MessageInvoker) string {
	ctx, ok := invoker.(actor.Context)
	if !ok {
		return "actor"
	}
	switch a := ctx.Actor().(type) {
	case *guard:
		return typeName(a.inner)
	case *strategist:
		return typeName(a.inner)
	default:
		return typeName(a)
	}
}

func typeName(a actor.Actor) string { return fmt.Sprintf("%T", a) }
