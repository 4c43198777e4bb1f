package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/internal/safego"
	"chive/supervisor/retry"
)

// Messages that Children, and so a Supervisor, understand.
type (
	// Supervise starts a child and keeps it running. If the name is taken, the
	// running child is stopped first; a wait under way goes on.
	Supervise struct {
		Name     string    // unique among the owner's children; a valid part of an actor name
		Key      string    // what the child depends on; "" is a key like any other
		Strategy *Strategy // nil: that of the Options
		// Props is called for each attempt, in the owner's turn.
		Props func() *actor.Props
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

// Options of Children.
type Options struct {
	Strategy Strategy // for children that bring none
	// Quarantine, if not nil, is told of the input that crashes a child, and
	// asked by Pass. Input names the input a message is: what kind, and a key
	// that is the same when it comes again; an empty key is none. A nil Input
	// knows the messages that implement the interface Input.
	Quarantine *Quarantine
	Input      func(message any) (kind, key string)
	OnChange   func(StateChanged)                                   // called in the owner's turn; may be nil
	OnSpawn    func(ctx actor.Context, name string, pid *actor.PID) // called after each spawn; may be nil
	Now        func() time.Time                                     // nil = time.Now
	Rand       Random                                               // for jitter, used by the owner only; nil = its own
}

// Children are the supervised children of an actor, its owner, which calls all
// methods in its own turn and hands every message to Receive first.
type Children struct {
	o          Options
	slots      map[string]*slot // by name
	byPID      map[string]*slot // by id of the running child
	breakers   map[string]*Breaker
	generation uint64
	halted     bool
}

// slot is one supervised name.
type slot struct {
	Supervise
	strategy   *Strategy
	pid        *actor.PID // nil while waiting
	generation uint64     // of the wait or the child
	permit     Permit     // of the attempt, until it is decided
	failures   int        // in a row
	since      time.Time  // of the first of them
	started    time.Time
	upSince    time.Time // zero until healthy
	timer      *kernel.Timer

	failed  error      // what the ending child failed of
	site    string     // where it panicked
	ending  bool       // the child has been told to stop
	forget  bool       // no next attempt
	replace *Supervise // what to start instead when the child is gone
}

// NewChildren has no children yet; it fails, wrapping ErrConfig, for impossible
// options.
func NewChildren(o Options) (*Children, error) {
	if err := o.Strategy.Validate(); err != nil {
		return nil, err
	}
	if o.OnChange == nil {
		o.OnChange = func(StateChanged) {}
	}
	if o.OnSpawn == nil {
		o.OnSpawn = func(actor.Context, string, *actor.PID) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Input == nil {
		o.Input = inputOf
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Children{o: o, slots: map[string]*slot{}, byPID: map[string]*slot{}, breakers: map[string]*Breaker{}}, nil
}

// Receive handles the message if it is about the children, and says so.
func (c *Children) Receive(ctx actor.Context) bool {
	switch m := ctx.Message().(type) {
	case Supervise:
		c.Supervise(ctx, m)
	case Forget:
		c.Forget(ctx, m.Name)
	case Healthy:
		c.healthy(m.PID)
	case Failed:
		if sl := c.byPID[m.PID.GetId()]; sl != nil && !sl.ending {
			c.failing(sl, m.Err)
			ctx.Stop(sl.pid)
			c.maybeEscalate(m.Err)
		}
	case *kernel.ChildFailed:
		return c.childFailed(m)
	case respawn:
		if sl := c.slots[m.name]; sl != nil && sl.generation == m.generation && sl.pid == nil {
			c.try(ctx, sl)
		}
	case *actor.Terminated:
		return c.ended(ctx, m.Who)
	case *actor.Stopping:
		c.Halt()
		return false
	default:
		return false
	}
	return true
}

// Supervise starts a child and keeps it running.
func (c *Children) Supervise(ctx actor.Context, m Supervise) {
	strategy := c.strategyOf(&m)
	if err := strategy.Validate(); err != nil || c.halted {
		c.tell(&slot{Supervise: m, strategy: strategy}, StateGone, 0, err)
		return
	}
	sl := c.slots[m.Name]
	switch {
	case sl == nil:
		c.sweep()
		sl = &slot{Supervise: m, strategy: strategy}
		c.slots[m.Name] = sl
		c.try(ctx, sl)
	case sl.pid == nil:
		sl.Supervise, sl.strategy, sl.replace = m, strategy, nil // the wait goes on
	default:
		sl.replace, sl.ending, sl.forget = &m, true, directiveOf(sl.failed) != Retry
		ctx.Stop(sl.pid)
	}
}

func (c *Children) strategyOf(m *Supervise) *Strategy {
	if m.Strategy != nil {
		return m.Strategy
	}
	return &c.o.Strategy
}

// Forget stops a child, or what would become it.
func (c *Children) Forget(ctx actor.Context, name string) {
	sl := c.slots[name]
	if sl == nil {
		return
	}
	sl.forget, sl.replace = true, nil
	if sl.pid == nil {
		c.gone(sl, nil)
		return
	}
	sl.ending = true
	ctx.Stop(sl.pid)
}

// Retire lets a child run to its own end: there is no next attempt, and one
// that waits for its next is gone now.
func (c *Children) Retire(name string) {
	if sl := c.slots[name]; sl != nil {
		sl.forget, sl.replace = true, nil
		if sl.pid == nil {
			c.gone(sl, nil)
		}
	}
}

// Halt retires all children and starts none any more.
func (c *Children) Halt() {
	c.halted = true
	for name := range c.slots {
		c.Retire(name)
	}
}

// PID is the running child of a name, nil if there is none just now.
func (c *Children) PID(name string) *actor.PID {
	if sl := c.slots[name]; sl != nil && !sl.ending {
		return sl.pid
	}
	return nil
}

// ErrNotRunning is why a message cannot be passed on just now.
var ErrNotRunning = errors.New("supervisor: no such child runs just now")

// Pass sends a message to a child. The error is ErrNotRunning, or a
// *PoisonError if the quarantine has set the message's input aside.
func (c *Children) Pass(ctx actor.Context, name string, message any) error {
	pid := c.PID(name)
	if pid == nil {
		return fmt.Errorf("%w: %s", ErrNotRunning, name)
	}
	if c.o.Quarantine != nil {
		if kind, key := c.o.Input(message); key != "" {
			if err := c.o.Quarantine.Admit(kind, key); err != nil {
				return err
			}
		}
	}
	ctx.Send(pid, message)
	return nil
}

func (c *Children) childFailed(m *kernel.ChildFailed) bool {
	sl := c.byPID[m.PID.GetId()]
	if sl == nil {
		return false
	}
	c.failing(sl, m.Reason)
	sl.site = m.Site()
	if c.o.Quarantine != nil {
		if kind, key := c.o.Input(m.Message); key != "" {
			c.o.Quarantine.Crashed(kind, key, sl.Name)
		}
	}
	c.maybeEscalate(m.Reason)
	return true
}

func (c *Children) maybeEscalate(err error) {
	if directiveOf(err) == Escalate {
		panic(err)
	}
}

func (c *Children) failing(sl *slot, err error) {
	if sl.failed == nil && err == nil {
		err = errors.New("child failed without saying why")
	}
	if sl.failed == nil {
		sl.failed = err
	}
	sl.ending = true
	sl.forget = sl.forget || directiveOf(err) != Retry
}

func (c *Children) healthy(pid *actor.PID) {
	sl := c.byPID[pid.GetId()]
	if sl == nil || sl.ending || !sl.upSince.IsZero() {
		return
	}
	sl.upSince = c.o.Now()
	c.tell(sl, StateUp, 0, nil)
	sl.permit.Success()
	sl.permit = Permit{}
}

// try makes an attempt, if the breaker allows one.
func (c *Children) try(ctx actor.Context, sl *slot) {
	sl.timer = nil
	if next := sl.replace; next != nil {
		sl.Supervise, sl.replace = *next, nil
		sl.strategy = c.strategyOf(next)
	}
	var permit Permit
	if b := c.breaker(sl); b != nil {
		var err error
		if permit, err = b.Acquire(); err != nil {
			c.waitForBreaker(ctx, sl, err)
			return
		}
	}
	c.generation++
	sl.generation, sl.permit, sl.started, sl.upSince = c.generation, permit, c.o.Now(), time.Time{}
	sl.failed, sl.site, sl.ending = nil, "", false
	pid, err := c.spawn(ctx, sl)
	if err != nil {
		c.decided(ctx, sl, fmt.Errorf("spawn %s: %w", sl.Name, err))
		return
	}
	sl.pid = pid
	c.byPID[pid.Id] = sl
	c.o.OnSpawn(ctx, sl.Name, pid)
}

func (c *Children) spawn(ctx actor.Context, sl *slot) (pid *actor.PID, err error) {
	p := safego.Call("props of "+sl.Name, func() {
		// The generation in the name sends what is meant for an earlier child to
		// dead letters instead of to this one.
		pid, err = ctx.SpawnNamed(sl.Props(), fmt.Sprintf("%s.%d", sl.Name, sl.generation))
	})
	if p != nil {
		sl.site = p.Reason()
		return nil, p
	}
	return pid, err
}

// ended handles the Terminated of a child.
func (c *Children) ended(ctx actor.Context, who *actor.PID) bool {
	sl := c.byPID[who.Id]
	if sl == nil {
		return false
	}
	delete(c.byPID, who.Id)
	sl.pid = nil
	next := sl.replace
	if next == nil || sl.failed != nil && !sl.forget {
		c.decided(ctx, sl, sl.failed) // one that had failed already is replaced after its wait
		return true
	}
	c.giveBack(sl)
	delete(c.slots, sl.Name)
	c.Supervise(ctx, *next)
	return true
}

// decided ends an attempt: err is what the child failed of, nil if it ended
// well or was asked to.
func (c *Children) decided(ctx actor.Context, sl *slot, err error) {
	now := c.o.Now()
	from := sl.upSince
	if sl.strategy.Silent {
		from = sl.started
	}
	lasted := !from.IsZero() && now.Sub(from) >= sl.strategy.lasting()
	c.judge(sl, err, lasted)
	if err == nil || sl.forget {
		c.gone(sl, err)
		return
	}
	if !sl.upSince.IsZero() {
		c.tell(sl, StateDown, 0, err)
	}
	if lasted {
		sl.failures = 0
	}
	if sl.failures++; sl.failures == 1 {
		sl.since = now
	}
	c.after(ctx, sl, err, now)
}

// judge tells the breaker how the attempt went.
func (c *Children) judge(sl *slot, err error, lasted bool) {
	switch {
	case err == nil || neutral(err):
		c.giveBack(sl)
	case sl.permit != Permit{}:
		sl.permit.Failure()
		sl.permit = Permit{}
	case !lasted:
		if b := c.breaker(sl); b != nil {
			b.Fell()
		}
	}
}

// after a failure there is always a next attempt, unless the owner fails too.
func (c *Children) after(ctx actor.Context, sl *slot, err error, now time.Time) {
	delay := sl.strategy.Wait(sl.failures, c.o.Rand)
	if sl.strategy.ExhaustedAt(sl.failures) {
		c.tell(sl, StateExhausted, delay, err)
		if sl.strategy.Exhausted == Escalate {
			panic(&ExhaustedError{Child: sl.Name, Attempts: sl.failures, Over: now.Sub(sl.since), Err: err})
		}
	}
	c.later(ctx, sl, StateBackoff, delay, err)
}

// giveBack returns the permit of an attempt that had no result, or the breaker
// would stay half-open.
func (c *Children) giveBack(sl *slot) {
	sl.permit.Cancel()
	sl.permit = Permit{}
}

// waitForBreaker waits until the breaker may allow an attempt, and a little
// longer, so that children of one key do not all come at once.
func (c *Children) waitForBreaker(ctx actor.Context, sl *slot, refusal error) {
	var open *retry.OpenError
	var wait time.Duration // 0 while others probe: come back soon
	if errors.As(refusal, &open) {
		wait = open.RetryAfter
	}
	c.later(ctx, sl, StateOpen, wait+time.Duration((1+c.o.Rand.Float64())/2*float64(sl.strategy.Min)), nil)
}

func (c *Children) later(ctx actor.Context, sl *slot, state State, delay time.Duration, err error) {
	c.generation++
	sl.generation = c.generation
	sl.timer.Stop()
	sl.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), delay, respawn{sl.Name, sl.generation})
	c.tell(sl, state, delay, err)
}

func (c *Children) gone(sl *slot, err error) {
	c.giveBack(sl)
	sl.timer.Stop()
	delete(c.slots, sl.Name)
	c.tell(sl, StateGone, 0, err)
}
