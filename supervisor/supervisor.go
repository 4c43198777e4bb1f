package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Messages a Supervisor understands.
type (
	// Supervise starts a child and keeps it running. If the name is taken, the
	// running child is stopped first; a wait under way goes on.
	Supervise struct {
		Name  string // unique among the supervisor's children; a valid part of an actor name
		Key   string // what the child depends on; "" is a key like any other
		Props *actor.Props
	}
	// Forget stops a child, or what would become it.
	Forget struct{ Name string }
	// Healthy is sent by a child when what it is there for works.
	Healthy struct{ PID *actor.PID }
	// Failed is sent by a child instead of panicking. It is stopped.
	Failed struct {
		PID *actor.PID
		Err error // a *Fault or anything else
	}
	respawn struct {
		name       string
		generation uint64
	}
)

// State names what happened to a child or a breaker.
type State string

// The states. Breaker states have no child name.
const (
	StateUp       State = "up"        // the child said it is healthy
	StateDown     State = "down"      // a child that was up failed
	StateBackoff  State = "backoff"   // waiting before the next attempt
	StateOpen     State = "open"      // child: waiting for the breaker; breaker: opened
	StateHalfOpen State = "half-open" // breaker
	StateClosed   State = "closed"    // breaker
	StateGone     State = "gone"      // the child is no longer supervised
)

// StateChanged tells a change, for events.
type StateChanged struct {
	Child   string // name; "" for a change of a breaker
	Key     string
	State   State
	Attempt int           // failures in a row
	Delay   time.Duration // until the next attempt, for backoff and open
	Err     error         // what the child failed of, or nil
}

// Options of a Supervisor.
type Options struct {
	Policy     Policy
	Breaker    BreakerConfig
	ResetAfter time.Duration      // healthy for so long, a failure is the first again; 0 = Policy.Max
	OnChange   func(StateChanged) // called in the supervisor's turn; may be nil
	Now        func() time.Time   // nil = time.Now
	Rand       Random             // for jitter, used by the supervisor only; nil = its own
}

// Producer makes supervisors; it fails, wrapping ErrConfig, for impossible
// options.
func Producer(o Options) (actor.Producer, error) {
	if err := errors.Join(o.Policy.Validate(), o.Breaker.Validate()); err != nil {
		return nil, err
	}
	if o.OnChange == nil {
		o.OnChange = func(StateChanged) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.ResetAfter, o.Policy.Max)
	return func() actor.Actor {
		o := o
		if o.Rand == nil {
			o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
		}
		return &Supervisor{
			Options: o, slots: map[string]*slot{}, byPID: map[string]*slot{}, breakers: map[string]*Breaker{},
		}
	}, nil
}

// slot is one supervised name.
type slot struct {
	Supervise
	pid        *actor.PID // nil while waiting
	generation uint64     // of the wait or the child
	permit     Permit     // of the attempt, until it is decided
	failures   int        // in a row
	upSince    time.Time  // zero until healthy
	timer      *time.Timer

	failed  error      // what the ending child failed of
	ending  bool       // the child has been told to stop
	forget  bool       // no next attempt
	replace *Supervise // what to start instead when the child is gone
}

// Supervisor is the actor.
type Supervisor struct {
	Options
	slots      map[string]*slot // by name
	byPID      map[string]*slot // by id of the running child
	breakers   map[string]*Breaker
	generation uint64
}

// Receive implements actor.Actor.
func (s *Supervisor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case Supervise:
		s.supervise(ctx, m)
	case Forget:
		s.forget(ctx, m.Name)
	case Healthy:
		s.healthy(m.PID)
	case Failed:
		if sl := s.byPID[m.PID.Id]; sl != nil && !sl.ending {
			s.failing(sl, m.Err)
			ctx.Stop(sl.pid)
			if directiveOf(m.Err) == Escalate {
				panic(m.Err)
			}
		}
	case respawn:
		if sl := s.slots[m.name]; sl != nil && sl.generation == m.generation && sl.pid == nil {
			s.try(ctx, sl)
		}
	case *actor.Terminated:
		s.ended(ctx, m.Who)
	case *actor.Stopping:
		for _, sl := range s.slots {
			sl.forget = true
			sl.stopTimer()
		}
	}
}

// HandleFailure implements actor.SupervisorStrategy. It runs in the
// supervisor's own turn, before the Terminated of the child.
func (s *Supervisor) HandleFailure(_ *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	err := asError(reason)
	if sl := s.byPID[child.Id]; sl != nil {
		s.failing(sl, err)
	}
	parent.StopChildren(child)
	if directiveOf(err) == Escalate {
		parent.EscalateFailure(reason, message)
	}
}

func (s *Supervisor) failing(sl *slot, err error) {
	if sl.failed == nil && err == nil {
		err = errors.New("child failed without saying why")
	}
	if sl.failed == nil {
		sl.failed = err
	}
	sl.ending = true
	sl.forget = sl.forget || directiveOf(err) != Retry
}

