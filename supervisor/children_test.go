package supervisor

import (
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor/retry"
)

// owner is an actor with children that does what it is sent.
func (s *stage) owner(o Options) (do func(func(ctx actor.Context, c *Children)), pid *actor.PID) {
	s.t.Helper()
	o.OnChange = s.note
	children, err := NewChildren(o)
	if err != nil {
		s.t.Fatal(err)
	}
	pid = s.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if f, ok := ctx.Message().(func(actor.Context, *Children)); ok {
			f(ctx, children)
			return
		}
		children.Receive(ctx)
	}))
	return func(f func(actor.Context, *Children)) { s.tell(pid, f) }, pid
}

// Silent children say nothing; to have run long enough is health.
func TestSilentChildrenAreHealthyWhenTheyLast(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		strategy := Listener()
		strategy.Jitter = 0
		do, pid := s.owner(Options{Strategy: strategy, Rand: middle})
		starts := 0
		var running *actor.PID
		do(func(ctx actor.Context, c *Children) {
			c.Supervise(ctx, Supervise{Name: "socks0", Props: child(&starts, func(ctx actor.Context, n int) {
				running = ctx.Self()
				if n < 3 {
					panic(errRefused)
				}
			})})
		})
		s.pass(10 * time.Second)
		s.tell(running, errRefused) // soon after: the third in a row
		s.pass(time.Minute)
		s.tell(running, errRefused) // the first again
		s.want(
			"0s socks0 backoff 1 200ms", "200ms socks0 backoff 2 400ms", "10s socks0 backoff 3 800ms",
			"1m10s socks0 backoff 1 200ms",
		)
		if err := kernel.StopAndWait(s.system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRetiredChildrenRunToTheirEndAndAreNotReplaced(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		do, pid := s.owner(Options{Strategy: Circuit(), Rand: middle})
		var starts, others int
		var running *actor.PID
		do(func(ctx actor.Context, c *Children) {
			c.Supervise(ctx, Supervise{Name: "runs", Props: child(&starts, func(ctx actor.Context, _ int) { running = ctx.Self() })})
			c.Supervise(ctx, Supervise{Name: "waits", Props: child(&others, func(actor.Context, int) { panic(errRefused) })})
		})
		do(func(ctx actor.Context, c *Children) {
			c.Halt()
			if c.PID("runs") == nil || c.PID("waits") != nil {
				t.Error("what runs goes on, what waits is gone")
			}
			if err := c.Pass(ctx, "waits", "x"); !errors.Is(err, ErrNotRunning) {
				t.Errorf("%v", err)
			}
			c.Supervise(ctx, Supervise{Name: "late", Props: child(&others, func(actor.Context, int) {})})
		})
		s.tell(running, errRefused)
		s.pass(time.Hour)
		s.want("0s waits backoff 1 100ms", "0s waits gone", "0s late gone", "0s runs gone")
		if starts != 1 || others != 1 {
			t.Fatalf("%d and %d starts", starts, others)
		}
		if err := kernel.StopAndWait(s.system, pid, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}

// Props that panic are the child's failure, not its owner's.
func TestPropsThatPanic(t *testing.T) {
	onStage(t, Options{}, func(s *stage) {
		tries := 0
		s.send(Supervise{Name: "g1", Props: func() *actor.Props {
			if tries++; tries < 3 {
				panic("secret")
			}
			return kernel.Func(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Started); ok {
					healthy(ctx)
				}
			})
		}})
		s.pass(time.Minute)
		s.want("0s g1 backoff 1 1s", "1s g1 backoff 2 2s", "3s g1 up")
	})
}

func TestImpossibleStrategies(t *testing.T) {
	for name, change := range map[string]func(*Strategy){
		"no backoff":            func(s *Strategy) { s.Backoff = Backoff{} },
		"negative retries":      func(s *Strategy) { s.Retries = -2 },
		"stops what fails":      func(s *Strategy) { s.Exhausted = Stop },
		"unknown directive":     func(s *Strategy) { s.Exhausted = 9 },
		"negative reset":        func(s *Strategy) { s.ResetAfter = -1 },
		"breaker, but silent":   func(s *Strategy) { s.Silent = true },
		"impossible breaker":    func(s *Strategy) { s.Breaker = &retry.BreakerConfig{Rate: 2} },
		"impossible quarantine": nil,
	} {
		t.Run(name, func(t *testing.T) {
			if change == nil {
				if err := (QuarantineConfig{Crashes: -1}).Validate(); !errors.Is(err, ErrConfig) {
					t.Fatal(err)
				}
				return
			}
			s := Connection()
			change(&s)
			if _, err := Producer(Options{Strategy: s}); !errors.Is(err, ErrConfig) {
				t.Fatalf("accepted: %v", err)
			}
			// Brought by a child, it is told: nothing fails silently.
			onStage(t, Options{}, func(stage *stage) {
				stage.send(Supervise{Name: "g1", Strategy: &s, Props: always(func(actor.Context) { t.Error("started") })})
				stage.want("0s g1 gone")
			})
		})
	}
}

func TestChangesAreEvents(t *testing.T) {
	const out = chivev1.Outcome_OUTCOME_TIMEOUT
	for want, e := range map[string]*chivev1.Envelope{
		"supervisor.x.state-changed":       StateChanged{Child: "c", State: StateBackoff, Attempt: 2, Delay: time.Second}.Event("x", "circuit/c", out),
		"supervisor.x.retries-exhausted":   StateChanged{Child: "c", State: StateExhausted, Attempt: 4, Delay: time.Second}.Event("x", "circuit/c", out),
		"supervisor.x.breaker-opened":      StateChanged{State: StateOpen, Breaker: retry.Change{To: retry.Open, InARow: 5}}.Event("x", "connection/c", out),
		"supervisor.x.breaker-half-opened": StateChanged{State: StateHalfOpen, Breaker: retry.Change{To: retry.HalfOpen}}.Event("x", "connection/c", out),
		"supervisor.x.breaker-closed":      StateChanged{State: StateClosed, Breaker: retry.Change{To: retry.Closed}}.Event("x", "connection/c", out),
		"supervisor.x.input-quarantined":   SetAside{Kind: "request", Crashes: 3, For: time.Hour}.Event("x", "service/circuits"),
	} {
		e.Node = "n"
		if got := messages.Subject("f", e); got != "chive.v1.f.n.evt."+want {
			t.Errorf("%s: %s", want, got)
		}
	}
	e := StateChanged{Child: "c", State: StateExhausted, Attempt: 4, Delay: time.Second, Err: errRefused}.Event("x", "circuit/c", out).GetRetriesExhausted()
	if e.GetAttempts() != 4 || e.GetOutcome() != out || e.GetDelay().AsDuration() != time.Second || e.GetChild() != "circuit/c" {
		t.Fatalf("%v", e)
	}
}
