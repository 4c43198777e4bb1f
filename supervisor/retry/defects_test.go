package retry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Each test here is one defect that was measured in go-tor's retry and circuit
// breaker; its comment says in plain words what went wrong there.

var errRefused = Wrap(Connection, errors.New("connect refused"))

// trace counts calls and notes when each was made.
type trace struct {
	start time.Time
	at    []time.Duration
}

func (tr *trace) failing(err error) func(context.Context) error {
	tr.start = time.Now()
	return func(context.Context) error {
		tr.at = append(tr.at, time.Since(tr.start))
		return err
	}
}

// calls runs a policy without jitter against err, in virtual time.
func calls(t *testing.T, p Policy, err error) (at []time.Duration, gave *GiveUpError) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var tr trace
		got := Retrier{Policy: p, Rand: middle}.Do(t.Context(), tr.failing(err))
		if !errors.As(got, &gave) {
			t.Fatalf("%T: %v", got, got)
		}
		at = tr.at
	})
	return at, gave
}

// The documentation said three attempts, the code made four calls, and the
// error said "max retry attempts (3) exceeded".
func TestDefectAttemptsAndCallsWereConfused(t *testing.T) {
	at, gave := calls(t, Default(), errRefused)
	if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(at, want) {
		t.Fatalf("calls at %v, want %v", at, want)
	}
	if gave.Reason != Exhausted || gave.Calls != 4 || gave.Retries() != 3 || gave.Elapsed != 7*time.Second {
		t.Fatalf("%+v", gave)
	}
	if got, want := gave.Error(), "retries exhausted after 4 calls (3 retries): connection: connect refused"; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

// Jitter was applied after the cap, so that a wait could exceed the maximum.
func TestDefectJitterWentOverTheCap(t *testing.T) {
	p := Conservative()
	p.Retries, p.Jitter = 50, 1
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		_ = Retrier{Policy: p, Rand: fixed(0.999999), OnFailure: func(f Failure) { waits = append(waits, f.Wait) }}.
			Do(t.Context(), func(context.Context) error { return errRefused })
		if high := slices.Max(waits); high > p.Max || high < p.Max-time.Second {
			t.Fatalf("the longest wait is %v, the cap %v", high, p.Max)
		}
	})
}

// Taking "timeout" out of the policy's categories changed nothing: a flag in
// the error won, and all four calls were made.
func TestDefectTakingACategoryOutHadNoEffect(t *testing.T) {
	p := Default()
	p.On = p.On.Without(Timeout)
	at, gave := calls(t, p, Wrap(Timeout, errors.New("slow")))
	if len(at) != 1 || gave.Reason != NotRetryable {
		t.Fatalf("%d calls, %v", len(at), gave)
	}
}

// A caller's cancellation that came wrapped as a network error was tried four
// times.
func TestDefectCancellationWrappedAsNetworkErrorWasRetried(t *testing.T) {
	at, _ := calls(t, Default(), Wrap(Network, fmt.Errorf("read: %w", context.Canceled)))
	if len(at) != 1 {
		t.Fatalf("%d calls", len(at))
	}
}

// A fatal error (a signature that does not verify) inside a network error was
// tried four times.
func TestDefectFatalErrorWrappedAsNetworkErrorWasRetried(t *testing.T) {
	for _, c := range []Category{Crypto, Protocol, Configuration, Internal} {
		fatal := Wrap(c, errors.New("fatal"))
		for name, err := range map[string]error{
			"bare": fatal, "wrapped": Wrap(Network, fmt.Errorf("fetch: %w", fatal)),
			"joined": Wrap(Connection, errors.Join(errRefused, fatal)),
		} {
			if at, gave := calls(t, Aggressive(), err); len(at) != 1 || gave.Reason != NotRetryable {
				t.Errorf("%v, %s: %d calls, %v", c, name, len(at), gave)
			}
		}
	}
}

// With a multiplier of zero, as in the documentation's own example, it called
// without any wait after the first.
func TestDefectZeroMultiplierWasAHotLoop(t *testing.T) {
	p := Default()
	p.Factor = 0
	if err := RetryWithPolicy(t.Context(), p, func(context.Context) error { return errRefused }); !errors.Is(err, ErrConfig) {
		t.Fatalf("accepted: %v", err)
	}
}

