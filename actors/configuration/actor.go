package configuration

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// Options is what the actor is made of.
type Options struct {
	State     *State
	Parts     []Subscriber // in the order in which they prepare and commit
	Recorder  *messages.Recorder
	Log       *slog.Logger
	Watch     bool          // look for files that change
	PollEvery time.Duration // 0: pollTime
	Settle    time.Duration // 0: settleTime
	Now       func() time.Time
	// Limit bounds how long the parts may take for one change; 0: changeTime.
	Limit time.Duration
}

const (
	// changeTime is how long the parts may take for one change.
	changeTime = 30 * time.Second
	// maxQueue is how many proposals may wait.
	maxQueue = 1024
)

// Messages that the actor understands.
type (
	// Propose asks for a change.
	Propose struct {
		Proposal messages.ConfigProposal
		Reply    kernel.Reply[messages.ConfigResult]
	}
	// Revert asks to go back to a revision.
	Revert struct {
		To    messages.ConfigRevert
		Reply kernel.Reply[messages.ConfigResult]
	}
	changed struct{} // the files did
	done    struct {
		job *job
		out outcome
	}
)

// job is a proposal on its way. Equal reloads that wait become one.
type job struct {
	proposal messages.ConfigProposal
	revert   uint64 // 0: none
	services bool   // of a revert: those that were added go back, too
	replies  []kernel.Reply[messages.ConfigResult]
}

type configuration struct {
	o      Options
	queue  []*job
	busy   bool
	ctx    context.Context
	cancel context.CancelFunc
}

// Props makes the actor. One actor at a time may have a State.
func Props(o Options) *actor.Props {
	if o.Limit == 0 {
		o.Limit = changeTime
	}
	if o.PollEvery == 0 {
		o.PollEvery = pollTime
	}
	if o.Settle == 0 {
		o.Settle = settleTime
	}
	return kernel.Props(func() actor.Actor { return &configuration{o: o} })
}

// Receive is the actor's table of messages.
func (c *configuration) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *Propose:
		c.accept(ctx, &job{proposal: m.Proposal, replies: []kernel.Reply[messages.ConfigResult]{m.Reply}})
	case *Revert:
		p := messages.ConfigProposal{Source: messages.ConfigFromControl, DryRun: m.To.DryRun}
		c.accept(ctx, &job{proposal: p, revert: m.To.Revision, services: m.To.Services, replies: []kernel.Reply[messages.ConfigResult]{m.Reply}})
	case *changed:
		c.accept(ctx, &job{proposal: messages.ConfigProposal{Source: messages.ConfigFromFile}})
	case *done:
		c.done(ctx, m)
	case *actor.Started:
		c.start(ctx)
	case *actor.Stopping:
		c.cancel()
	}
}

func (c *configuration) start(ctx actor.Context) {
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if !c.o.Watch || !c.o.State.source.Watched() {
		return
	}
	root, self := ctx.ActorSystem().Root, ctx.Self()
	w := &watcher{
		source: c.o.State.source, seen: c.o.State.hash, poll: c.o.PollEvery, settle: c.o.Settle,
		tell: func() { root.Send(self, &changed{}) },
		log:  func(msg string, err error) { c.o.Log.Info(msg, "err", err) },
	}
	work := c.ctx
	kernel.Go("configuration watch", func() { w.run(work) }, func(p *kernel.Panic) {
		c.o.Log.Error("changed files are not noticed any more; use chive reload", "panic", p.Reason())
	})
}

// accept queues a proposal, or joins it to one that waits and says the same.
func (c *configuration) accept(ctx actor.Context, j *job) {
	for _, q := range c.queue {
		if reload(j) && reload(q) && q.proposal.Source == j.proposal.Source && q.proposal.DryRun == j.proposal.DryRun {
			q.replies = append(q.replies, j.replies...)
			return
		}
	}
	if len(c.queue) >= maxQueue {
		j.answer(messages.ConfigResult{Revision: c.o.State.Revision(), Reason: fmt.Sprintf("%d proposals wait already: try again later", maxQueue)})
		return
	}
	c.queue = append(c.queue, j)
	c.next(ctx)
}

// reload: does the proposal only ask for the files to be read again?
func reload(j *job) bool {
	p := j.proposal
	return j.revert == 0 && len(p.Lines) == 0 && (p.Source == messages.ConfigFromFile || p.Source.Asked())
}

func (j *job) answer(r messages.ConfigResult) {
	for _, reply := range j.replies {
		reply.Send(r)
	}
}

// next begins the next proposal, if none is on its way.
func (c *configuration) next(ctx actor.Context) {
	if c.busy || len(c.queue) == 0 {
		return
	}
	j := c.queue[0]
	c.queue = append(c.queue[:0], c.queue[1:]...)
	c.busy = true
	root, self := ctx.ActorSystem().Root, ctx.Self()
	work, cancel := context.WithTimeoutCause(c.ctx, c.o.Limit, fmt.Errorf("the node's parts took more than %v", c.o.Limit))
	kernel.Go("configuration change", func() {
		defer cancel()
		root.Send(self, &done{j, c.o.work(work, j)})
	}, func(p *kernel.Panic) {
		root.Send(self, &done{j, outcome{result: messages.ConfigResult{Reason: p.Reason()}}})
	})
}

func (c *configuration) done(ctx actor.Context, m *done) {
	c.busy = false
	m.job.answer(m.out.result)
	c.next(ctx)
}

// emit tells an event about the configuration and gives its id.
func (o *Options) emit(e *chivev1.Envelope, cause string) string {
	return o.Recorder.Emit(messages.Because(e, cause, ""))
}

// State is what is in force and how it came about. It outlives the actor, which
// alone changes it; reading is safe for all.
type State struct {
	source  *config.Source
	store   Store
	current atomic.Pointer[config.Config]
	book    atomic.Pointer[book]
	hash    string     // of the files as they were read at the start
	working sync.Mutex // held by who changes the above: an actor's last change may outlive it
	closed  bool       // protected by working: nothing is to change any more
}

// book is an immutable account of what is known.
type book struct {
	revisions []Revision    // oldest first; the last one is in force
	rejected  []rejection   // oldest first
	live      []config.Live // settings made while the node runs, and services that were added to stay
	aside     []config.Live // services that were added to stay and do not go with the files, until the next start
	origins   map[string]config.Origin
	pending   []config.Change
	fleet     uint64 // the fleet's revision that was applied last
	refused   string // why the last proposal was; "" if it was not
}

// rejection is a proposal that was refused. Times are to the second, and clocks are set: its place
// in the history is behind the revision that was in force.
type rejection struct {
	messages.ConfigRevision
	after uint64
}

// Current is the configuration in force. Nobody changes it.
func (s *State) Current() *config.Config { return s.current.Load() }

// Revision is the number of what is in force.
func (s *State) Revision() uint64 { return s.book.Load().last().Revision }

func (b *book) last() Revision { return b.revisions[len(b.revisions)-1] }

func (b *book) find(n uint64) (Revision, bool) {
	for _, r := range b.revisions {
		if r.Revision == n {
			return r, true
		}
	}
	return Revision{}, false
}
