package supervisor

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Random is a source of numbers in [0, 1), such as a *rand.Rand.
type Random interface{ Float64() float64 }

// ErrConfig is wrapped by every error about impossible settings.
var ErrConfig = errors.New("supervisor: impossible setting")

// Backoff is how long to wait after the n-th failure in a row: about
// Min·Factor^(n-1), spread by ±Jitter, and never more than Max with the jitter
// in it.
type Backoff struct {
	Min, Max time.Duration // 0 < Min <= Max
	Factor   float64       // >= 1
	Jitter   float64       // 0..1, share of the delay to spread over to either side; 1 is full jitter
}

// Policy is a Backoff with an end.
type Policy struct {
	Backoff
	// Retries is how many failures in a row are followed by another attempt:
	// with 3, the fourth failure is final. 0 means there is no limit.
	Retries int
}

// The policies that the documentation names. Means without jitter: 1, 2, 4 s;
// 0.5, 1.25, 3.125, 7.8, 19.5 s; 2, 3 s.
var (
	DefaultPolicy      = Policy{Backoff{time.Second, 30 * time.Second, 2, 0.1}, 3}
	AggressivePolicy   = Policy{Backoff{500 * time.Millisecond, 60 * time.Second, 2.5, 0.2}, 5}
	ConservativePolicy = Policy{Backoff{2 * time.Second, 15 * time.Second, 1.5, 0.05}, 2}
)

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (b Backoff) Validate() error {
	switch {
	case b.Min <= 0 || b.Max < b.Min:
		return fmt.Errorf("%w: backoff from %v to %v", ErrConfig, b.Min, b.Max)
	case !(b.Factor >= 1) || math.IsInf(b.Factor, 0):
		return fmt.Errorf("%w: backoff factor %v is not at least 1", ErrConfig, b.Factor)
	case !(b.Jitter >= 0 && b.Jitter <= 1):
		return fmt.Errorf("%w: jitter %v is not within 0..1", ErrConfig, b.Jitter)
	}
	return nil
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (p Policy) Validate() error {
	if p.Retries < 0 {
		return fmt.Errorf("%w: %d retries", ErrConfig, p.Retries)
	}
	return p.Backoff.Validate()
}

// Delay is the wait after the given number of failures in a row, from 1.
// The result is in
// [Min·(1-Jitter), Max] and at least Min/16, so that even full jitter never
// gives a hot loop. b must be valid.
func (b Backoff) Delay(failures int, random Random) time.Duration {
	mean := float64(b.Min) * math.Pow(b.Factor, float64(max(failures, 1)-1))
	// Room for the jitter is kept below Max, instead of cutting off what it
	// adds: otherwise half of the long waits would be exactly Max, together.
	mean = min(mean, float64(b.Max)/(1+b.Jitter))
	delay := mean * (1 + b.Jitter*(2*random.Float64()-1))
	low := max(float64(b.Min)/16, float64(b.Min)*(1-b.Jitter))
	return time.Duration(min(max(delay, low), float64(b.Max)))
}
