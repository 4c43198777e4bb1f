package retry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestCategoryOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Category
	}{
		"nil":                     {nil, Internal},
		"unknown":                 {errors.New("?"), Internal},
		"given":                   {Wrap(Directory, io.EOF), Directory},
		"outermost of retryable":  {Wrap(Network, Wrap(Timeout, io.EOF)), Network},
		"fatal inside":            {Wrap(Network, Wrap(Crypto, io.EOF)), Crypto},
		"fatal outside":           {Wrap(Protocol, Wrap(Network, io.EOF)), Protocol},
		"fatal in a join":         {errors.Join(errRefused, fmt.Errorf("x: %w", Wrap(Configuration, io.EOF))), Configuration},
		"given beats the library": {Wrap(Circuit, context.DeadlineExceeded), Circuit},
		"panic":                   {Wrap(Network, &PanicError{Value: 1}), Internal},
		"deadline":                {fmt.Errorf("x: %w", context.DeadlineExceeded), Timeout},
		"file deadline":           {os.ErrDeadlineExceeded, Timeout},
		"refused":                 {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, Connection},
		"reset":                   {syscall.ECONNRESET, Connection},
		"no route":                {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, Network},
		"dns":                     {&net.DNSError{Err: "no such host"}, Network},
		"dns timeout":             {&net.DNSError{IsTimeout: true}, Timeout},
		"certificate":             {&net.OpError{Op: "remote", Err: x509.UnknownAuthorityError{}}, Crypto},
		"open breaker":            {&OpenError{Open, time.Second}, Connection},
	} {
		if got := CategoryOf(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if Wrap(Network, nil) != nil {
		t.Error("an error from nothing")
	}
}

func TestNamesOfUnknownValues(t *testing.T) {
	for _, s := range []fmt.Stringer{Category(99), State(99), Reason(99)} {
		if !strings.HasSuffix(s.String(), " 99") {
			t.Errorf("%q", s)
		}
	}
}

// A fatal category anywhere decides, whatever is wrapped around it and in
// what order.
func TestFatalAnywhereIsFinal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		err, fatal := errors.New("root"), false
		for range rapid.IntRange(1, 8).Draw(t, "layers") {
			switch c := Category(rapid.IntRange(0, categories-1).Draw(t, "category")); rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				err, fatal = Wrap(c, err), fatal || !c.Retryable()
			case 1:
				err, fatal = errors.Join(err, Wrap(c, io.EOF)), fatal || !c.Retryable()
			case 2:
				err = fmt.Errorf("layer: %w", err)
			}
		}
		given := false
		walk(err, func(err error) bool {
			_, ok := err.(*Error)
			given = given || ok
			return true
		})
		if retry := Default().Retryable(err); retry != (given && !fatal) {
			t.Fatalf("%v: retryable %v, category %v", err, retry, CategoryOf(err))
		}
	})
}

func TestSuccessAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		err := Retry(t.Context(), func(context.Context) error {
			if made++; made < 4 {
				return errRefused
			}
			return nil
		})
		if err != nil || made != 4 {
			t.Fatalf("%d calls: %v", made, err)
		}
	})
}

func TestCancellationEndsAWaitAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("the user closed the window")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(why) })
		var tr trace
		err := Retrier{Policy: Default(), Rand: middle}.Do(ctx, tr.failing(errRefused))
		var gave *GiveUpError
		if !errors.As(err, &gave) || gave.Reason != Cancelled || gave.Calls != 2 || gave.Elapsed != 1500*time.Millisecond {
			t.Fatalf("%+v", gave)
		}
		if !errors.Is(err, why) || !errors.Is(err, errRefused) {
			t.Fatalf("%v: want both", err)
		}
		if want := "cancelled after 2 calls (1 retry): the user closed the window: connection: connect refused"; err.Error() != want {
			t.Fatalf("%q", err)
		}
		if err := Retry(ctx, func(context.Context) error { t.Error("called"); return nil }); !errors.Is(err, why) {
			t.Fatal(err)
		}
	})
}

