package configuration

import (
	"context"
	"errors"
	"fmt"

	"chive/config"
	"chive/internal/safego"
	"chive/messages"
)

// Change is one step from a configuration to another. Both are immutable.
type Change struct {
	Old, New *config.Config
	// Reload: the operator asks for log files and the like to be opened again, be
	// there a difference or not.
	Reload bool
	// Reread: the files are read again, by the operator's wish or because they changed, and
	// so is what they name. Else only what the change is about need be.
	Reread bool
}

// Looker is a Subscriber that knows folders and files which options name.
type Looker interface {
	// Look tells what is new there, or why the part cannot follow the change, with no effect.
	// It comes before Prepare, and alone if nothing is to be changed.
	Look(ctx context.Context, c Change) ([]messages.ConfigNote, error)
}

// look asks all parts that look. The error is a *StageError.
func look(ctx context.Context, parts []Subscriber, c Change) (notes []messages.ConfigNote, err error) {
	for _, part := range parts {
		l, ok := part.(Looker)
		if !ok {
			continue
		}
		var found []messages.ConfigNote
		err := call(part.Name(), func() (err error) {
			found, err = l.Look(ctx, c)
			return err
		})
		if err != nil {
			return nil, &StageError{stagePrepare, part.Name(), err}
		}
		notes = append(notes, found...)
	}
	return notes, nil
}

// Subscriber is a part of the node that follows the configuration. Its methods
// and those of its steps are called by one goroutine at a time, not an actor's:
// they may wait.
type Subscriber interface {
	// Name is the part's, for messages.
	Name() string
	// Prepare does what can fail, with no effect that can be seen.
	Prepare(ctx context.Context, c Change) (Step, error)
}

// Step is one part's share of a change that it has prepared. A nil function has
// nothing to do.
type Step struct {
	Commit func() error // make it so
	Undo   func()       // go back to before Commit: another part could not
	Settle func()       // every part has committed: let go of the old
	Abort  func()       // instead of Commit: let go of what was prepared
}

// Stages at which a change can fail, as events tell them.
const (
	stageRead    = "read"
	stageCheck   = "check"
	stagePrepare = "prepare"
	stageCommit  = "commit"
)

// StageError says at which stage and at which part a change failed. The node is
// as it was before.
type StageError struct {
	Stage string
	Part  string // "" for none in particular
	Err   error
}

// Error is the cause, with the part.
func (e *StageError) Error() string {
	if e.Part == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.Part, e.Err)
}

// Unwrap gives the cause.
func (e *StageError) Unwrap() error { return e.Err }

// taken is a subscriber's step on its way.
type taken struct {
	name string
	step Step
}

// carryOut changes every part of the node, or none. The error is a *StageError;
// what the parts did not manage to take back is joined to it.
func carryOut(ctx context.Context, parts []Subscriber, c Change) error {
	var steps []taken
	for _, part := range parts {
		var step Step
		err := call(part.Name(), func() (err error) {
			step, err = part.Prepare(ctx, c)
			return err
		})
		if err != nil {
			return errors.Join(&StageError{stagePrepare, part.Name(), err}, abort(steps))
		}
		steps = append(steps, taken{part.Name(), step})
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(&StageError{stagePrepare, "", context.Cause(ctx)}, abort(steps))
	}
	for i, s := range steps {
		if err := call(s.name, s.step.Commit); err != nil {
			return errors.Join(&StageError{stageCommit, s.name, err}, undo(steps[:i+1]), abort(steps[i+1:]))
		}
	}
	var left []error
	for _, s := range steps {
		left = append(left, quiet(s.name, s.step.Settle))
	}
	if err := errors.Join(left...); err != nil {
		return &settleError{err}
	}
	return nil
}

// settleError is what remained of the old when the change was made: it stands.
type settleError struct{ err error }

func (e *settleError) Error() string { return e.err.Error() }

// undo goes back, the last first. The one that failed undoes what it had done.
func undo(steps []taken) error {
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		errs = append(errs, quiet(steps[i].name, steps[i].step.Undo))
	}
	return errors.Join(errs...)
}

// abort lets go of what was prepared, the last first.
func abort(steps []taken) error {
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		errs = append(errs, quiet(steps[i].name, steps[i].step.Abort))
	}
	return errors.Join(errs...)
}

// call runs a part's function; a panic is an error of its kind and place.
func call(name string, f func() error) (err error) {
	if f == nil {
		return nil
	}
	if p := safego.Call("configuration of "+name, func() { err = f() }); p != nil {
		return errors.New(p.Reason())
	}
	return err
}

func quiet(name string, f func()) error {
	if f == nil {
		return nil
	}
	return call(name, func() error { f(); return nil })
}
