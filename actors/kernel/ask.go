package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// ErrStopped means that the actor asked was gone, or stopped before it answered.
var ErrStopped = errors.New("actor stopped")

// Reply is where the one answer to a question goes. The zero Reply swallows it.
type Reply[T any] struct{ answers chan T }

// Send gives the answer. It never blocks; only the first answer counts. It may
// be called later and from any goroutine.
func (r Reply[T]) Send(answer T) {
	if r.answers == nil {
		return
	}
	select {
	case r.answers <- answer:
	default:
	}
}

// Ask sends the message that question makes, which carries the Reply, and
// waits for the answer: until ctx is done (its cause is returned) or the actor
// has stopped without answering (ErrStopped). Actors do not call it in a
// handler, as it blocks.
func Ask[T any](ctx context.Context, system *actor.ActorSystem, pid *actor.PID, question func(Reply[T]) any) (T, error) {
	var zero T
	reply := Reply[T]{answers: make(chan T, 1)}
	gone, release := watch(system, pid)
	defer release()
	select {
	case <-gone: // nobody is there to drop the question either
		return zero, fmt.Errorf("ask: %w", ErrStopped)
	default:
	}
	system.Root.Send(pid, question(reply))
	select {
	case answer := <-reply.answers:
		return answer, nil
	case <-gone:
		select { // it may have answered before it stopped
		case answer := <-reply.answers:
			return answer, nil
		default:
			return zero, fmt.Errorf("ask: %w", ErrStopped)
		}
	case <-ctx.Done():
		return zero, fmt.Errorf("ask: %w", context.Cause(ctx))
	}
}
