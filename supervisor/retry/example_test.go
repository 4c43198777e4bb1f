package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chive/supervisor/retry"
)

// quick is Conservative with waits that do not slow the examples down.
func quick() retry.Policy {
	p := retry.Conservative()
	p.Min, p.Max = time.Millisecond, 10*time.Millisecond
	return p
}

func ExampleRetry() {
	err := retry.Retry(context.Background(), func(context.Context) error { return nil })
	fmt.Println(err)
	// Output: <nil>
}

func ExampleRetryWithPolicy() {
	calls := 0
	err := retry.RetryWithPolicy(context.Background(), quick(), func(context.Context) error {
		calls++
		return retry.Wrap(retry.Network, errors.New("no route"))
	})
	fmt.Println(err)
	fmt.Println(calls, "calls")
	// Output:
	// retries exhausted after 3 calls (2 retries): network: no route
	// 3 calls
}

func ExampleWrap() {
	forged := retry.Wrap(retry.Crypto, errors.New("bad signature"))
	fetch := retry.Wrap(retry.Network, fmt.Errorf("fetch: %w", forged))
	fmt.Println(retry.CategoryOf(fetch), retry.Default().Retryable(fetch))
	// Output: crypto false
}

func ExampleBreaker_Execute() {
	b := retry.NewBreaker(retry.BreakerConfig{
		Failures: 2, OnChange: func(c retry.Change) { fmt.Println(c.From, "to", c.To) },
	})
	for range 3 {
		err := b.Execute(context.Background(), func(context.Context) error { return errors.New("down") })
		fmt.Println(errors.Is(err, retry.ErrOpen))
	}
	// Output:
	// false
	// closed to open
	// false
	// true
}

func ExampleBreaker_ExecuteWithRetry() {
	b := retry.NewBreaker(retry.BreakerConfig{Failures: 1, OpenFor: 2 * time.Millisecond})
	calls := 0
	err := b.ExecuteWithRetry(context.Background(), quick(), func(context.Context) error {
		if calls++; calls == 1 {
			return retry.Wrap(retry.Connection, errors.New("refused"))
		}
		return nil
	})
	fmt.Println(err, calls, b.State())
	// Output: <nil> 2 closed
}

func ExampleRetrier() {
	err := retry.Retrier{
		Policy: quick(),
		Budget: retry.NewBudget(retry.BudgetConfig{Burst: 1, PerSecond: 0.001}),
		OnFailure: func(f retry.Failure) {
			fmt.Println("call", f.Calls, f.Category, f.GaveUp)
		},
	}.Do(context.Background(), func(context.Context) error {
		return retry.Wrap(retry.Timeout, errors.New("too slow"))
	})
	var gave *retry.GiveUpError
	fmt.Println(errors.As(err, &gave) && gave.Reason == retry.NoBudget)
	// Output:
	// call 1 timeout going
	// call 2 timeout retry budget used up
	// true
}

func ExampleBudgets() {
	budgets := retry.NewBudgets[string](retry.BudgetConfig{Burst: 2})
	fmt.Println(budgets.For("circuits").Spend(), budgets.For("circuits").Left(), budgets.For("directory").Left())
	// Output: true 1 2
}
