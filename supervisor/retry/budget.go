package retry

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// BudgetConfig says how many retries a purpose may make; a zero field takes
// its default.
type BudgetConfig struct {
	Ratio     float64          // retries earned by each first call; 0.2
	PerSecond float64          // retries earned each second, so that a quiet client may retry too; 1
	Burst     int              // retries that can be saved up; 10. A new budget is full
	Now       func() time.Time // time.Now
}

// WithDefaults fills in the zero fields.
func (c BudgetConfig) WithDefaults() BudgetConfig {
	setDefault(&c.Ratio, 0.2)
	setDefault(&c.PerSecond, 1)
	setDefault(&c.Burst, 10)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate tells what is wrong with the settings, wrapping ErrConfig.
func (c BudgetConfig) Validate() error {
	c = c.WithDefaults()
	finite := func(f float64) bool { return f >= 0 && !math.IsInf(f, 0) }
	if !finite(c.Ratio) || !finite(c.PerSecond) || c.Burst < 1 {
		return fmt.Errorf("%w: retry budget with ratio %v, %v per second, burst %d", ErrConfig, c.Ratio, c.PerSecond, c.Burst)
	}
	return nil
}

// Budget bounds the retries of all that share it, so that a dependency in
// trouble is not met with many times its usual load. Safe for concurrent use.
type Budget struct {
	config BudgetConfig

	mu     sync.Mutex // protects the fields below
	tokens float64
	last   time.Time
}

// NewBudget makes a full budget. It panics if config.Validate fails: call that
// first for settings that come from outside.
func NewBudget(config BudgetConfig) *Budget {
	if err := config.Validate(); err != nil {
		panic(err)
	}
	config = config.WithDefaults()
	return &Budget{config: config, tokens: float64(config.Burst), last: config.Now()}
}

// Earn tells of a first call.
func (b *Budget) Earn() { b.change(func() bool { b.tokens += b.config.Ratio; return true }) }

// Spend takes one retry; false means that there is none left.
func (b *Budget) Spend() bool {
	return b.change(func() bool {
		if b.tokens < 1-1e-9 { // tenths do not add up to one exactly
			return false
		}
		b.tokens--
		return true
	})
}

// Left is how many retries may be made now.
func (b *Budget) Left() (n int) {
	b.change(func() bool { n = int(b.tokens + 1e-9); return true })
	return n
}

// Refill fills the budget up, when what failed is known to work again.
func (b *Budget) Refill() {
	b.change(func() bool { b.tokens = float64(b.config.Burst); return true })
}

// change brings the tokens up to date before f and keeps them within Burst.
func (b *Budget) change(f func() bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := float64(b.config.Burst)
	now := b.config.Now()
	if passed := now.Sub(b.last); passed > 0 {
		b.tokens = min(full, b.tokens+passed.Seconds()*b.config.PerSecond)
	}
	b.last = now // also when the clock was set back
	ok := f()
	b.tokens = max(0, min(full, b.tokens))
	return ok
}

// Budgets keeps one budget for each purpose, made when first asked for. The
// purposes must be a closed set: none is ever forgotten. Safe for concurrent
// use.
type Budgets[P comparable] struct {
	config BudgetConfig

	mu  sync.Mutex // protects all
	all map[P]*Budget
}

// NewBudgets makes budgets of one kind; it panics as NewBudget does.
func NewBudgets[P comparable](config BudgetConfig) *Budgets[P] {
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return &Budgets[P]{config: config, all: map[P]*Budget{}}
}

// For is the budget of a purpose.
func (b *Budgets[P]) For(purpose P) *Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	budget := b.all[purpose]
	if budget == nil {
		budget = NewBudget(b.config)
		b.all[purpose] = budget
	}
	return budget
}

// Refill fills all budgets up.
func (b *Budgets[P]) Refill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, budget := range b.all {
		budget.Refill()
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
