package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/supervisor/retry"
)

func TestMain(m *testing.M) { leak.Main(m) }

// fixed is a Random that always gives the same number.
type fixed float64

func (f fixed) Float64() float64 { return float64(f) }

const middle = fixed(0.5) // no jitter either way

var errRefused = errors.New("connect refused")

// stage is a supervisor in virtual time and what it told.
type stage struct {
	t      *testing.T
	system *actor.ActorSystem
	pid    *actor.PID
	start  time.Time

	mu   sync.Mutex
	told []string
}

func onStage(t *testing.T, o Options, f func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, system: kernel.NewSystem(nil), start: time.Now()}
		defer kernel.Shutdown(s.system)
		if o.Strategy.Max == 0 {
			o.Strategy.Backoff = Backoff{Min: time.Second, Max: 8 * time.Second, Factor: 2, Jitter: 0}
			o.Strategy.Retries = retry.Forever
		}
		if !o.Strategy.Silent && o.Strategy.Breaker == nil {
			o.Strategy.Breaker = &BreakerConfig{}
		}
		o.Rand = middle
		o.OnChange = s.note
		producer, err := Producer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.pid = s.system.Root.Spawn(kernel.Props(producer))
		f(s)
		if err := kernel.StopAndWait(s.system, s.pid, time.Minute); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

func (s *stage) note(c StateChanged) {
	line := fmt.Sprintf("%v %s %s", time.Since(s.start), c.Child, c.State)
	if c.Delay > 0 {
		line += fmt.Sprintf(" %d %v", c.Attempt, c.Delay)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, line)
}

func (s *stage) send(m any) {
	s.system.Root.Send(s.pid, m)
	synctest.Wait()
}

func (s *stage) tell(pid *actor.PID, m any) {
	s.system.Root.Send(pid, m)
	synctest.Wait()
}

func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) want(lines ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.told, lines) {
		s.t.Fatalf("told\n\t%s\nwant\n\t%s", strings.Join(s.told, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// always makes the props of a function for each attempt.
func always(receive func(actor.Context)) func() *actor.Props {
	return func() *actor.Props { return kernel.Func(receive) }
}

// child makes props of a child that does as told by behave at each start.
func child(starts *int, behave func(ctx actor.Context, start int)) func() *actor.Props {
	return always(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			*starts++
			behave(ctx, *starts)
		case error:
			ctx.Send(ctx.Parent(), Failed{ctx.Self(), m})
		}
	})
}

func healthy(ctx actor.Context) { ctx.Send(ctx.Parent(), Healthy{ctx.Self()}) }

func TestFailingChildIsRespawnedWithBackoffUntilHealthy(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, n int) {
			if n < 5 {
				panic(errRefused)
			}
			healthy(ctx)
		})})
		s.pass(time.Minute)
		s.want(
			"0s g1 backoff 1 1s", "1s g1 backoff 2 2s", "3s g1 backoff 3 4s", "7s g1 backoff 4 8s", "15s g1 up",
		)
	})
}

// go-tor gave up for good after its retries. Here that is told, once, and
// attempts go on at the longest wait.
func TestExhaustedRetriesAreToldAndGoOnAtTheCap(t *testing.T) {
	o := Options{Strategy: Strategy{
		Backoff: Backoff{Min: time.Second, Max: 8 * time.Second, Factor: 2, Jitter: 0}, Retries: 2, ResetAfter: time.Minute, Breaker: &BreakerConfig{Failures: 100, Rate: retry.Off},
	}}
	onStage(t, o, func(s *stage) {
		starts := 0
		var running *actor.PID
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, n int) {
			if n < 6 {
				panic(errRefused)
			}
			running = ctx.Self()
			healthy(ctx)
		})})
		s.pass(2 * time.Minute)
		s.tell(running, errRefused)
		s.want(
			"0s g1 backoff 1 1s", "1s g1 backoff 2 2s", "3s g1 exhausted 3 8s", "3s g1 backoff 3 8s",
			"11s g1 backoff 4 8s", "19s g1 backoff 5 8s", "27s g1 up", "2m0s g1 down", "2m0s g1 backoff 1 1s",
		)
	})
}

func TestExhaustedRetriesMayEscalate(t *testing.T) {
	o := Options{Strategy: Strategy{Backoff: Backoff{Min: time.Second, Max: 8 * time.Second, Factor: 2, Jitter: 0}, Retries: 1, Exhausted: Escalate}}
	onStage(t, o, func(s *stage) {
		var above []error
		cancel := kernel.OnFailure(s.system, func(f *kernel.ChildFailed) { above = append(above, f.Reason) })
		defer cancel()
		starts := 0
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(actor.Context, int) { panic(errRefused) })})
		s.pass(time.Hour)
		var gave *ExhaustedError
		if n := len(above); n == 0 || !errors.As(above[n-1], &gave) || !errors.Is(gave, errRefused) || gave.Attempts != 2 || gave.Over != time.Second {
			t.Fatalf("the level above heard %v", above)
		}
		s.want("0s g1 backoff 1 1s", "1s g1 exhausted 2 8s", "1s g1 gone")
	})
}