func TestPanicIsAnErrorAndNotRetried(t *testing.T) {
	made := 0
	err := Retry(t.Context(), func(context.Context) error { made++; panic("secret") })
	var panicked *PanicError
	if made != 1 || !errors.As(err, &panicked) || panicked.Value != "secret" {
		t.Fatalf("%d calls: %v", made, err)
	}
	if text := err.Error(); strings.Contains(text, "secret") || !strings.Contains(text, "panic(string)") {
		t.Fatalf("%q: want the type and not the value", text)
	}
	var table []int
	if err := Retry(t.Context(), func(context.Context) error { _ = table[made]; return nil }); !strings.Contains(err.Error(), "out of range") {
		t.Fatalf("%q", err)
	}
}

func TestGoexitGivesThePermitBack(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 2})
	s.failures(1)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.b.Execute(t.Context(), func(context.Context) error { runtime.Goexit(); return nil }) })
	wg.Wait()
	s.want(Open, "closed>open")
}

func TestOnFailureTellsEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker(BreakerConfig{Failures: 2, OpenFor: 5 * time.Second})
		var told []string
		err := Retrier{Policy: Default(), Breaker: b, Rand: middle, OnFailure: func(f Failure) {
			told = append(told, fmt.Sprintf("%d %v %v %v %v", f.Calls, f.Category, f.Refused, f.Wait, f.GaveUp))
		}}.Do(t.Context(), func(context.Context) error { return errRefused })
		want := []string{
			"1 connection false 1s going",
			"2 connection false 2s going",
			"2 connection true 4s going", // 3 s left and 1 s more
			"3 connection false 4s going",
			"3 connection true 2s going",
			"4 connection false 0s retries exhausted",
		}
		if strings.Join(told, "\n") != strings.Join(want, "\n") {
			t.Fatalf("told\n%s\nwant\n%s\n%v", strings.Join(told, "\n"), strings.Join(want, "\n"), err)
		}
	})
}

// Whatever a function returns, a policy's bounds hold.
func TestRetryProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{
			Backoff: Backoff{
				Min: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Second)).Draw(t, "min")),
				Max: time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Minute)).Draw(t, "max")), Factor: 2,
				Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
			},
			Retries: rapid.IntRange(0, 6).Draw(t, "retries"),
		}
		results := rapid.SliceOfN(rapid.SampledFrom([]error{
			nil, errRefused, Wrap(Crypto, io.EOF), io.EOF, context.Canceled, Wrap(Timeout, io.EOF),
		}), 8, 8).Draw(t, "results")
		made := 0
		var waits []time.Duration
		// The steps of Do, without the waiting.
		run := &run{Retrier: Retrier{Policy: p, Rand: fixed(rapid.Float64Range(0, 0.999).Draw(t, "random"))}, ctx: context.Background(), fn: func(context.Context) error {
			made++
			return results[made-1]
		}}
		for {
			err := run.attempt()
			if err == nil {
				break
			}
			wait, reason := run.next(err)
			if (reason == Exhausted) != (made == p.Calls() && p.Retryable(err)) || reason == NotRetryable && p.Retryable(err) {
				t.Fatalf("%v after %d calls of %d: %v", reason, made, p.Calls(), err)
			}
			if reason != Going {
				break
			}
			waits = append(waits, wait)
		}
		if made > p.Calls() || len(waits) != made-1 {
			t.Fatalf("%d calls, %d waits, at most %d", made, len(waits), p.Calls())
		}
		for _, w := range waits {
			if w <= 0 || w > p.Max {
				t.Fatalf("waited %v, at most %v", w, p.Max)
			}
		}
	})
}

func TestForeverEndsWithTheContextOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		p := Default()
		p.Retries = Forever
		made := 0
		err := RetryWithPolicy(ctx, p, func(context.Context) error { made++; return errRefused })
		if made < 100 || made > 200 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%d calls: %v", made, err)
		}
	})
}