func (s *Supervisor) supervise(ctx actor.Context, m Supervise) {
	sl := s.slots[m.Name]
	switch {
	case sl == nil:
		s.sweep()
		sl = &slot{Supervise: m}
		s.slots[m.Name] = sl
		s.try(ctx, sl)
	case sl.pid == nil:
		sl.Supervise = m // the wait goes on
	default:
		sl.replace, sl.ending = &m, true
		ctx.Stop(sl.pid)
	}
}

func (s *Supervisor) forget(ctx actor.Context, name string) {
	sl := s.slots[name]
	if sl == nil {
		return
	}
	sl.forget, sl.replace = true, nil
	if sl.pid == nil {
		s.gone(sl, nil)
		return
	}
	sl.ending = true
	ctx.Stop(sl.pid)
}

func (s *Supervisor) healthy(pid *actor.PID) {
	sl := s.byPID[pid.Id]
	if sl == nil || sl.ending || !sl.upSince.IsZero() {
		return
	}
	now := s.Now()
	sl.upSince = now
	s.tell(sl, StateUp, 0, nil)
	s.breaker(sl.Key).Success(sl.permit, now)
	sl.permit = Permit{}
}

// try makes an attempt, if the breaker allows one.
func (s *Supervisor) try(ctx actor.Context, sl *slot) {
	permit, ok := s.breaker(sl.Key).Acquire(s.Now())
	if !ok {
		s.waitForBreaker(ctx, sl)
		return
	}
	s.generation++
	sl.generation, sl.permit, sl.upSince = s.generation, permit, time.Time{}
	sl.failed, sl.ending = nil, false
	// The generation in the name sends what is meant for an earlier child to
	// dead letters instead of to this one.
	pid, err := ctx.SpawnNamed(sl.Props, fmt.Sprintf("%s.%d", sl.Name, sl.generation))
	if err != nil {
		s.decided(ctx, sl, fmt.Errorf("spawn %s: %w", sl.Name, err))
		return
	}
	sl.pid = pid
	s.byPID[pid.Id] = sl
}

// ended handles the Terminated of a child.
func (s *Supervisor) ended(ctx actor.Context, who *actor.PID) {
	sl := s.byPID[who.Id]
	if sl == nil {
		return
	}
	delete(s.byPID, who.Id)
	sl.pid = nil
	if next := sl.replace; next != nil {
		s.giveBack(sl)
		delete(s.slots, sl.Name)
		s.supervise(ctx, *next)
		return
	}
	s.decided(ctx, sl, sl.failed)
}

// decided ends an attempt: err is what the child failed of, nil if it ended
// well or was asked to.
func (s *Supervisor) decided(ctx actor.Context, sl *slot, err error) {
	now := s.Now()
	lasted := !sl.upSince.IsZero() && now.Sub(sl.upSince) >= s.ResetAfter
	switch {
	case err == nil || neutral(err):
		s.giveBack(sl)
	case sl.permit != (Permit{}):
		s.breaker(sl.Key).Failure(sl.permit, now)
		sl.permit = Permit{}
	case !lasted:
		s.breaker(sl.Key).Fell(now)
	}
	if err == nil || sl.forget {
		s.gone(sl, err)
		return
	}
	if !sl.upSince.IsZero() {
		s.tell(sl, StateDown, 0, err)
	}
	if lasted {
		sl.failures = 0
	}
	sl.failures++
	if s.Policy.Retries > 0 && sl.failures > s.Policy.Retries {
		s.gone(sl, err)
		return
	}
	s.later(ctx, sl, StateBackoff, s.Policy.Delay(sl.failures, s.Rand), err)
}

// giveBack returns the permit of an attempt that had no result, or the breaker
// would stay half-open for ever.
func (s *Supervisor) giveBack(sl *slot) {
	if sl.permit != (Permit{}) {
		s.breaker(sl.Key).Cancel(sl.permit)
		sl.permit = Permit{}
	}
}

// waitForBreaker waits until the breaker may allow an attempt, and a little
// longer, so that children of one key do not all come at once.
func (s *Supervisor) waitForBreaker(ctx actor.Context, sl *slot) {
	wait := s.breaker(sl.Key).RetryAfter(s.Now()) // 0 while others probe: come back soon
	s.later(ctx, sl, StateOpen, wait+time.Duration((1+s.Rand.Float64())/2*float64(s.Policy.Min)), nil)
}

func (s *Supervisor) later(ctx actor.Context, sl *slot, state State, delay time.Duration, err error) {
	s.generation++
	sl.generation = s.generation
	self, root, m := ctx.Self(), ctx.ActorSystem().Root, respawn{sl.Name, sl.generation}
	sl.stopTimer()
	sl.timer = time.AfterFunc(delay, func() { root.Send(self, m) })
	s.tell(sl, state, delay, err)
}

func (sl *slot) stopTimer() {
	if sl.timer != nil {
		sl.timer.Stop()
		sl.timer = nil
	}
}

func (s *Supervisor) gone(sl *slot, err error) {
	s.giveBack(sl)
	sl.stopTimer()
	delete(s.slots, sl.Name)
	s.tell(sl, StateGone, 0, err)
}

func (s *Supervisor) tell(sl *slot, state State, delay time.Duration, err error) {
	s.OnChange(StateChanged{Child: sl.Name, Key: sl.Key, State: state, Attempt: sl.failures, Delay: delay, Err: err})
}
