package kernel

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Timer sends a message to an actor once, later.
type Timer struct {
	done  atomic.Bool // delivered or stopped
	timer *time.Timer
}

// firing is the message on its way; the mailbox unwraps it and asks whether
// the timer was stopped since.
type firing struct {
	timer   *Timer
	message any
}

// After sends message to pid after d. Called from an actor for itself it needs
// no generation number: once Stop has returned in the actor's own turn, the
// message is not delivered any more.
//
// pid must be an actor made of Props of this package. If it is gone by then,
// the message vanishes. A d of zero or less sends as soon as possible, but
// never in the caller's turn.
func After(system *actor.ActorSystem, pid *actor.PID, d time.Duration, message any) *Timer {
	t := &Timer{}
	f := &firing{timer: t, message: message}
	t.timer = time.AfterFunc(d, func() { system.Root.Send(pid, f) })
	return t
}

// Stop prevents the delivery. It reports whether it did: false means that the
// message was handled already, or Stop called before. A nil Timer is stopped.
func (t *Timer) Stop() bool {
	if t == nil || !t.done.CompareAndSwap(false, true) {
		return false
	}
	t.timer.Stop()
	return true
}

// claim is called by the mailbox when it is about to deliver.
func (t *Timer) claim() bool { return t.done.CompareAndSwap(false, true) }
