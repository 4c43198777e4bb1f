package retry

import (
	"fmt"
	"time"
)

// Forever, as Policy.Retries, has no end but the context's.
const Forever = -1

// Policy says how often, when and after which errors to try again. The zero
// Policy is refused: start from one of the named ones.
type Policy struct {
	Backoff
	// Retries is how many calls may follow the first: with 3, there are at most
	// 4 calls. 0 means one call; Forever, no limit.
	Retries int
	// On is after which categories to try again, a subset of connection,
	// circuit, directory, timeout and network; empty means all five.
	On Categories
	// PerCall, if not 0, ends each call's context after so long; the error is
	// then of category timeout.
	PerCall time.Duration
}

// Calls is how many times a function is called at most: Retries and the first;
// Forever for a policy without end.
func (p Policy) Calls() int {
	if p.Retries < 0 {
		return Forever
	}
	return p.Retries + 1
}

// Default is 3 retries (4 calls) after waits of 1, 2 and 4 s ±10 %, capped at
// 30 s.
func Default() Policy {
	return Policy{Backoff: Backoff{time.Second, 30 * time.Second, 2, 0.1}, Retries: 3, On: retryable}
}

// Aggressive is 5 retries (6 calls) after waits of 0.5, 1.25, 3.125, 7.8 and
// 19.5 s ±20 %, capped at 60 s.
func Aggressive() Policy {
	return Policy{Backoff: Backoff{500 * time.Millisecond, 60 * time.Second, 2.5, 0.2}, Retries: 5, On: retryable}
}

// Conservative is 2 retries (3 calls) after waits of 2 and 3 s ±5 %, capped at
// 15 s, and only of connection, timeout and network errors.
func Conservative() Policy {
	return Policy{
		Backoff: Backoff{2 * time.Second, 15 * time.Second, 1.5, 0.05}, Retries: 2,
		On: Set(Connection, Timeout, Network),
	}
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (p Policy) Validate() error {
	switch {
	case p == Policy{}:
		return fmt.Errorf("%w: empty policy: start from Default, Aggressive or Conservative", ErrConfig)
	case p.Retries < Forever:
		return fmt.Errorf("%w: %d retries: want 0 or more, or Forever", ErrConfig, p.Retries)
	case p.On.Without(Connection, Circuit, Directory, Timeout, Network) != 0:
		return fmt.Errorf("%w: trying again does not help against: %v", ErrConfig, p.On&^retryable)
	case p.PerCall < 0:
		return fmt.Errorf("%w: %v for each call", ErrConfig, p.PerCall)
	}
	return p.Backoff.Validate()
}

// Retryable reports whether the policy tries again after err: its category is
// in On, and nobody cancelled.
func (p Policy) Retryable(err error) bool {
	on := p.On
	if on == 0 {
		on = retryable
	}
	return err != nil && !cancelled(err) && on.Has(CategoryOf(err))
}

// spent reports whether no retry is left after so many.
func (p Policy) spent(retries int) bool { return p.Retries >= 0 && retries >= p.Retries }
