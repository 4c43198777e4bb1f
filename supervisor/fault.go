package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Directive is what a failure asks of the supervisor.
type Directive uint8

// The directives.
const (
	Retry    Directive = iota // stop, wait, respawn
	Stop                      // stop for good
	Escalate                  // the supervisor fails too, so that the level above decides
)

func (d Directive) String() string {
	if d > Escalate {
		return fmt.Sprintf("directive %d", uint8(d))
	}
	return [...]string{"retry", "stop", "escalate"}[d]
}

// Fault is an error with a directive; any other error means Retry. A child
// sends it in Failed or panics with it.
type Fault struct {
	Err       error
	Directive Directive
}

func (f *Fault) Error() string { return fmt.Sprintf("%v (%v)", f.Err, f.Directive) }

// Unwrap gives the error itself.
func (f *Fault) Unwrap() error { return f.Err }

// ExhaustedError is what an owner fails of when a strategy says to escalate.
type ExhaustedError struct {
	Child    string
	Attempts int
	Over     time.Duration // since the first of them
	Err      error         // of the last
}

func (e *ExhaustedError) Error() string {
	if e.Attempts == 1 {
		return fmt.Sprintf("%s failed: %v", e.Child, e.Err)
	}
	return fmt.Sprintf("%s failed %d times in a row within %v: %v", e.Child, e.Attempts, e.Over, e.Err)
}

// Unwrap gives the last attempt's error.
func (e *ExhaustedError) Unwrap() error { return e.Err }

func directiveOf(err error) Directive {
	var fault *Fault
	if errors.As(err, &fault) {
		return fault.Directive
	}
	return Retry
}

// neutral errors say nothing about the dependency: the breaker ignores them.
func neutral(err error) bool { return errors.Is(err, context.Canceled) }