// The connection pool multiplied the delay twice, so that it grew with the
// square.
func TestDefectBackoffWasSquared(t *testing.T) {
	p := Default()
	p.Retries = 4
	at, _ := calls(t, p, errRefused)
	if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second}; !slices.Equal(at, want) {
		t.Fatalf("calls at %v, want %v", at, want)
	}
}

// Errors of the standard library (a refused connection, a timeout) counted as
// internal and were retried by no policy.
func TestDefectPlainErrorsWereNeverRetried(t *testing.T) {
	if at, _ := calls(t, Conservative(), fmt.Errorf("dial: %w", context.DeadlineExceeded)); len(at) != 3 {
		t.Fatalf("%d calls after timeouts", len(at))
	}
	if at, _ := calls(t, Conservative(), errors.New("nobody knows")); len(at) != 1 {
		t.Fatalf("%d calls after an unknown error", len(at))
	}
}

// There was no retry budget: a dependency in trouble met many times its load.
func TestDefectThereWasNoRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetConfig{Burst: 3, PerSecond: 1e-9})
		made, broke := 0, 0
		for range 100 {
			err := Retrier{Policy: Default(), Budget: budget}.Do(t.Context(), func(context.Context) error { made++; return errRefused })
			var gave *GiveUpError
			if errors.As(err, &gave) && gave.Reason == NoBudget {
				broke++
			}
		}
		// 100 first calls, 3 saved retries and a fifth of the calls: not 400.
		if made < 120 || made > 123 || broke < 90 {
			t.Fatalf("%d calls, %d times out of budget", made, broke)
		}
	})
}

// What the other side asked for (Retry-After) was not heard.
func TestDefectRetryAfterWasNotHeard(t *testing.T) {
	at, _ := calls(t, Conservative(), fmt.Errorf("fetch: %w", &Error{Category: Directory, Err: errors.New("busy"), After: 9 * time.Second}))
	if len(at) != 1 {
		t.Fatal("conservative does not retry directories")
	}
	at, _ = calls(t, Default(), &Error{Category: Directory, Err: errors.New("busy"), After: 9 * time.Second})
	if want := []time.Duration{0, 9 * time.Second, 18 * time.Second, 27 * time.Second}; !slices.Equal(at, want) {
		t.Fatalf("calls at %v, want %v", at, want)
	}
	at, _ = calls(t, Default(), &Error{Category: Directory, Err: errors.New("busy"), After: 300 * time.Hour})
	if at[1] != Default().Max {
		t.Fatalf("second call after %v: a far end must not be able to stop us for good", at[1])
	}
}

// The function got no context and a try had no time limit of its own.
func TestDefectNoContextAndNoTimeLimitForACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Conservative()
		p.PerCall = 5 * time.Second
		made := 0
		err := RetryWithPolicy(t.Context(), p, func(ctx context.Context) error {
			made++
			<-ctx.Done() // a dependency that hangs
			return ctx.Err()
		})
		if made != 3 || !errors.Is(err, context.DeadlineExceeded) || CategoryOf(err) != Timeout {
			t.Fatalf("%d calls: %v", made, err)
		}
	})
}

// It slept through a deadline: the wait did not look whether there was time
// for another call.
func TestDefectWaitedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var tr trace
		err := Retrier{Policy: Default(), Rand: middle}.Do(ctx, tr.failing(errRefused))
		if len(tr.at) != 2 || time.Since(tr.start) != time.Second {
			t.Fatalf("%d calls, ended after %v: %v", len(tr.at), time.Since(tr.start), err)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errRefused) {
			t.Fatalf("%v: want both the reason and what failed", err)
		}
	})
}

// Five failures among 5,005 calls, far apart, opened the breaker: successes
// never reset what was called consecutive.
func TestDefectSuccessDidNotResetTheRow(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	for range 5 {
		s.failures(1)
		s.successes(1000)
	}
	s.want(Closed)
}

// There was no window: the error rate was that of the whole life, so that an
// hour of success hid an outage, and an old outage opened the breaker later.
func TestDefectTheRateHadNoWindow(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: Off})
	s.successes(5000)
	s.now = s.now.Add(time.Hour)
	s.failures(10)
	s.want(Open, "closed>open")
}

