package retry

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// script drives a breaker through time and records its changes.
type script struct {
	t       testing.TB
	b       *Breaker
	now     time.Time
	changes []string
}

func newScript(t testing.TB, c BreakerConfig) *script {
	s := &script{t: t, now: time.Unix(1_800_000_000, 0)}
	c.Now = func() time.Time { return s.now }
	c.OnChange = func(c Change) { s.changes = append(s.changes, fmt.Sprint(c.From, ">", c.To)) }
	s.b = NewBreaker(c)
	return s
}

func (s *script) acquire() Permit {
	s.t.Helper()
	p, err := s.b.Acquire()
	if err != nil {
		s.t.Fatalf("refused: %v", err)
	}
	return p
}

func (s *script) refused() {
	s.t.Helper()
	if _, err := s.b.Acquire(); !errors.Is(err, ErrOpen) {
		s.t.Fatalf("got a permit (%v)", err)
	}
}

func (s *script) failures(n int) {
	s.t.Helper()
	for range n {
		s.acquire().Failure()
	}
}

func (s *script) successes(n int) {
	s.t.Helper()
	for range n {
		s.acquire().Success()
	}
}

func (s *script) want(state State, changes ...string) {
	s.t.Helper()
	if got := s.b.State(); got != state {
		s.t.Fatalf("state %v, want %v", got, state)
	}
	if !slices.Equal(s.changes, changes) {
		s.t.Fatalf("changes %q, want %q", s.changes, changes)
	}
}

func TestBreakerOpensAfterConsecutiveFailuresOnly(t *testing.T) {
	s := newScript(t, BreakerConfig{MinRequests: 1000})
	for range 100 { // go-tor's opened after 5 failures among 5,005 calls
		s.failures(4)
		s.successes(1)
	}
	s.want(Closed)
	s.failures(4)
	s.want(Closed)
	s.failures(1)
	s.want(Open, "closed>open")
	s.refused()
}

func TestBreakerOpensAtTheRateOfItsWindowOnly(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 100, Rate: 0.5, MinRequests: 10, Window: time.Minute})
	for range 4 {
		s.failures(1)
		s.successes(1)
	}
	s.want(Closed) // 4 of 8: too few requests
	s.now = s.now.Add(2 * time.Minute)
	s.failures(1)
	s.successes(9)
	s.now = s.now.Add(time.Second)
	s.failures(7)
	s.want(Closed) // 8 of 17: what was before the window is forgotten
	s.failures(1)
	s.want(Open, "closed>open") // 9 of 18: the half, reached
}

func TestBreakerRateIsReachedExactly(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 100, Rate: 0.5, MinRequests: 10})
	s.successes(5)
	s.failures(4)
	s.want(Closed)
	s.failures(1)
	s.want(Open, "closed>open")
}

func TestZeroSettingsAreDefaultsNotHairTriggers(t *testing.T) {
	s := newScript(t, BreakerConfig{Failures: 3}) // go-tor: opened after one, and never stayed open
	s.failures(2)
	s.want(Closed)
	s.failures(1)
	s.want(Open, "closed>open")
	s.now = s.now.Add(30*time.Second - 1)
	s.refused()
	if got := s.b.RetryAfter(); got != 1 {
		t.Fatalf("retry after %v, want 1ns", got)
	}
}

