package retry

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Random is a source of numbers in [0, 1), such as a *rand.Rand.
type Random interface{ Float64() float64 }

// shared is the runtime's own generator: no lock is shared between callers.
type shared struct{}

func (shared) Float64() float64 { return rand.Float64() }

// ErrConfig is wrapped by every error about impossible settings.
var ErrConfig = errors.New("retry: impossible setting")

// Backoff is how long to wait after the n-th failure in a row: about
// Min·Factor^(n-1), spread by ±Jitter, and never more than Max with the jitter
// in it.
type Backoff struct {
	Min, Max time.Duration // 0 < Min <= Max
	Factor   float64       // >= 1
	Jitter   float64       // 0..1, share of the delay to spread over to either side; 1 is full jitter
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (b Backoff) Validate() error {
	switch {
	case b.Min <= 0 || b.Max < b.Min:
		return fmt.Errorf("%w: backoff from %v to %v: want 0 < Min <= Max", ErrConfig, b.Min, b.Max)
	case !(b.Factor >= 1) || math.IsInf(b.Factor, 0):
		return fmt.Errorf("%w: backoff factor %v: want at least 1", ErrConfig, b.Factor)
	case !(b.Jitter >= 0 && b.Jitter <= 1):
		return fmt.Errorf("%w: jitter %v: want 0 to 1", ErrConfig, b.Jitter)
	}
	return nil
}

// Delay is the wait after the given number of failures in a row, from 1. The
// result is in [Min·(1-Jitter), Max] and at least Min/16, so that even full
// jitter never gives a hot loop. b must be valid.
func (b Backoff) Delay(failures int, random Random) time.Duration {
	mean := float64(b.Min) * math.Pow(b.Factor, float64(max(failures, 1)-1))
	// Room for the jitter is kept below Max, instead of cutting off what it
	// adds: otherwise half of the long waits would be exactly Max, together.
	mean = min(mean, float64(b.Max)/(1+b.Jitter))
	delay := mean * (1 + b.Jitter*(2*random.Float64()-1))
	low := max(float64(b.Min)/16, float64(b.Min)*(1-b.Jitter))
	return time.Duration(min(max(delay, low), float64(b.Max)))
}
