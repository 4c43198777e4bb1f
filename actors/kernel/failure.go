package kernel

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"chive/internal/safego"
)

// Panic is what a goroutine or an actor died of.
type Panic = safego.Panic

// ChildFailed tells a parent that one of its actors panicked. The child has
// already been told to stop; its *actor.Terminated follows, always later.
type ChildFailed struct {
	PID    *actor.PID
	Reason error  // the panic's value if it was an error, else the Panic itself
	Panic  *Panic // nil if the actor ended its goroutine instead of panicking
	// Message is what the actor was handling, nil if that is not known. It may
	// hold what must not be told.
	Message any
}

// Site describes the failure without its payload, for events: actor type,
// type of the panic's value, and where.
func (f *ChildFailed) Site() string {
	if f.Panic != nil {
		return f.Panic.Reason()
	}
	return fmt.Sprintf("%T", f.Reason)
}

// newChildFailed makes sense of the reason a mailbox escalated with.
func newChildFailed(pid *actor.PID, reason, message any) *ChildFailed {
	failed := &ChildFailed{PID: pid, Message: actor.UnwrapEnvelopeMessage(message)}
	var isPanic bool
	if failed.Panic, isPanic = reason.(*Panic); isPanic {
		if failed.Reason = failed.Panic.Unwrap(); failed.Reason == nil {
			failed.Reason = failed.Panic
		}
		return failed
	}
	if failed.Reason, _ = reason.(error); failed.Reason == nil {
		failed.Reason = fmt.Errorf("actor failed: %v", reason)
	}
	errors.As(failed.Reason, &failed.Panic)
	return failed
}

// stopAndTell stops a failed child and tells its parent in the same turn.
type stopAndTell struct{}

// HandleFailure implements actor.SupervisorStrategy.
func (stopAndTell) HandleFailure(system *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	failed := newChildFailed(child, reason, message)
	parent.StopChildren(child)
	publish(system, failed)
	if turn, ok := parent.(actor.MessageInvoker); ok {
		turn.InvokeUserMessage(failed)
	}
}

var childStrategy actor.SupervisorStrategy = &stopAndTell{}

// stopRoot stops a failed root-level actor. It runs in the failing actor's own
// goroutine and there is no parent to tell.
type stopRoot struct{ _ byte } // not zero-sized: its address is a map key

// HandleFailure implements actor.SupervisorStrategy.
func (*stopRoot) HandleFailure(system *actor.ActorSystem, root actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	failed := newChildFailed(child, reason, message)
	root.StopChildren(child)
	runtimeOf(system).log.Error("root actor failed and was stopped", "reason", failed.Site())
	publish(system, failed)
}

var rootStrategy = &stopRoot{}
