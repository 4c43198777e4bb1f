package supervisor

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/internal/safego"
	"chive/supervisor/retry"
)

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
		sl.failed, sl.site = err, fmt.Sprintf("%T", err)
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
	if err != nil {
		sl.site = fmt.Sprintf("%T", err)
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
