package supervisor

import (
	"context"
	"errors"
	"fmt"
)

// Directive is what a failure asks of the supervisor.
type Directive uint8

// The directives.
const (
	Retry    Directive = iota // stop, wait, respawn
	Stop                      // stop for good
	Escalate                  // the supervisor fails too, so that the level above decides
)

func (d Directive) String() string { return [...]string{"retry", "stop", "escalate"}[d] }

// Fault is an error with a directive; any other error means Retry. A child
// sends it in Failed or panics with it.
type Fault struct {
	Err       error
	Directive Directive
}

func (f *Fault) Error() string { return fmt.Sprintf("%v (%v)", f.Err, f.Directive) }

// Unwrap gives the error itself.
func (f *Fault) Unwrap() error { return f.Err }

func directiveOf(err error) Directive {
	var fault *Fault
	if errors.As(err, &fault) {
		return fault.Directive
	}
	return Retry
}

// neutral errors say nothing about the dependency: the breaker ignores them.
func neutral(err error) bool { return errors.Is(err, context.Canceled) }

// asError makes an error of what a mailbox escalates with.
func asError(reason any) error {
	if err, ok := reason.(error); ok {
		return err
	}
	return fmt.Errorf("panic: %v", reason)
}
