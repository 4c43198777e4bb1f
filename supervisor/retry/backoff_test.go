package retry

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPolicyDelays(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   []time.Duration
	}{
		"default":      {Default(), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		"aggressive":   {Aggressive(), []time.Duration{500 * time.Millisecond, 1250 * time.Millisecond, 3125 * time.Millisecond, 7812500 * time.Microsecond, 19531250 * time.Microsecond}},
		"conservative": {Conservative(), []time.Duration{2 * time.Second, 3 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.policy.Retries != len(c.want) {
				t.Fatalf("%d retries, want %d", c.policy.Retries, len(c.want))
			}
			for i, want := range c.want {
				if got := c.policy.Delay(i+1, middle); got != want {
					t.Errorf("after %d failures %v, want %v", i+1, got, want)
				}
			}
		})
	}
}

func TestDelayStaysWithinItsBoundsWithTheJitterInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "min"))
		b := Backoff{
			Min:    low,
			Max:    low + time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "more")),
			Factor: rapid.Float64Range(1, 10).Draw(t, "factor"),
			Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		u := fixed(rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "uniform"))
		n := rapid.IntRange(-3, 1<<40).Draw(t, "failures")
		floor := time.Duration(float64(b.Min)*(1-b.Jitter)) - 1
		if got := b.Delay(n, u); got < floor || got > b.Max || (got <= 0 && b.Min >= 16) {
			t.Fatalf("%+v after %d failures: %v", b, n, got)
		}
	})
}

func TestCappedDelaysAreSpreadNotEqual(t *testing.T) {
	b := Backoff{time.Second, 30 * time.Second, 2, 0.2}
	r := rand.New(rand.NewPCG(1, 2))
	atMax := 0
	for range 1000 {
		if b.Delay(50, r) == b.Max {
			atMax++
		}
	}
	if atMax > 5 {
		t.Fatalf("%d of 1000 waits are exactly the cap", atMax)
	}
}

func TestImpossibleSettingsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Policy, *BreakerConfig, *BudgetConfig){
		"zero min":           func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Min = 0 },
		"max below min":      func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Max = p.Min - 1 },
		"factor zero":        func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Factor = 0 },
		"factor NaN":         func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Factor = math.NaN() },
		"factor infinite":    func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Factor = math.Inf(1) },
		"jitter above one":   func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Jitter = 1.1 },
		"negative retries":   func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.Retries = -2 },
		"on crypto":          func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.On |= Set(Crypto) },
		"on unknown":         func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.On |= 1 << 15 },
		"negative per call":  func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { p.PerCall = -1 },
		"empty policy":       func(p *Policy, _ *BreakerConfig, _ *BudgetConfig) { *p = Policy{} },
		"negative failures":  func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.Failures = -2 },
		"negative requests":  func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.MinRequests = -1 },
		"negative probes":    func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.Probes = -1 },
		"rate above one":     func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.Rate = 1.5 },
		"rate NaN":           func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.Rate = math.NaN() },
		"no threshold":       func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.Failures, b.Rate = Off, Off },
		"negative window":    func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.Window = -1 },
		"negative open":      func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.OpenFor = -1 },
		"negative probe for": func(_ *Policy, b *BreakerConfig, _ *BudgetConfig) { b.ProbeFor = -1 },
		"negative ratio":     func(_ *Policy, _ *BreakerConfig, b *BudgetConfig) { b.Ratio = -1 },
		"ratio NaN":          func(_ *Policy, _ *BreakerConfig, b *BudgetConfig) { b.Ratio = math.NaN() },
		"infinite rate":      func(_ *Policy, _ *BreakerConfig, b *BudgetConfig) { b.PerSecond = math.Inf(1) },
		"negative burst":     func(_ *Policy, _ *BreakerConfig, b *BudgetConfig) { b.Burst = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			p, b, u := Default(), BreakerConfig{}, BudgetConfig{}
			change(&p, &b, &u)
			if err := errors.Join(p.Validate(), b.Validate(), u.Validate()); !errors.Is(err, ErrConfig) {
				t.Fatalf("accepted: %v", err)
			}
		})
	}
	if err := errors.Join(Default().Validate(), BreakerConfig{}.Validate(), BudgetConfig{}.Validate()); err != nil {
		t.Fatal(err)
	}
	if err := RetryWithPolicy(t.Context(), Policy{}, nil); !errors.Is(err, ErrConfig) {
		t.Fatalf("an empty policy: %v", err)
	}
}

// go-tor documented "3 attempts" and made 4 calls. Here both numbers have a name.
func TestRetriesAndCallsAreBothNamed(t *testing.T) {
	for name, c := range map[string]struct {
		policy         Policy
		retries, calls int
		first, last    time.Duration
		on             string
	}{
		"default":      {Default(), 3, 4, time.Second, 30 * time.Second, "connection circuit directory timeout network"},
		"aggressive":   {Aggressive(), 5, 6, 500 * time.Millisecond, time.Minute, "connection circuit directory timeout network"},
		"conservative": {Conservative(), 2, 3, 2 * time.Second, 15 * time.Second, "connection timeout network"},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.policy
			if p.Retries != c.retries || p.Calls() != c.calls || p.Min != c.first || p.Max != c.last || p.On.String() != c.on {
				t.Fatalf("%+v", p)
			}
		})
	}
	if forever := (Policy{Retries: Forever}); forever.Calls() != Forever {
		t.Fatal("an end of forever")
	}
}
