package supervisor

import "github.com/asynkron/protoactor-go/actor"

// Producer makes supervisors; it fails, wrapping ErrConfig, for impossible
// options.
func Producer(o Options) (actor.Producer, error) {
	if _, err := NewChildren(o); err != nil {
		return nil, err
	}
	return func() actor.Actor {
		children, err := NewChildren(o)
		if err != nil {
			return nil // the options were fine before
		}
		return &Supervisor{children}
	}, nil
}

// Supervisor is an actor that has children and nothing else to do: it
// understands Supervise, Forget, Healthy and Failed.
type Supervisor struct{ *Children }

// Receive implements actor.Actor.
func (s *Supervisor) Receive(ctx actor.Context) { s.Children.Receive(ctx) }
