package retry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Retry calls fn until it succeeds, by the policy Default.
func Retry(ctx context.Context, fn func(context.Context) error) error {
	return RetryWithPolicy(ctx, Default(), fn)
}

// RetryWithPolicy calls fn until it succeeds or the policy ends; any error is
// a *GiveUpError. The context goes to fn and is honoured between calls.
func RetryWithPolicy(ctx context.Context, policy Policy, fn func(context.Context) error) error {
	return Retrier{Policy: policy}.Do(ctx, fn)
}

// Retrier calls functions again.
type Retrier struct {
	Policy
	Breaker *Breaker // asked before each call; nil: none
	Budget  *Budget  // each retry is paid from it; nil: no limit
	Rand    Random   // for jitter; nil: the runtime's own
	// OnFailure, if not nil, is called after each failed call and each refusal
	// of the breaker.
	OnFailure func(Failure)
}

// Failure tells of a call that failed.
type Failure struct {
	Err      error
	Category Category
	Calls    int           // made so far
	Refused  bool          // the breaker did not let this one through
	Wait     time.Duration // before the next
	GaveUp   Reason        // Going while there is a next
}

// Reason is why a Retrier stopped.
type Reason uint8

// The reasons.
const (
	Going        Reason = iota // it did not stop
	Exhausted                  // all the policy's retries were made
	NotRetryable               // trying again cannot help, or the policy says not to
	Cancelled                  // the context was cancelled
	Deadline                   // the context's deadline passed, or would before the next call
	NoBudget                   // the retry budget is used up
	Refused                    // the breaker stays open longer than the policy waits
)

func (r Reason) String() string {
	if r > Refused {
		return fmt.Sprintf("reason %d", uint8(r))
	}
	return [...]string{
		"going", "retries exhausted", "not retryable", "cancelled", "out of time", "retry budget used up",
		"circuit breaker open",
	}[r]
}

// GiveUpError is why there was no success. It matches (errors.Is, errors.As)
// the last call's error and what ended the context.
type GiveUpError struct {
	Reason  Reason
	Calls   int // made; the retries are one fewer
	Elapsed time.Duration
	Err     error // of the last call, or the refusal; nil if there was none
	Cause   error // of the context's end, or nil
}

// Retries is how many calls followed the first.
func (e *GiveUpError) Retries() int { return max(0, e.Calls-1) }

func (e *GiveUpError) Error() string {
	text := fmt.Sprintf("%v after %s (%s)", e.Reason, count(e.Calls, "call", "calls"), count(e.Retries(), "retry", "retries"))
	if e.Cause != nil {
		text += fmt.Sprintf(": %v", e.Cause)
	}
	if e.Err != nil && !errors.Is(e.Cause, e.Err) {
		text += fmt.Sprintf(": %v", e.Err)
	}
	return text
}

// Unwrap gives the last error and the context's.
func (e *GiveUpError) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Err, e.Cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// run is one Do.
type run struct {
	Retrier
	ctx      context.Context
	fn       func(context.Context) error
	start    time.Time
	calls    int
	refusals int // in a row
}

// Do calls fn until it succeeds or there is a reason to stop; the error is a
// *GiveUpError, or wraps ErrConfig.
func (r Retrier) Do(ctx context.Context, fn func(context.Context) error) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Rand == nil {
		r.Rand = shared{}
	}
	loop := &run{Retrier: r, ctx: ctx, fn: fn, start: time.Now()}
	var last error
	for {
		if ctx.Err() != nil {
			return loop.giveUp(loop.ended(), last)
		}
		err := loop.attempt()
		if err == nil {
			return nil
		}
		last = err
		wait, reason := loop.next(err)
		loop.report(err, wait, reason)
		if reason != Going {
			return loop.giveUp(reason, err)
		}
		loop.sleep(wait)
	}
}

// attempt makes one call, or is refused.
func (r *run) attempt() error {
	counted := func(ctx context.Context) error {
		r.calls, r.refusals = r.calls+1, 0
		if r.calls == 1 && r.Budget != nil {
			r.Budget.Earn()
		}
		if r.PerCall > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, r.PerCall)
			defer cancel()
		}
		return call(ctx, r.fn)
	}
	if r.Breaker == nil {
		return counted(r.ctx)
	}
	before := r.calls
	err := r.Breaker.Execute(r.ctx, counted)
	if r.calls == before && err != nil {
		r.refusals++
	}
	return err
}

// next decides what follows an error: a wait, or the reason to stop.
func (r *run) next(err error) (time.Duration, Reason) {
	if r.ctx.Err() != nil {
		return 0, r.ended()
	}
	wait, reason := r.plan(err)
	if reason != Going {
		return 0, reason
	}
	if deadline, ok := r.ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return 0, Deadline // waiting would be in vain
	}
	if r.refusals == 0 && r.Budget != nil && !r.Budget.Spend() {
		return 0, NoBudget
	}
	return wait, Going
}

func (r *run) plan(err error) (time.Duration, Reason) {
	var open *OpenError
	if r.refusals > 0 && errors.As(err, &open) {
		// A refusal costs no retry, but there is an end to them too.
		if open.RetryAfter > r.Max || r.spent(r.refusals-1) {
			return 0, Refused
		}
		// A little later than it opens, so that not all who wait come at once.
		return open.RetryAfter + r.Delay(r.refusals, r.Rand), Going
	}
	if !r.Retryable(err) {
		return 0, NotRetryable
	}
	retries := r.calls - 1
	if r.spent(retries) {
		return 0, Exhausted
	}
	return max(r.Delay(r.calls, r.Rand), min(afterOf(err), r.Max)), Going
}

// ended names how the context ended.
func (r *run) ended() Reason {
	if errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
		return Deadline
	}
	return Cancelled
}

func (r *run) giveUp(reason Reason, err error) error {
	e := &GiveUpError{Reason: reason, Calls: r.calls, Elapsed: time.Since(r.start), Err: err, Cause: context.Cause(r.ctx)}
	if reason == Deadline && e.Cause == nil {
		e.Cause = context.DeadlineExceeded
	}
	return e
}

func (r *run) report(err error, wait time.Duration, reason Reason) {
	if r.OnFailure != nil {
		r.OnFailure(Failure{
			Err: err, Category: CategoryOf(err), Calls: r.calls, Refused: r.refusals > 0, Wait: wait, GaveUp: reason,
		})
	}
}

// sleep waits, or until the context ends.
func (r *run) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.ctx.Done():
	case <-t.C:
	}
}