func TestBreakerIsSharedByKeyAndProbesOnce(t *testing.T) {
	o := Options{Strategy: Strategy{
		Backoff: Backoff{Min: time.Second, Max: time.Second, Factor: 1, Jitter: 0}, Retries: retry.Forever,
		Breaker: &BreakerConfig{Failures: 2, OpenFor: 10 * time.Second},
	}}
	onStage(t, o, func(s *stage) {
		var starts atomic.Int64
		var relayUp atomic.Bool
		props := always(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); !ok {
				return
			}
			starts.Add(1)
			if !relayUp.Load() {
				panic(errRefused)
			}
			healthy(ctx)
		})
		s.send(Supervise{Name: "a", Key: "relay", Props: props})
		s.send(Supervise{Name: "b", Key: "relay", Props: props})
		s.want("0s a backoff 1 1s", "0s  open 0 10s", "0s b backoff 1 1s")
		s.pass(9 * time.Second)
		if n := starts.Load(); n != 2 {
			t.Fatalf("%d attempts while the breaker was open", n)
		}
		s.pass(2 * time.Second) // one probes at 10.75 s, and fails; the other waits
		if n := starts.Load(); n != 3 {
			t.Fatalf("%d attempts, want one probe only", n)
		}
		relayUp.Store(true)
		s.pass(15 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, want := range []string{"10.75s  half-open", "10.75s  open 0 10s"} {
			if !slices.Contains(s.told, want) {
				t.Errorf("missing %q in %q", want, s.told)
			}
		}
		up := 0
		for _, line := range s.told {
			if strings.HasSuffix(line, " up") {
				up++
			}
		}
		if up != 2 {
			t.Errorf("%d up, want both: %q", up, s.told)
		}
	})
}

func TestFailureAfterALongHealthyTimeIsTheFirstAgain(t *testing.T) {
	onStage(t, Options{Strategy: Strategy{ResetAfter: time.Minute, Breaker: &BreakerConfig{Failures: 3}}}, func(s *stage) {
		starts := 0
		var running *actor.PID
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, _ int) {
			running = ctx.Self()
			healthy(ctx)
		})})
		fail := func() { s.tell(running, errRefused) }
		for range 5 { // failures far apart never open the breaker
			s.pass(2 * time.Minute)
			fail()
		}
		s.pass(30 * time.Second)
		fail() // soon after it came up: the second in a row
		s.want(
			"0s g1 up", "2m0s g1 down", "2m0s g1 backoff 1 1s", "2m1s g1 up", "4m0s g1 down", "4m0s g1 backoff 1 1s",
			"4m1s g1 up", "6m0s g1 down", "6m0s g1 backoff 1 1s", "6m1s g1 up", "8m0s g1 down", "8m0s g1 backoff 1 1s",
			"8m1s g1 up", "10m0s g1 down", "10m0s g1 backoff 1 1s", "10m1s g1 up", "10m30s g1 down", "10m30s g1 backoff 2 2s",
		)
	})
}

func TestDirectives(t *testing.T) {
	t.Run("stop", func(t *testing.T) {
		onStage(t, Options{}, func(s *stage) {
			starts := 0
			s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(actor.Context, int) {
				panic(fmt.Errorf("identity: %w", &Fault{errRefused, Stop}))
			})})
			s.want("0s g1 gone")
		})
	})
	t.Run("escalate", func(t *testing.T) {
		for name, fail := range map[string]func(actor.Context){
			"by panic":   func(actor.Context) { panic(&Fault{errRefused, Escalate}) },
			"by message": func(ctx actor.Context) { ctx.Send(ctx.Parent(), Failed{ctx.Self(), &Fault{errRefused, Escalate}}) },
		} {
			t.Run(name, func(t *testing.T) {
				onStage(t, Options{}, func(s *stage) {
					var reasons []error
					cancel := kernel.OnFailure(s.system, func(f *kernel.ChildFailed) { reasons = append(reasons, f.Reason) })
					defer cancel()
					starts := 0
					s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, _ int) { fail(ctx) })})
					s.pass(time.Minute)
					if n := len(reasons); n == 0 || !errors.Is(reasons[n-1], errRefused) {
						t.Fatalf("the level above heard %v", reasons)
					}
					if _, alive := s.system.ProcessRegistry.Get(s.pid); alive {
						t.Fatal("the supervisor did not fail")
					}
				})
			})
		}
	})
}

func TestChildThatEndsByItselfIsGoneAndGivesItsPermitBack(t *testing.T) {
	o := Options{Strategy: Strategy{Breaker: &BreakerConfig{Failures: 1, OpenFor: time.Second}}}
	onStage(t, o, func(s *stage) {
		starts := 0
		s.send(Supervise{Name: "bad", Key: "k", Props: child(&starts, func(actor.Context, int) { panic(errRefused) })})
		s.send(Forget{"bad"})
		s.pass(5 * time.Second)
		s.mu.Lock()
		s.told = nil
		s.mu.Unlock()
		// The probe neither fails nor becomes healthy: without its permit back
		// the breaker would stay half-open for ever.
		s.send(Supervise{Name: "quitter", Key: "k", Props: child(&starts, func(ctx actor.Context, _ int) { ctx.Stop(ctx.Self()) })})
		s.send(Supervise{Name: "good", Key: "k", Props: child(&starts, func(ctx actor.Context, _ int) { healthy(ctx) })})
		s.want("5s  half-open", "5s quitter gone", "5s good up", "5s  closed")
	})
}

