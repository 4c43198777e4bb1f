package configuration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/config"
	"chive/messages"
)

// Control is how mouths outside the actors reach the configuration. It
// implements messages.ConfigControl; the actor may be started anew behind it.
type Control struct {
	state  *State
	system *actor.ActorSystem
	ended  <-chan struct{}
	pid    atomic.Pointer[actor.PID]
	first  sync.Once
	there  chan struct{} // closed when there is an actor to ask
}

// NewControl is of no actor yet: changes wait for Attach, until ended is closed.
func NewControl(state *State, system *actor.ActorSystem, ended <-chan struct{}) *Control {
	return &Control{state: state, system: system, ended: ended, there: make(chan struct{})}
}

// Attach says which actor to ask from now on.
func (c *Control) Attach(pid *actor.PID) {
	c.pid.Store(pid)
	c.first.Do(func() { close(c.there) })
}

// ProposeConfig implements messages.ConfigTarget.
func (c *Control) ProposeConfig(ctx context.Context, p messages.ConfigProposal) (messages.ConfigResult, error) {
	return c.ask(ctx, func(r kernel.Reply[messages.ConfigResult]) any { return &Propose{p, r} })
}

// RevertConfig implements messages.ConfigReader.
func (c *Control) RevertConfig(ctx context.Context, to messages.ConfigRevert) (messages.ConfigResult, error) {
	return c.ask(ctx, func(r kernel.Reply[messages.ConfigResult]) any { return &Revert{to, r} })
}

func (c *Control) ask(ctx context.Context, question func(kernel.Reply[messages.ConfigResult]) any) (messages.ConfigResult, error) {
	// Who asks as soon as the node has started may be ahead of the actor.
	select {
	case <-c.there:
	case <-c.ended:
		return messages.ConfigResult{}, fmt.Errorf("configuration: %w", kernel.ErrStopped)
	case <-ctx.Done():
		return messages.ConfigResult{}, fmt.Errorf("configuration: %w", context.Cause(ctx))
	}
	r, err := kernel.Ask(ctx, c.system, c.pid.Load(), question)
	if err != nil {
		return r, fmt.Errorf("configuration: whether the change was made is not known: %w", err)
	}
	return r, nil
}

// ConfigView implements messages.ConfigReader.
func (c *Control) ConfigView(context.Context) (messages.ConfigView, error) {
	b := c.state.book.Load()
	v := messages.ConfigView{Revision: b.last().Revision, FleetRevision: b.fleet, Waiting: changes(b.pending), Rejected: b.refused}
	for _, s := range config.Settings(c.state.Current(), b.origins) {
		v.Settings = append(v.Settings, messages.ConfigSetting{
			Option: s.Option.Name, Values: s.Values, Origin: s.Origin.String(), Class: string(s.Option.Class),
		})
	}
	return v, nil
}

// FleetLines is what the fleet has set, and the last of its revisions that was taken.
func (c *Control) FleetLines() (lines []messages.ConfigLine, revision uint64) {
	b := c.state.book.Load()
	for _, l := range only(b.live, config.FromFleet) {
		for _, v := range l.Values {
			lines = append(lines, messages.ConfigLine{Name: l.Name, Value: v})
		}
	}
	return lines, b.fleet
}

// ConfigHistory implements messages.ConfigReader.
func (c *Control) ConfigHistory(context.Context) ([]messages.ConfigRevision, error) {
	b := c.state.book.Load()
	var out []messages.ConfigRevision
	rejected := b.rejected
	for _, r := range b.revisions {
		for len(rejected) > 0 && rejected[0].after < r.Revision {
			out, rejected = append(out, rejected[0].ConfigRevision), rejected[1:]
		}
		out = append(out, r.ConfigRevision)
	}
	for _, r := range rejected {
		out = append(out, r.ConfigRevision)
	}
	return out, nil
}

// ConfigDiff implements messages.ConfigReader.
func (c *Control) ConfigDiff(_ context.Context, from, to uint64) ([]messages.ConfigChange, error) {
	b := c.state.book.Load()
	values := func(n uint64) (map[string][]string, error) {
		if n == 0 {
			return valuesOf(c.state.Current()), nil
		}
		r, ok := b.find(n)
		if !ok {
			return nil, fmt.Errorf("%w: %d", ErrNoRevision, n)
		}
		return r.Values, nil
	}
	old, err := values(from)
	if err != nil {
		return nil, err
	}
	next, err := values(to)
	if err != nil {
		return nil, err
	}
	return between(old, next), nil
}