func TestHalfOpen(t *testing.T) {
	open := func(t *testing.T, probes int) *script {
		s := newScript(t, BreakerConfig{Probes: probes})
		s.failures(5)
		s.now = s.now.Add(30 * time.Second)
		s.changes = nil
		return s
	}
	t.Run("lets exactly the probes through", func(t *testing.T) {
		s := open(t, 2)
		s.acquire()
		s.acquire()
		s.refused()
		s.want(HalfOpen, "open>half-open")
	})
	t.Run("closes on success", func(t *testing.T) {
		s := open(t, 1)
		s.successes(1)
		s.want(Closed, "open>half-open", "half-open>closed")
		s.failures(4)
		s.want(Closed, "open>half-open", "half-open>closed")
	})
	t.Run("opens afresh on failure", func(t *testing.T) {
		s := open(t, 1)
		s.failures(1)
		s.want(Open, "open>half-open", "half-open>open")
		if got := s.b.RetryAfter(); got != 30*time.Second {
			t.Fatalf("retry after %v", got)
		}
	})
	t.Run("gets a cancelled probe back", func(t *testing.T) {
		s := open(t, 1)
		p := s.acquire()
		s.refused()
		p.Cancel()
		p.Cancel() // twice gives one back
		s.acquire()
		s.refused()
	})
	t.Run("ignores results of attempts begun while closed", func(t *testing.T) {
		s := newScript(t, BreakerConfig{})
		early := []Permit{s.acquire(), s.acquire(), s.acquire()}
		s.failures(5)
		s.now = s.now.Add(30 * time.Second)
		s.acquire()
		s.changes = nil
		early[0].Success()
		early[1].Failure()
		early[2].Cancel()
		s.refused()
		s.want(HalfOpen)
	})
}

func TestCancellationIsNeutral(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	for range 50 {
		s.acquire().Cancel()
	}
	s.want(Closed)
	s.failures(4)
	s.acquire().Cancel() // neither counts nor interrupts the row
	s.failures(1)
	s.want(Open, "closed>open")
}

func TestPermitCountsOnce(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	p := s.acquire()
	for range 10 {
		p.Failure()
		Permit{}.Failure()
	}
	s.want(Closed)
}

func TestFellCountsOnlyWhileClosed(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	for range 5 {
		s.b.Fell()
	}
	s.want(Open, "closed>open")
	s.now = s.now.Add(time.Minute)
	s.acquire()
	s.b.Fell()
	s.want(HalfOpen, "closed>open", "open>half-open")
}

func TestClockSetBackDoesNotHoldItOpen(t *testing.T) {
	s := newScript(t, BreakerConfig{})
	s.failures(5)
	s.now = s.now.Add(-24 * time.Hour)
	if got := s.b.RetryAfter(); got != 30*time.Second {
		t.Fatalf("retry after %v", got)
	}
	s.now = s.now.Add(30 * time.Second)
	s.acquire()
}

// Whatever happens, half-open never has more probes out than configured, and a
// breaker is never stuck: after OpenFor with every permit ended, it gives one.
func TestBreakerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := BreakerConfig{
			Failures: rapid.IntRange(1, 6).Draw(t, "failures"), MinRequests: rapid.IntRange(1, 20).Draw(t, "min"),
			Rate: rapid.Float64Range(0.1, 1).Draw(t, "rate"), Probes: rapid.IntRange(1, 3).Draw(t, "probes"),
		}
		now := time.Unix(1_800_000_000, 0)
		config.Now = func() time.Time { return now }
		b := NewBreaker(config)
		var out []Permit
		end := func(i int, how string) {
			p := out[i]
			out = slices.Delete(out, i, i+1)
			switch how {
			case "ok":
				p.Success()
			case "bad":
				p.Failure()
			case "cancel":
				p.Cancel()
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "wait")))
			if len(out) > 0 && rapid.Bool().Draw(t, "end one") {
				end(rapid.IntRange(0, len(out)-1).Draw(t, "which"), rapid.SampledFrom([]string{"ok", "bad", "cancel"}).Draw(t, "how"))
				continue
			}
			if p, err := b.Acquire(); err == nil {
				out = append(out, p)
			}
			current := 0
			for _, p := range out {
				if p.p.generation == b.generation {
					current++
				}
			}
			if b.state == HalfOpen && (current > config.Probes || current != b.probes) {
				t.Fatalf("half-open with %d probes out, counts %d, allows %d", current, b.probes, config.Probes)
			}
			if b.state == Open && current > 0 {
				t.Fatal("permits of the open state")
			}
		}
		for len(out) > 0 {
			end(0, "cancel")
		}
		now = now.Add(30 * time.Second)
		if _, err := b.Acquire(); err != nil {
			t.Fatalf("stuck in %v", b.state)
		}
	})
}
