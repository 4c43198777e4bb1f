package retry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// State is one of closed, open and half-open.
type State uint8

// The states of a breaker.
const (
	Closed State = iota
	Open
	HalfOpen
)

func (s State) String() string {
	if s > HalfOpen {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return [...]string{"closed", "open", "half-open"}[s]
}

// Off, as Failures or Rate of a BreakerConfig, switches that threshold off.
const Off = -1

// BreakerConfig says when a breaker opens; a zero field takes its default.
type BreakerConfig struct {
	Failures    int              // opens after so many failures in a row; 5
	Rate        float64          // or when this share of the results in Window are failures; 0.5
	MinRequests int              // results in Window before Rate counts; 10
	Window      time.Duration    // 1 min
	OpenFor     time.Duration    // 30 s
	Probes      int              // calls let through at once when half-open; 1
	ProbeFor    time.Duration    // a probe without result for so long is taken for lost; 2 min
	Now         func() time.Time // time.Now
	// Ignore, if not nil, names errors by which the dependency shows that it
	// works, such as "not found". Cancellation needs no naming: it never counts.
	Ignore func(error) bool
	// OnChange, if not nil, is called for each change of state, in order, one
	// call at a time, with no lock held. A breaker used by one goroutine has
	// called it before the method that caused the change returns.
	OnChange func(Change)
}

// Change is a change of a breaker's state and the reasons for it.
type Change struct {
	From, To        State
	InARow          int           // failures in a row
	Failed, Results int           // in the window
	RetryAfter      time.Duration // how long it will stay open
}

// WithDefaults fills in the zero fields.
func (c BreakerConfig) WithDefaults() BreakerConfig {
	setDefault(&c.Failures, 5)
	setDefault(&c.Rate, 0.5)
	setDefault(&c.MinRequests, 10)
	setDefault(&c.Window, time.Minute)
	setDefault(&c.OpenFor, 30*time.Second)
	setDefault(&c.Probes, 1)
	setDefault(&c.ProbeFor, 2*time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (c BreakerConfig) Validate() error {
	switch c = c.WithDefaults(); {
	case c.Failures < Off, c.MinRequests < 1, c.Probes < 1:
		return fmt.Errorf("%w: breaker with %d failures, %d requests, %d probes: want 1 or more", ErrConfig, c.Failures, c.MinRequests, c.Probes)
	case c.Rate != Off && !(c.Rate > 0 && c.Rate <= 1):
		return fmt.Errorf("%w: failure rate %v: want above 0, at most 1", ErrConfig, c.Rate)
	case c.Failures == Off && c.Rate == Off:
		return fmt.Errorf("%w: a breaker without threshold never opens", ErrConfig)
	case c.Window < windowParts, c.OpenFor < 0, c.ProbeFor < 0:
		return fmt.Errorf("%w: window %v, open for %v, probe for %v", ErrConfig, c.Window, c.OpenFor, c.ProbeFor)
	}
	return nil
}

// ErrOpen is matched by every refusal of a breaker.
var ErrOpen = errors.New("circuit breaker refuses")

// OpenError is a refusal: the call was not made.
type OpenError struct {
	State      State         // Open, or HalfOpen with all probes under way
	RetryAfter time.Duration // until a probe may be made; 0 when half-open
}

func (e *OpenError) Error() string {
	if e.State == HalfOpen {
		return "circuit breaker is half-open and being probed"
	}
	return fmt.Sprintf("circuit breaker is open for another %v", e.RetryAfter)
}

// Is matches ErrOpen.
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// Breaker stops calls to something that keeps failing. Safe for concurrent
// use.
type Breaker struct {
	config BreakerConfig

	mu         sync.Mutex // protects the fields below
	state      State
	generation uint64 // of the state: results of permits from earlier ones are ignored
	inARow     int
	window     window
	openedAt   time.Time
	probes     int       // under way, when half-open
	probedAt   time.Time // when the last of them was allowed
	changes    []Change  // not yet told
	telling    bool
}

// Permit is the right to one call. Exactly one of its methods is to be called;
// further calls do nothing, nor do those of the zero Permit.
type Permit struct{ p *permit }

type permit struct {
	breaker    *Breaker
	generation uint64
	used       bool
}

// NewBreaker makes a closed breaker. It panics if config.Validate fails: call
// that first for settings that come from outside.
func NewBreaker(config BreakerConfig) *Breaker {
	if err := config.Validate(); err != nil {
		panic(err)
	}
	config = config.WithDefaults()
	return &Breaker{config: config, window: newWindow(config.Window)}
}

// Execute makes one call, if the breaker allows it; otherwise the error is an
// *OpenError. A panic in fn is returned as a *PanicError and counts as a
// failure. What a cancelled context brings about does not count; a deadline
// that passes does, as a dependency that hangs shows in no other way.
func (b *Breaker) Execute(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	permit, err := b.Acquire()
	if err != nil {
		return err
	}
	defer permit.Failure() // for a runtime.Goexit in fn; else spent by then
	err = call(ctx, fn)
	var panicked *PanicError
	switch {
	case err == nil:
		permit.Success()
	case errors.As(err, &panicked):
		permit.Failure()
	case cancelled(err), cancelled(ctx.Err()):
		permit.Cancel()
	case b.config.Ignore != nil && b.config.Ignore(err):
		permit.Success()
	default:
		permit.Failure()
	}
	return err
}

// ExecuteWithRetry makes calls as the policy says, each as Execute does. While
// the breaker is open it waits for the moment when it may be probed, instead
// of spending its retries on refusals.
func (b *Breaker) ExecuteWithRetry(ctx context.Context, policy Policy, fn func(context.Context) error) error {
	return Retrier{Policy: policy, Breaker: b}.Do(ctx, fn)
}

// Acquire gives a permit, or an *OpenError.
func (b *Breaker) Acquire() (Permit, error) {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	switch b.state {
	case Open:
		if wait := b.retryAfter(now); wait > 0 {
			return Permit{}, &OpenError{Open, wait}
		}
		b.change(HalfOpen, now)
	case HalfOpen:
		if b.probes >= b.config.Probes && now.Sub(b.probedAt) >= b.config.ProbeFor {
			b.probes = 0 // lost: whoever had them, their results are too late
			b.generation++
		}
		if b.probes >= b.config.Probes {
			return Permit{}, &OpenError{HalfOpen, 0}
		}
	}
	if b.state == HalfOpen {
		b.probes++
		b.probedAt = now
	}
	return Permit{&permit{breaker: b, generation: b.generation}}, nil
}

// Success ends a call that worked: it closes a half-open breaker.
func (p Permit) Success() {
	p.end(func(b *Breaker, now time.Time) {
		if b.state == HalfOpen {
			b.change(Closed, now)
			return
		}
		b.inARow = 0
		b.window.add(now, 1, 0)
	})
}

// Failure ends a call that did not.
func (p Permit) Failure() { p.end((*Breaker).fail) }

// Cancel ends a call without a result, for instance because the asker went
// away: it says nothing about the dependency, and a half-open breaker can give
// the probe to somebody else.
func (p Permit) Cancel() {
	p.end(func(b *Breaker, _ time.Time) {
		if b.state == HalfOpen {
			b.probes--
		}
	})
}

// end spends a permit; its result counts if the breaker is still in the state
// in which it gave the permit.
func (p Permit) end(how func(*Breaker, time.Time)) {
	if p.p == nil {
		return
	}
	b := p.p.breaker
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.p.used {
		return
	}
	p.p.used = true
	if p.p.generation == b.generation {
		how(b, b.config.Now())
	}
}

// fail counts a failure, with the lock held.
func (b *Breaker) fail(now time.Time) {
	if b.state == HalfOpen {
		b.change(Open, now)
		return
	}
	b.inARow++
	b.window.add(now, 0, 1)
	good, bad := b.window.counts(now)
	total := good + bad
	inARow := b.config.Failures != Off && b.inARow >= b.config.Failures
	rate := b.config.Rate != Off && total >= b.config.MinRequests && float64(bad) >= b.config.Rate*float64(total)
	if inARow || rate {
		b.change(Open, now)
	}
}

// change goes to another state, with the lock held.
func (b *Breaker) change(to State, now time.Time) {
	good, bad := b.window.counts(now)
	c := Change{From: b.state, To: to, InARow: b.inARow, Failed: bad, Results: good + bad}
	b.state, b.inARow, b.probes, b.window = to, 0, 0, newWindow(b.config.Window)
	b.generation++
	if to == Open {
		b.openedAt, c.RetryAfter = now, b.config.OpenFor
	}
	if b.config.OnChange != nil {
		b.changes = append(b.changes, c)
	}
}

// tell calls OnChange for what has changed. While one goroutine tells, others
// leave it to that one, so that the order is kept and OnChange may use the
// breaker.
func (b *Breaker) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling {
		return
	}
	for len(b.changes) > 0 {
		c := b.changes[0]
		b.changes = b.changes[1:]
		b.tellOne(c)
	}
	b.changes = nil
}

// tellOne gives up the lock for the call, even if that panics.
func (b *Breaker) tellOne(c Change) {
	b.telling = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.telling = false
	}()
	b.config.OnChange(c)
}