func TestBudgetIsEarnedSpentAndRefilled(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	budgets := NewBudgets[string](BudgetConfig{Burst: 2, Ratio: 0.1, PerSecond: 0.5, Now: func() time.Time { return now }})
	b := budgets.For("circuits")
	if budgets.For("circuits") != b || budgets.For("directory") == b {
		t.Fatal("one budget a purpose")
	}
	spend := func(want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := b.Spend(); got != w {
				t.Fatalf("spend %d: %v", i, got)
			}
		}
	}
	spend(true, true, false)
	for range 10 {
		b.Earn()
	}
	spend(true, false)
	now = now.Add(2 * time.Second)
	spend(true, false)
	now = now.Add(time.Hour)
	if n := b.Left(); n != 2 {
		t.Fatalf("%d saved up, want no more than the burst", n)
	}
	spend(true, true, false)
	now = now.Add(-time.Hour) // the clock is set back
	now = now.Add(4 * time.Second)
	spend(false)
	now = now.Add(2 * time.Second)
	spend(true, false)
	budgets.Refill()
	spend(true, true, false)
}

// The tokens never exceed the burst nor what was earned.
func TestBudgetProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		c := BudgetConfig{
			Burst: rapid.IntRange(1, 20).Draw(t, "burst"), Ratio: rapid.Float64Range(0.01, 1).Draw(t, "ratio"),
			PerSecond: rapid.Float64Range(0.01, 5).Draw(t, "rate"), Now: func() time.Time { return now },
		}
		b := NewBudget(c)
		earned, spent, start := 0, 0, now
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "wait")))
			case 1:
				b.Earn()
				earned++
			case 2:
				if b.Spend() {
					spent++
				}
			}
			most := float64(c.Burst) + float64(earned)*c.Ratio + now.Sub(start).Seconds()*c.PerSecond
			if float64(spent) > most+1e-6 || b.Left() > c.Burst {
				t.Fatalf("spent %d of %v, %d left of %d", spent, most, b.Left(), c.Burst)
			}
		}
	})
}

// Many goroutines, thousands of failures: changes are
// told one after the other, and the breaker still works afterwards.
func TestBreakerUnderManyGoroutines(t *testing.T) {
	var now atomic.Int64
	var telling atomic.Int64
	last := Closed
	b := NewBreaker(BreakerConfig{
		Failures: 3, OpenFor: time.Microsecond, Probes: 2, Now: func() time.Time { return time.Unix(0, now.Add(300)) },
		OnChange: func(c Change) {
			if telling.Add(1) != 1 || c.From != last {
				t.Errorf("told %v to %v after %v", c.From, c.To, last)
			}
			last = c.To
			telling.Add(-1)
		},
	})
	var failures atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 2000 {
				ctx, cancel := context.WithCancel(context.Background())
				_ = b.Execute(ctx, func(context.Context) error {
					switch (i + j) % 4 {
					case 0:
						return nil
					case 1:
						cancel()
						return ctx.Err()
					case 2:
						failures.Add(1)
						panic("chaos")
					default:
						failures.Add(1)
						return errRefused
					}
				})
				cancel()
			}
		})
	}
	wg.Wait()
	if failures.Load() < 1000 {
		t.Fatalf("only %d failures", failures.Load())
	}
	now.Add(int64(time.Second))
	if err := b.Execute(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatalf("stuck: %v, %+v", err, b.Stats())
	}
	if b.State() != Closed || last != Closed {
		t.Fatalf("%v, told %v", b.State(), last)
	}
}

