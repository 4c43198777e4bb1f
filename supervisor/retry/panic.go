package retry

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// PanicError is what a function panicked with. Its text names the type of the
// value and not the value, which may hold what must not be logged.
type PanicError struct {
	Value any
	Stack []byte // of the panicking goroutine
}

func (p *PanicError) Error() string {
	if err, ok := p.Value.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic(%T)", p.Value)
}

// Unwrap gives the panic's value if it was an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// call runs fn; a panic in it is an error.
func call(ctx context.Context, fn func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn(ctx)
}
