package supervisor

import "chive/supervisor/retry"

// The parts of package retry that actors use, under the names they have here.
type (
	Backoff       = retry.Backoff
	Breaker       = retry.Breaker
	BreakerConfig = retry.BreakerConfig
	Permit        = retry.Permit
	Random        = retry.Random
)

// ErrConfig is wrapped by every error about impossible settings.
var ErrConfig = retry.ErrConfig