func TestOnChangeMayUseTheBreakerAndPanic(t *testing.T) {
	var b *Breaker
	seen := 0
	b = NewBreaker(BreakerConfig{Failures: 1, OnChange: func(c Change) {
		seen++
		switch seen {
		case 1:
			b.Reset()
		case 2:
			panic("subscriber")
		}
	}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		b.Fell()
	}()
	if b.State() != Closed {
		t.Fatal(b.State())
	}
	b.Fell()
	if seen != 3 || b.State() != Open {
		t.Fatalf("%d told, %v", seen, b.State())
	}
}

func TestLostProbeIsReplaced(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	s.failures(5)
	s.now = s.now.Add(30 * time.Second)
	lost := s.acquire()
	s.now = s.now.Add(2*time.Minute - 1)
	s.refused()
	s.now = s.now.Add(1)
	s.acquire()
	s.refused()
	lost.Failure() // too late to count
	s.want(HalfOpen, "closed>open", "open>half-open")
}

func TestTripAndReset(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	before := s.acquire()
	s.b.Trip()
	s.refused()
	s.now = s.now.Add(20 * time.Second)
	s.b.Trip() // again: the time begins anew
	if got := s.b.RetryAfter(); got != 30*time.Second {
		t.Fatal(got)
	}
	s.b.Reset()
	before.Failure() // of before: does not count
	s.failures(4)
	s.want(Closed, "closed>open", "open>closed")
	s.b.Reset() // forgets the row
	s.failures(4)
	s.want(Closed, "closed>open", "open>closed")
}

func TestThresholdsSwitchedOff(t *testing.T) {
	s := newScript(t, BreakerConfig{Rate: Off})
	for range 1000 {
		s.failures(4)
		s.successes(1)
	}
	s.want(Closed)
	s = newScript(t, BreakerConfig{Failures: Off, MinRequests: 100})
	s.failures(99)
	s.want(Closed)
	s.failures(1)
	s.want(Open, "closed>open")
}

func TestIgnoredErrorsShowThatItWorks(t *testing.T) {
	missing := errors.New("not found")
	s := newScript(t, BreakerConfig{Failures: 2, Rate: Off, Ignore: func(err error) bool { return errors.Is(err, missing) }})
	for range 10 {
		for _, err := range []error{errRefused, missing} {
			if got := s.b.Execute(t.Context(), func(context.Context) error { return err }); !errors.Is(got, err) {
				t.Fatal(got)
			}
		}
	}
	s.failures(1)
	s.want(Closed)
}

func TestBreakerComesBackAsItWas(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	now := func() time.Time { return s.now }
	s.failures(4)
	back := RestoreBreaker(BreakerConfig{Now: now}, s.b.Snapshot())
	back.Fell()
	if back.State() != Open {
		t.Fatal("the row was forgotten")
	}
	s.failures(1)
	s.now = s.now.Add(10 * time.Second)
	back = RestoreBreaker(BreakerConfig{Now: now}, s.b.Snapshot())
	if got := back.RetryAfter(); got != 20*time.Second {
		t.Fatalf("open for another %v", got)
	}
	s.now = s.now.Add(20 * time.Second)
	s.acquire()
	back = RestoreBreaker(BreakerConfig{Now: now}, s.b.Snapshot())
	if _, err := back.Acquire(); err != nil {
		t.Fatalf("its probe is gone with the process: %v", err)
	}
	for _, bad := range []Snapshot{{State: 77}, {InARow: -5}, {InARow: 1 << 40}} {
		if b := RestoreBreaker(BreakerConfig{Now: now}, bad); b.State() != Closed {
			t.Errorf("%+v: %v", bad, b.State())
		}
	}
	future := RestoreBreaker(BreakerConfig{Now: now}, Snapshot{State: Open, OpenedAt: s.now.Add(1000 * time.Hour)})
	if got := future.RetryAfter(); got != 30*time.Second {
		t.Fatalf("opened in the future: open for another %v", got)
	}
}

func TestQuiet(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	quiet := func(want bool) {
		t.Helper()
		if s.b.Quiet() != want {
			t.Fatalf("quiet is not %v in %+v", want, s.b.Stats())
		}
	}
	quiet(true)
	s.failures(1)
	quiet(false)
	s.now = s.now.Add(2 * time.Minute)
	quiet(true)
	s.failures(4) // the fifth in a row: a row has no end but success
	quiet(false)
	s.now = s.now.Add(time.Hour)
	quiet(true)
	s.acquire()
	quiet(false)
}
