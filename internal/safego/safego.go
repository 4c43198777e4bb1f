package safego

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Panic is what a goroutine, or a guarded call, died of.
type Panic struct {
	Name  string // the name given to Go or Call
	Value any    // what was passed to panic
	Stack []byte // stack of the panicking goroutine
	Site  string // file:line of the innermost frame outside the runtime
}

// Error makes a Panic usable as an error. It carries the value: keep it out of
// events and use Reason there.
func (p *Panic) Error() string {
	return fmt.Sprintf("%s panicked at %s: %v", p.Name, p.Site, p.Value)
}

// Unwrap gives the panic value when it was an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Reason names the goroutine, the type of the panic value and the site, never
// the value itself, which may hold what must not be told.
func (p *Panic) Reason() string {
	return fmt.Sprintf("%s: panic(%T) at %s", p.Name, p.Value, p.Site)
}

// Go runs f in a new goroutine. When f panics, onPanic is called in that
// goroutine with what happened; a nil onPanic, or one that panics itself, logs
// to slog's default logger. A runtime.Goexit in f is not a panic.
func Go(name string, f func(), onPanic func(Panic)) {
	go Run(name, f, onPanic)
}

// Call runs f in this goroutine and returns what it panicked with, or nil.
func Call(name string, f func()) (p *Panic) {
	defer func() {
		if v := recover(); v != nil {
			p = &Panic{Name: name, Value: v, Stack: debug.Stack(), Site: site()}
		}
	}()
	f()
	return nil
}

// Run is Go in this goroutine: it returns when f has, or onPanic.
func Run(name string, f func(), onPanic func(Panic)) {
	p := Call(name, f)
	if p == nil {
		return
	}
	if onPanic == nil {
		report(p)
		return
	}
	if second := Call(name+" panic handler", func() { onPanic(*p) }); second != nil {
		report(p)
		report(second)
	}
}

func report(p *Panic) {
	slog.Error("goroutine panicked", "name", p.Name, "reason", p.Reason(), "stack", string(p.Stack))
}

// site finds where the panic was raised; it runs inside Call's deferred
// function, so the frames above runtime.gopanic are our own.
func site() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	raised := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if raised && !inRuntime {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		raised = raised || inRuntime
		if !more {
			return "unknown"
		}
	}
}
