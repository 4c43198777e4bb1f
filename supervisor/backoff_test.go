package supervisor

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fixed is a Random that always gives the same number.
type fixed float64

func (f fixed) Float64() float64 { return float64(f) }

const middle = fixed(0.5) // no jitter either way

func TestPolicyDelays(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   []time.Duration
	}{
		"default":      {DefaultPolicy, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		"aggressive":   {AggressivePolicy, []time.Duration{500 * time.Millisecond, 1250 * time.Millisecond, 3125 * time.Millisecond, 7812500 * time.Microsecond, 19531250 * time.Microsecond}},
		"conservative": {ConservativePolicy, []time.Duration{2 * time.Second, 3 * time.Second}},
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
	good := DefaultPolicy
	for name, change := range map[string]func(*Policy, *BreakerConfig){
		"zero min":          func(p *Policy, _ *BreakerConfig) { p.Min = 0 },
		"max below min":     func(p *Policy, _ *BreakerConfig) { p.Max = p.Min - 1 },
		"factor zero":       func(p *Policy, _ *BreakerConfig) { p.Factor = 0 },
		"factor NaN":        func(p *Policy, _ *BreakerConfig) { p.Factor = math.NaN() },
		"factor infinite":   func(p *Policy, _ *BreakerConfig) { p.Factor = math.Inf(1) },
		"jitter above one":  func(p *Policy, _ *BreakerConfig) { p.Jitter = 1.1 },
		"negative retries":  func(p *Policy, _ *BreakerConfig) { p.Retries = -1 },
		"negative failures": func(_ *Policy, b *BreakerConfig) { b.Failures = -1 },
		"rate above one":    func(_ *Policy, b *BreakerConfig) { b.Rate = 1.5 },
		"negative window":   func(_ *Policy, b *BreakerConfig) { b.Window = -1 },
		"negative open":     func(_ *Policy, b *BreakerConfig) { b.OpenFor = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			p, b := good, BreakerConfig{}
			change(&p, &b)
			if _, err := Producer(Options{Policy: p, Breaker: b}); !errors.Is(err, ErrConfig) {
				t.Fatalf("accepted: %v", err)
			}
		})
	}
	if _, err := Producer(Options{Policy: good}); err != nil {
		t.Fatal(err)
	}
}
