package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
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
	site    string     // what of, without the value
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