func TestCancellationIsRetriedButNotHeldAgainstTheKey(t *testing.T) {
	onStage(t, Options{Strategy: Strategy{Breaker: &BreakerConfig{Failures: 1}}}, func(s *stage) {
		starts := 0
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, n int) {
			if n < 3 {
				ctx.Send(ctx.Self(), fmt.Errorf("dial: %w", context.Canceled))
				return
			}
			healthy(ctx)
		})})
		s.pass(time.Minute)
		s.want("0s g1 backoff 1 1s", "1s g1 backoff 2 2s", "3s g1 up")
	})
}

func TestForget(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		s.send(Supervise{Name: "running", Key: "k", Props: child(&starts, func(ctx actor.Context, _ int) { healthy(ctx) })})
		s.send(Supervise{Name: "waiting", Key: "k", Props: child(&starts, func(actor.Context, int) { panic(errRefused) })})
		s.send(Forget{"running"})
		s.send(Forget{"waiting"})
		s.send(Forget{"unknown"})
		s.pass(time.Hour)
		s.want("0s running up", "0s waiting backoff 1 1s", "0s running gone", "0s waiting gone")
		if starts != 2 {
			t.Fatalf("%d starts", starts)
		}
	})
}

func TestSuperviseAgainReplacesNeverTwoAtOnce(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		var running, most atomic.Int64
		props := func() func() *actor.Props {
			return always(func(ctx actor.Context) {
				switch ctx.Message().(type) {
				case *actor.Started:
					most.Store(max(most.Load(), running.Add(1)))
					healthy(ctx)
				case *actor.Stopped:
					running.Add(-1)
				}
			})
		}
		for range 5 {
			s.send(Supervise{Name: "g1", Key: "k", Props: props()})
		}
		if most.Load() != 1 || running.Load() != 1 {
			t.Fatalf("at most %d, now %d", most.Load(), running.Load())
		}
	})
}

func TestSuperviseAgainDoesNotCutAWaitShort(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(actor.Context, int) { panic(errRefused) })})
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, _ int) { healthy(ctx) })})
		s.pass(time.Second)
		s.want("0s g1 backoff 1 1s", "1s g1 up")
	})
}

// Asked for anew in the moment between its failure and its end, it still waits:
// an asker in a loop must not become a hot loop.
func TestSuperviseAgainOfAFailingChildWaits(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		var again func() *actor.Props
		again = child(&starts, func(ctx actor.Context, n int) {
			if n > 3 {
				healthy(ctx)
				return
			}
			ctx.Send(ctx.Parent(), Failed{ctx.Self(), errRefused})
			ctx.Send(ctx.Parent(), Supervise{Name: "g1", Key: "k", Props: again})
		})
		s.send(Supervise{Name: "g1", Key: "k", Props: again})
		s.pass(time.Minute)
		s.want("0s g1 backoff 1 1s", "1s g1 backoff 2 2s", "3s g1 backoff 3 4s", "7s g1 up")
	})
}

func TestSuperviseAgainAfterStopStartsAnew(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		var again func() *actor.Props
		again = child(&starts, func(ctx actor.Context, n int) {
			if n == 2 {
				healthy(ctx)
				return
			}
			ctx.Send(ctx.Parent(), Failed{ctx.Self(), &Fault{errRefused, Stop}})
			ctx.Send(ctx.Parent(), Supervise{Name: "g1", Key: "k", Props: again})
		})
		s.send(Supervise{Name: "g1", Key: "k", Props: again})
		s.send(Failed{})
		s.send(Healthy{})
		s.want("0s g1 up")
	})
}

func TestStaleHealthyAndFailedAreIgnored(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		var first *actor.PID
		s.send(Supervise{Name: "g1", Key: "k", Props: child(&starts, func(ctx actor.Context, n int) {
			if n == 1 {
				first = ctx.Self()
				panic(errRefused)
			}
		})})
		s.pass(time.Second)
		s.send(Healthy{first})
		s.send(Failed{first, errRefused})
		s.want("0s g1 backoff 1 1s")
	})
}

func TestGenerationKeepsChildNamesApart(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		starts := 0
		props := child(&starts, func(ctx actor.Context, _ int) { healthy(ctx) })
		s.send(Supervise{Name: "same", Key: "k", Props: props})
		s.send(Supervise{Name: "same.1", Key: "k", Props: props}) // spawned as same.1.2: no clash
		s.want("0s same up", "0s same.1 up")
	})
}

func TestExhaustedWords(t *testing.T) {
	e := &ExhaustedError{Child: "store", Attempts: 1, Over: time.Second, Err: errors.New("no disk")}
	if got, want := e.Error(), "store failed: no disk"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e.Attempts = 2
	if got, want := e.Error(), "store failed 2 times in a row within 1s: no disk"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
