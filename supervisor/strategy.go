package supervisor

import (
	"errors"
	"fmt"
	"time"

	"chive/supervisor/retry"
)

// Strategy says how children of one kind are kept running.
type Strategy struct {
	Kind string // of child, in events: connection, circuit, ...
	retry.Backoff
	// Retries is how many failures in a row are followed by an attempt in the
	// backoff's time. One more is told as exhausted, and attempts go on about
	// every Max. retry.Forever: it is never told.
	Retries int
	// Exhausted says what to do then besides: Retry, nothing; Escalate, the
	// owner fails, so that the level above starts it anew with all its children.
	Exhausted Directive
	// Breaker is the kind of breaker that each key has; nil: none.
	Breaker *retry.BreakerConfig
	// ResetAfter: healthy for so long, a failure is the first again; 0 = Max.
	ResetAfter time.Duration
	// Silent children never say Healthy: one that has run for ResetAfter was.
	// They have no breaker.
	Silent bool
}

// Connection is for TLS connections to relays: 0.5 s to 5 min, doubling, ±50 %;
// one breaker a relay (5 failures in a row, or half of at least 10 dials in a
// minute; open for 30 s; one probe).
func Connection() Strategy {
	return Strategy{
		Kind: "connection", Retries: 8, Breaker: &retry.BreakerConfig{},
		Backoff: Backoff{Min: 500 * time.Millisecond, Max: 5 * time.Minute, Factor: 2, Jitter: 0.5},
	}
}

// Circuit is for circuits: 0.1 to 10 s, doubling, ±50 %, each attempt on a new
// path. No breaker: the only relay that could have one is the guard, and its
// connection has.
func Circuit() Strategy {
	return Strategy{
		Kind: "circuit", Retries: 5,
		Backoff: Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second, Factor: 2, Jitter: 0.5},
	}
}

// Stream is for streams that have not carried data: 3 more circuits are asked,
// so that there are at most 4 attempts, 10 ms to 1 s apart.
func Stream() Strategy {
	return Strategy{
		Kind: "stream", Retries: 3,
		Backoff: Backoff{Min: 10 * time.Millisecond, Max: time.Second, Factor: 4, Jitter: 0.5},
	}
}

// Listener is for sockets that programs connect to: 0.2 to 30 s, doubling,
// ±20 %, for ever: the address may become free.
func Listener() Strategy {
	return Strategy{
		Kind: "listener", Retries: 5, Silent: true,
		Backoff: Backoff{Min: 200 * time.Millisecond, Max: 30 * time.Second, Factor: 2, Jitter: 0.2},
	}
}

// Service is for what the node cannot do without (the connections, the
// circuits, the directory, onion services): 0.2 to 30 s, doubling, ±20 %.
func Service() Strategy {
	s := Listener()
	s.Kind, s.Retries = "service", 8
	return s
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (s Strategy) Validate() error {
	var breaker error
	if s.Breaker != nil {
		breaker = s.Breaker.Validate()
	}
	switch {
	case s.Retries < retry.Forever:
		return fmt.Errorf("%w: strategy %q with %d retries", ErrConfig, s.Kind, s.Retries)
	case s.Exhausted != Retry && s.Exhausted != Escalate:
		return fmt.Errorf("%w: strategy %q would %v a child that fails: want retry or escalate", ErrConfig, s.Kind, s.Exhausted)
	case s.ResetAfter < 0:
		return fmt.Errorf("%w: strategy %q with a reset after %v", ErrConfig, s.Kind, s.ResetAfter)
	case s.Silent && s.Breaker != nil:
		return fmt.Errorf("%w: strategy %q has a breaker, and children that never say that they are healthy", ErrConfig, s.Kind)
	}
	return errors.Join(s.Backoff.Validate(), breaker)
}

// lasting is after how long a healthy child's failure is the first again.
func (s *Strategy) lasting() time.Duration {
	if s.ResetAfter > 0 {
		return s.ResetAfter
	}
	return s.Max
}

// ExhaustedAt reports whether so many failures in a row are the first one too
// many, which is to be told.
func (s *Strategy) ExhaustedAt(failures int) bool { return s.Retries >= 0 && failures == s.Retries+1 }

// capped is a number of failures after which every backoff is at its longest.
const capped = 1 << 20

// Wait is how long to wait after so many failures in a row.
func (s *Strategy) Wait(failures int, random Random) time.Duration {
	if s.Retries >= 0 && failures > s.Retries {
		failures = capped
	}
	return s.Delay(failures, random)
}
