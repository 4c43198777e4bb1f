package retry

import "time"

// Stats is what a breaker counts.
type Stats struct {
	State           State
	InARow          int // failures in a row
	Failed, Results int // in the window
	Probes          int // under way, when half-open
	RetryAfter      time.Duration
}

// Stats is what the breaker counts now.
func (b *Breaker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	good, bad := b.window.counts(now)
	return Stats{
		State: b.state, InARow: b.inARow, Failed: bad, Results: good + bad, Probes: b.probes,
		RetryAfter: b.retryAfter(now),
	}
}

// State is the state. An open breaker becomes half-open when a call is
// allowed, not when the time for it has come.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// RetryAfter is how long an open breaker still refuses; 0 in the other states.
func (b *Breaker) RetryAfter() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.retryAfter(b.config.Now())
}

func (b *Breaker) retryAfter(now time.Time) time.Duration {
	if b.state != Open {
		return 0
	}
	if now.Before(b.openedAt) {
		b.openedAt = now // the clock was set back: wait once more, not until it caught up
	}
	return max(0, b.config.OpenFor-now.Sub(b.openedAt))
}

// Quiet reports whether the breaker has nothing recent to remember: closed
// without results in its window, or due for a probe for longer than it had
// been open. Whoever keeps many may drop such a one.
func (b *Breaker) Quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	if b.state != Closed {
		return b.probes == 0 && now.Sub(b.openedAt) > 2*b.config.OpenFor
	}
	good, bad := b.window.counts(now)
	return good+bad == 0
}

// Fell tells of a failure that belongs to no call under way: something that
// had worked broke soon after. It counts while the breaker is closed.
func (b *Breaker) Fell() {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == Closed {
		b.fail(b.config.Now())
	}
}

// Reset closes the breaker and forgets every result.
func (b *Breaker) Reset() { b.force(Closed) }

// Trip opens the breaker, for OpenFor.
func (b *Breaker) Trip() { b.force(Open) }

func (b *Breaker) force(to State) {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	if b.state != to {
		b.change(to, now)
		return
	}
	// The same state afresh: what began before does not count in it.
	b.generation++
	b.inARow, b.probes, b.window = 0, 0, newWindow(b.config.Window)
	if to == Open {
		b.openedAt = now
	}
}

// Snapshot is what survives a restart: calls under way do not.
type Snapshot struct {
	State    State
	InARow   int       // failures in a row, when closed
	OpenedAt time.Time // when open or half-open
}

// Snapshot is the state to be kept.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Snapshot{State: b.state, InARow: b.inARow}
	if b.state != Closed {
		s.OpenedAt = b.openedAt
	}
	return s
}

// RestoreBreaker makes a breaker as it was. One that was half-open may be
// probed at once, as its probe went with the process; OnChange is not called.
// It panics as NewBreaker does; an impossible snapshot is one of closed state.
func RestoreBreaker(config BreakerConfig, s Snapshot) *Breaker {
	b := NewBreaker(config)
	switch s.State {
	case Open, HalfOpen:
		b.state, b.openedAt = Open, s.OpenedAt
		if s.State == HalfOpen {
			b.openedAt = b.config.Now().Add(-b.config.OpenFor)
		}
	default:
		b.inARow = max(0, s.InARow)
		if b.config.Failures != Off {
			b.inARow = min(b.inARow, b.config.Failures-1)
		}
	}
	return b
}
