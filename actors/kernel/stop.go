package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// ErrStopTimeout means that an actor, or one below it, had not stopped in time.
var ErrStopTimeout = errors.New("actor did not stop in time")

// StopAndWait stops an actor with everything below it and waits until it is
// gone; an actor already gone is fine. After timeout it gives up waiting, with
// ErrStopTimeout; the actor stays told to stop.
func StopAndWait(system *actor.ActorSystem, pid *actor.PID, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, ErrStopTimeout)
	defer cancel()
	gone, release := watch(system, pid)
	defer release()
	system.Root.Stop(pid)
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", pid.Id, context.Cause(ctx))
	}
}

// watcher is a process, not an actor, that learns when one actor is gone.
type watcher struct {
	gone chan struct{}
	once sync.Once
}

func (w *watcher) SendUserMessage(*actor.PID, any) {}

func (w *watcher) SendSystemMessage(_ *actor.PID, message any) {
	if _, ok := message.(*actor.Terminated); ok {
		w.once.Do(func() { close(w.gone) })
	}
}

func (w *watcher) Stop(*actor.PID) {}

// watch returns a channel that is closed when the actor is gone, at once if it
// already is. release must be called when it is of no more interest.
func watch(system *actor.ActorSystem, pid *actor.PID) (gone <-chan struct{}, release func()) {
	w := &watcher{gone: make(chan struct{})}
	process, alive := system.ProcessRegistry.Get(pid)
	if !alive {
		close(w.gone)
		return w.gone, func() {}
	}
	self, _ := system.ProcessRegistry.Add(w, "watch"+system.ProcessRegistry.NextId())
	process.SendSystemMessage(pid, &actor.Watch{Watcher: self})
	return w.gone, func() {
		process.SendSystemMessage(pid, &actor.Unwatch{Watcher: self})
		system.ProcessRegistry.Remove(self)
	}
}
