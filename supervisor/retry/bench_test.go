package retry

import (
	"context"
	"testing"
)

func succeed(context.Context) error { return nil }

// What a breaker costs a call that works.
func BenchmarkExecute(b *testing.B) {
	breaker := NewBreaker(BreakerConfig{})
	b.ReportAllocs()
	for b.Loop() {
		if err := breaker.Execute(b.Context(), succeed); err != nil {
			b.Fatal(err)
		}
	}
}

// The same while it is open.
func BenchmarkRefused(b *testing.B) {
	breaker := NewBreaker(BreakerConfig{OpenFor: 1 << 62})
	breaker.Trip()
	b.ReportAllocs()
	for b.Loop() {
		if err := breaker.Execute(b.Context(), succeed); err == nil {
			b.Fatal("not refused")
		}
	}
}

// All of it around a call that works.
func BenchmarkRetrier(b *testing.B) {
	r := Retrier{Policy: Default(), Breaker: NewBreaker(BreakerConfig{}), Budget: NewBudget(BudgetConfig{})}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Do(b.Context(), succeed); err != nil {
			b.Fatal(err)
		}
	}
}