// Both settings of the documentation's examples opened after one failure, as
// what they left out counted as zero.
func TestDefectZeroSettingsWereHairTriggers(t *testing.T) {
	for _, c := range []BreakerConfig{{Failures: 3}, {Rate: 0.5, MinRequests: 100}, {}} {
		s := newScript(t, c)
		s.failures(1)
		s.want(Closed)
	}
}

// With a timeout of zero the function was called while the breaker was open.
func TestDefectOpenForZeroWasNotOpen(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 3})
	s.failures(3)
	if err := s.b.Execute(t.Context(), func(context.Context) error { t.Error("called"); return nil }); !errors.Is(err, ErrOpen) {
		t.Fatal(err)
	}
}

// Told to let one probe through, it let two: the first was not counted.
func TestDefectOneProbeWasTwo(t *testing.T) {
	s := newScript(t, BreakerConfig{Probes: 1})
	s.failures(5)
	s.now = s.now.Add(30 * time.Second)
	s.acquire()
	s.refused()
}

// A probe that panicked left the breaker half-open for ever.
func TestDefectPanickingProbeWedgedIt(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	s.failures(5)
	for range 3 {
		s.now = s.now.Add(30 * time.Second)
		err := s.b.Execute(t.Context(), func(context.Context) error { panic(errRefused) })
		var panicked *PanicError
		if !errors.As(err, &panicked) || !errors.Is(err, errRefused) || len(panicked.Stack) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		if s.b.State() != Open {
			t.Fatalf("%v after a panic", s.b.State())
		}
	}
	s.now = s.now.Add(30 * time.Second)
	if err := s.b.Execute(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if s.b.State() != Closed {
		t.Fatal(s.b.State())
	}
}

// Five callers that went away opened the breaker.
func TestDefectCancellationCountedAsFailure(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 1, MinRequests: 1})
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.b.Execute(ctx, func(ctx context.Context) error {
			cancel()
			return Wrap(Connection, errors.New("use of closed connection")) // what it led to
		})
		if err == nil {
			t.Fatal("no error")
		}
		_ = s.b.Execute(t.Context(), func(context.Context) error { return fmt.Errorf("read: %w", context.Canceled) })
		if err := s.b.Execute(ctx, func(context.Context) error { t.Error("called"); return nil }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	s.want(Closed)
	if st := s.b.Stats(); st.Results != 0 {
		t.Fatalf("%+v", st)
	}
}

// The result of a call begun while the breaker was closed was taken for that
// of the probe.
func TestDefectLateResultWasTakenForTheProbes(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	late := s.acquire()
	s.failures(5)
	s.now = s.now.Add(30 * time.Second)
	probe := s.acquire()
	late.Success()
	s.want(HalfOpen, "closed>open", "open>half-open")
	probe.Failure()
	s.want(Open, "closed>open", "open>half-open", "half-open>open")
}

// Retrying an open breaker slept on its own schedule: four attempts, no call.
func TestDefectRetryingAnOpenBreakerMadeNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker(BreakerConfig{})
		b.Trip()
		start, made := time.Now(), 0
		err := Retrier{Policy: Default(), Breaker: b, Rand: middle}.Do(t.Context(), func(context.Context) error { made++; return nil })
		if err != nil || made != 1 {
			t.Fatalf("%d calls: %v", made, err)
		}
		if waited := time.Since(start); waited != 31*time.Second {
			t.Fatalf("called after %v, want when the breaker may be probed and the policy's first wait", waited)
		}
	})
	// Or at once, when that is longer than the policy ever waits.
	b := NewBreaker(BreakerConfig{OpenFor: time.Hour})
	b.Trip()
	err := b.ExecuteWithRetry(t.Context(), Default(), func(context.Context) error { t.Error("called"); return nil })
	var gave *GiveUpError
	if !errors.As(err, &gave) || gave.Reason != Refused || gave.Calls != 0 || !errors.Is(err, ErrOpen) {
		t.Fatalf("%v", err)
	}
}

// Each change was told in a goroutine of its own: in any order, or not yet.
func TestDefectChangesWereToldOutOfOrder(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 1, OpenFor: 1})
	var want []string
	for range 1000 {
		s.failures(1)
		s.now = s.now.Add(1)
		s.successes(1)
		want = append(want, "closed>open", "open>half-open", "half-open>closed")
		if len(s.changes) != len(want) {
			t.Fatalf("%d told, want %d", len(s.changes), len(want))
		}
	}
	s.want(Closed, want...)
}
