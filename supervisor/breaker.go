package supervisor

import (
	"fmt"
	"time"
)

// BreakerState is one of closed, open and half-open.
type BreakerState uint8

// The states of a breaker.
const (
	Closed BreakerState = iota
	Open
	HalfOpen
)

func (s BreakerState) String() string { return [...]string{"closed", "open", "half-open"}[s] }

// BreakerConfig says when a breaker opens; a zero field takes its default.
type BreakerConfig struct {
	Failures    int           // opens after so many failures in a row; 5
	Rate        float64       // or when this share of the results in Window are failures; 0.5
	MinRequests int           // results in Window before Rate counts; 10
	Window      time.Duration // 1 min
	OpenFor     time.Duration // 30 s
	Probes      int           // attempts let through at once when half-open; 1
}

// WithDefaults fills in the zero fields.
func (c BreakerConfig) WithDefaults() BreakerConfig {
	setDefault(&c.Failures, 5)
	setDefault(&c.Rate, 0.5)
	setDefault(&c.MinRequests, 10)
	setDefault(&c.Window, time.Minute)
	setDefault(&c.OpenFor, 30*time.Second)
	setDefault(&c.Probes, 1)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (c BreakerConfig) Validate() error {
	switch c = c.WithDefaults(); {
	case c.Failures < 0, c.MinRequests < 0, c.Probes < 0:
		return fmt.Errorf("%w: negative count in %+v", ErrConfig, c)
	case !(c.Rate > 0 && c.Rate <= 1):
		return fmt.Errorf("%w: failure rate %v is not within 0..1", ErrConfig, c.Rate)
	case c.Window < windowParts, c.OpenFor < 0:
		return fmt.Errorf("%w: window %v, open for %v", ErrConfig, c.Window, c.OpenFor)
	}
	return nil
}

// Breaker stops attempts at something that keeps failing. Time is passed in;
// it is not safe for concurrent use: it belongs to one actor.
type Breaker struct {
	// OnChange, if not nil, is called at each change of state, in order,
	// before the method that caused it returns.
	OnChange func(from, to BreakerState)

	config     BreakerConfig
	state      BreakerState
	generation uint64 // of the state: results of permits from earlier ones are ignored
	inARow     int
	window     window
	openedAt   time.Time
	probes     int // under way, in half-open state
}

// Permit is the right to one attempt. Exactly one of Breaker's Success,
// Failure and Cancel is called with it; further calls do nothing, nor does the
// zero Permit.
type Permit struct{ p *permit }

type permit struct {
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

// State is the state at a time; an open breaker is half-open when it would
// allow a probe.
func (b *Breaker) State(now time.Time) BreakerState {
	if b.state == Open && b.RetryAfter(now) == 0 {
		return HalfOpen
	}
	return b.state
}

// RetryAfter is how long an open breaker stays open; 0 in the other states.
func (b *Breaker) RetryAfter(now time.Time) time.Duration {
	if b.state != Open {
		return 0
	}
	// A clock that was set back must not keep it open for longer than OpenFor.
	return min(max(0, b.openedAt.Add(b.config.OpenFor).Sub(now)), b.config.OpenFor)
}

// quiet reports whether the breaker has nothing recent to remember: closed
// without results in its window, or due for a probe for longer than it had
// been open.
func (b *Breaker) quiet(now time.Time) bool {
	if b.state != Closed {
		return b.probes == 0 && now.Sub(b.openedAt) > 2*b.config.OpenFor
	}
	good, bad := b.window.counts(now)
	return good+bad == 0
}

// Acquire gives a permit, or false: the breaker is open, or half-open with all
// its probes under way.
func (b *Breaker) Acquire(now time.Time) (Permit, bool) {
	if b.state == Open {
		if b.RetryAfter(now) > 0 {
			return Permit{}, false
		}
		b.change(HalfOpen)
	}
	if b.state == HalfOpen {
		if b.probes >= b.config.Probes {
			return Permit{}, false
		}
		b.probes++
	}
	return Permit{&permit{generation: b.generation}}, true
}

// Success ends an attempt that worked: it closes a half-open breaker.
func (b *Breaker) Success(p Permit, now time.Time) {
	if !b.use(p) {
		return
	}
	if b.state == HalfOpen {
		b.change(Closed)
		return
	}
	b.inARow = 0
	b.window.add(now, 1, 0)
}

// Failure ends an attempt that did not.
func (b *Breaker) Failure(p Permit, now time.Time) {
	if b.use(p) {
		b.fail(now)
	}
}

// Fell tells of a failure that belongs to no attempt under way: something that
// had worked broke soon after. It counts while the breaker is closed.
func (b *Breaker) Fell(now time.Time) {
	if b.state == Closed {
		b.fail(now)
	}
}

// Cancel ends an attempt without a result, for instance because the asker went
// away: it says nothing about the dependency, and a half-open breaker can give
// the probe to somebody else.
func (b *Breaker) Cancel(p Permit) {
	if b.use(p) && b.state == HalfOpen {
		b.probes--
	}
}

// use spends a permit; false means that its result must be ignored.
func (b *Breaker) use(p Permit) bool {
	if p.p == nil || p.p.used {
		return false
	}
	p.p.used = true
	return p.p.generation == b.generation
}

func (b *Breaker) fail(now time.Time) {
	if b.state == HalfOpen {
		b.open(now)
		return
	}
	b.inARow++
	b.window.add(now, 0, 1)
	good, bad := b.window.counts(now)
	total := good + bad
	if b.inARow >= b.config.Failures || total >= b.config.MinRequests && float64(bad) >= b.config.Rate*float64(total) {
		b.open(now)
	}
}

func (b *Breaker) open(now time.Time) {
	b.openedAt = now
	b.change(Open)
}

func (b *Breaker) change(to BreakerState) {
	from := b.state
	b.state, b.inARow, b.probes, b.window = to, 0, 0, newWindow(b.config.Window)
	b.generation++
	if b.OnChange != nil {
		b.OnChange(from, to)
	}
}

// windowParts is the resolution of the sliding window.
const windowParts = 10

// window counts results over a sliding span of time, in windowParts slots.
type window struct {
	part  time.Duration
	slots [windowParts]struct {
		start     int64 // number of the part since the epoch
		good, bad int
	}
}

func newWindow(span time.Duration) window { return window{part: span / windowParts} }

func (w *window) number(now time.Time) int64 { return now.UnixNano() / int64(w.part) }

func (w *window) add(now time.Time, good, bad int) {
	n := w.number(now)
	slot := &w.slots[uint64(n)%windowParts]
	if slot.start != n {
		slot.start, slot.good, slot.bad = n, 0, 0
	}
	slot.good += good
	slot.bad += bad
}

func (w *window) counts(now time.Time) (good, bad int) {
	n := w.number(now)
	for _, slot := range w.slots {
		if age := n - slot.start; age >= 0 && age < windowParts {
			good += slot.good
			bad += slot.bad
		}
	}
	return good, bad
}
