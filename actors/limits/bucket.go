package limits

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Bucket is a token bucket. The zero value, and nil, give whatever is asked.
type Bucket struct {
	used    atomic.Uint64 // by Count
	limited atomic.Bool   // false: nothing below counts

	mu      sync.Mutex // protects the fields below
	rate    float64    // tokens a second
	burst   float64    // tokens that are saved up at most
	tokens  float64    // below zero: spent before they were there
	at      time.Time  // when tokens was right
	changed chan struct{}
}

// Set changes the rate and what is saved up at most (at least one token). A rate
// of 0 is no limit. Who waits is told.
func (b *Bucket) Set(rate, burst float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	burst = max(burst, 1)
	switch {
	case rate == b.rate && burst == b.burst:
		return
	case rate <= 0:
		b.rate, b.burst = 0, 0
	case b.rate <= 0: // there was no limit: it begins with all that may be saved up
		b.rate, b.burst, b.tokens, b.at = rate, burst, burst, time.Now()
	default:
		b.refill(time.Now())
		b.rate, b.burst, b.tokens = rate, burst, min(b.tokens, burst)
	}
	b.limited.Store(b.rate > 0)
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *Bucket) refill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
	}
	b.at = now
}

func (b *Bucket) unlimited() bool { return b == nil || !b.limited.Load() }

// Allow takes a token if there is one; else it says in how long there will be.
func (b *Bucket) Allow() (ok bool, in time.Duration) {
	if b.unlimited() {
		return true, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return true, 0
	}
	b.refill(time.Now())
	if b.tokens >= 1 {
		b.tokens--
		return true, 0
	}
	return false, b.until(1)
}

// until is how long it takes to have n tokens, at least a microsecond.
func (b *Bucket) until(n float64) time.Duration {
	s := (n - b.tokens) / b.rate
	return time.Duration(min(max(s*1e9, 1e3), math.MaxInt64/2))
}

// Grant takes up to want tokens, and waits until there are at least least of
// them (or the burst, if that is less). It returns 0 when stop is closed.
func (b *Bucket) Grant(want, least int, stop <-chan struct{}) int {
	if b.unlimited() || want <= 0 {
		return want
	}
	for {
		n, wait, changed := b.grant(want, min(least, want))
		if n > 0 {
			return n
		}
		if !pause(wait, changed, stop) {
			return 0
		}
	}
}

func (b *Bucket) grant(want, least int) (n int, wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return want, 0, nil
	}
	b.refill(time.Now())
	enough := max(min(float64(least), b.burst), 1)
	if b.tokens >= enough {
		n = int(min(float64(want), b.tokens))
		b.tokens -= float64(n)
		return n, 0, nil
	}
	return 0, b.until(enough), b.change()
}

// Refund gives back what was granted and not used.
func (b *Bucket) Refund(n int) {
	if n <= 0 || b.unlimited() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.burst, b.tokens+float64(n))
}

// Count notes that n tokens were of use, limit or not.
func (b *Bucket) Count(n int) {
	if b != nil && n > 0 {
		b.used.Add(uint64(n))
	}
}

// Used is what Count was told so far.
func (b *Bucket) Used() uint64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Spend takes n tokens at once, whether or not they are there, and waits until
// they would have been, or stop is closed.
func (b *Bucket) Spend(n int, stop <-chan struct{}) {
	if b.unlimited() {
		return
	}
	for spend := float64(n); ; spend = 0 {
		wait, changed := b.spend(spend)
		if wait <= 0 || !pause(wait, changed, stop) {
			return
		}
	}
}

func (b *Bucket) spend(n float64) (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return 0, nil
	}
	b.refill(time.Now())
	b.tokens -= n
	if b.tokens >= 0 {
		return 0, nil
	}
	return b.until(0), b.change()
}

// change is closed when the limit changes.
func (b *Bucket) change() <-chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// pause reports false when stop was closed.
func pause(d time.Duration, changed, stop <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-changed:
		return true
	case <-stop:
		return false
	}
}
