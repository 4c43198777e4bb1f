package configuration

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"chive/actors/keystore"
	"chive/config"
	"chive/config/logging"
	"chive/messages"
	"chive/messages/chivev1"
)

// outcome is how a proposal ended.
type outcome struct{ result messages.ConfigResult }

// plan is a proposal that was read and checked.
type plan struct {
	job     *job
	live    []config.Live
	aside   []config.Live
	fleet   uint64
	loaded  *config.Loaded
	next    *config.Config
	changes []config.Change // that take effect in the running node
	pending []config.Change // that need a restart
	notes   []messages.ConfigNote
	already bool // of a revert: nothing would change
}

// change is what the parts are told of a plan.
func (p *plan) change(running *config.Config) Change {
	asked := p.job.proposal.Source.Asked()
	return Change{Old: running, New: p.next, Reload: asked, Reread: asked || p.job.proposal.Source == messages.ConfigFromFile}
}

// work takes a proposal from its reading to its end. It runs in a goroutine of
// the proposal, one at a time.
func (o *Options) work(ctx context.Context, j *job) outcome {
	o.State.working.Lock()
	defer o.State.working.Unlock()
	if o.State.closed {
		return outcome{messages.ConfigResult{Revision: o.State.Revision(), Reason: "the node has stopped"}}
	}
	begun := o.Now()
	p, err := o.plan(j)
	idle := err == nil && p.idle(o.State)
	if err == nil && (!idle || j.proposal.DryRun) {
		var found []messages.ConfigNote
		found, err = look(ctx, o.Parts, p.change(o.State.Current()))
		p.notes = append(p.notes, found...)
	}
	if err == nil && j.proposal.DryRun {
		return outcome{p.result(o.State.Revision())}
	}
	if j.proposal.DryRun {
		return outcome{messages.ConfigResult{Revision: o.State.Revision(), Reason: err.Error(), Wrong: wrong(err)}}
	}
	if idle {
		b := *o.State.book.Load()
		b.refused = ""
		o.State.book.Store(&b)
		return outcome{p.result(o.State.Revision())}
	}
	cause := o.emit(messages.Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigProposed{
		Mouth: string(j.proposal.Source), FleetRevision: j.proposal.FleetRevision, Lines: uint32(len(j.proposal.Lines)),
	}), "")
	if err == nil {
		err = o.carry(ctx, p)
	}
	var settled *settleError
	if errors.As(err, &settled) {
		o.Log.Warn("the configuration has changed; something of the old one is left", "err", settled)
		err = nil
	}
	if err != nil {
		return o.reject(j, err, cause)
	}
	return o.applied(p, cause, o.Now().Sub(begun))
}

// idle: is there nothing to do? The operator's reload always opens log files
// again.
func (p *plan) idle(s *State) bool {
	if p.job.revert != 0 {
		return p.already
	}
	b := s.book.Load()
	return len(p.changes) == 0 && !p.job.proposal.Source.Asked() && sameLive(b.live, p.live) && sameLive(b.aside, p.aside) &&
		b.fleet == p.fleet && join(names(b.pending)) == join(names(p.pending))
}

// carry swaps the configuration and has every part follow it.
func (o *Options) carry(ctx context.Context, p *plan) error {
	old := o.State.Current()
	parts := append([]Subscriber{&swap{o.State}}, o.Parts...)
	return carryOut(ctx, parts, p.change(old))
}

// swap is the first part: who is started anew while the change is made reads the
// new configuration.
type swap struct{ state *State }

func (s *swap) Name() string { return "node" }

func (s *swap) Prepare(_ context.Context, c Change) (Step, error) {
	return Step{
		Commit: func() error { s.state.current.Store(c.New); return nil },
		Undo:   func() { s.state.current.Store(c.Old) },
	}, nil
}

func (p *plan) result(revision uint64) messages.ConfigResult {
	return messages.ConfigResult{Revision: revision, Applied: true, Changes: append(changes(p.changes), changes(p.pending)...), Notes: p.notes, Already: p.already}
}

// applied writes down a change that was made.
func (o *Options) applied(p *plan, cause string, took time.Duration) outcome {
	b := *o.State.book.Load()
	b.live, b.aside, b.origins, b.pending, b.fleet, b.refused = p.live, p.aside, p.loaded.Origins, p.pending, p.fleet, ""
	fleet, added := only(p.live, config.FromFleet), b.added(p.live)
	out := p.result(0)
	if last := b.last(); len(p.changes) > 0 || p.job.revert != 0 || p.fleet != last.FleetRevision || !sameLive(fleet, last.Fleet) || !sameLive(added, last.Added) {
		r := Revision{
			ConfigRevision: messages.ConfigRevision{
				Revision: last.Revision + 1, Time: stamp(o.Now()), Source: p.job.proposal.Source,
				FleetRevision: p.fleet, Author: p.job.proposal.Author,
				RevertOf: p.job.revert, Changes: changes(p.changes),
			},
			Values: valuesOf(p.next), Fleet: fleet, Added: added, Passing: passing(p.live),
		}
		b.add(r)
		if err := o.State.store.Append(r); err != nil {
			if !sameLive(added, last.Added) {
				out.Unkept = err.Error()
			}
			o.Log.Warn("the configuration's revision is not kept over a restart", "revision", r.Revision, "err", err)
		}
	}
	o.State.book.Store(&b)
	if p.job.revert != 0 {
		cause = o.emit(messages.Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigReverted{Revision: p.job.revert}), cause)
	}
	o.emit(messages.Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigApplied{
		Revision: b.last().Revision, Mouth: string(p.job.proposal.Source), FleetRevision: p.job.proposal.FleetRevision,
		Options: strings.Join(names(p.changes), ","), Waiting: strings.Join(names(p.pending), ","),
		Rebuilds: config.MostOf(p.changes) == config.Rebuild, Took: messages.Took(took),
	}), cause)
	o.say(p, b.last().Revision)
	out.Revision = b.last().Revision
	return outcome{out}
}

// say tells the operator what a change of the files came to.
func (o *Options) say(p *plan, revision uint64) {
	for _, w := range p.loaded.Warnings {
		o.Log.Warn(w.Error())
	}
	for _, n := range p.notes {
		level, found := logging.LevelNotice, []any{"found", keystore.Loggable(n.Text)}
		if n.Path != "" {
			found = append([]any{"path", keystore.Loggable(n.Path)}, found...)
		}
		if n.Warning {
			level = slog.LevelWarn
		}
		o.Log.Log(context.Background(), level, "found when the configuration was read", found...)
	}
	if len(p.pending) > 0 {
		o.Log.Warn("options that need a restart keep their value", "options", strings.Join(names(p.pending), ","))
	}
	changed := strings.Join(names(p.changes), ",")
	if changed == "" {
		changed = "nothing"
	}
	o.Log.Log(context.Background(), logging.LevelNotice, "configuration applied", "revision", revision,
		"from", string(p.job.proposal.Source), "changed", changed)
}

// maxRejected is how many rejections are remembered.
const maxRejected = 16

// reject writes down a proposal that was refused; the node is as it was.
func (o *Options) reject(j *job, err error, cause string) outcome {
	b := *o.State.book.Load()
	b.refused = err.Error()
	b.rejected = append(b.rejected[:len(b.rejected):len(b.rejected)], rejection{messages.ConfigRevision{
		Time: stamp(o.Now()), Source: j.proposal.Source, FleetRevision: j.proposal.FleetRevision,
		Author: j.proposal.Author, RevertOf: j.revert, Reason: err.Error(),
	}, b.last().Revision})
	if len(b.rejected) > maxRejected {
		b.rejected = b.rejected[len(b.rejected)-maxRejected:]
	}
	o.State.book.Store(&b)
	stage, what := blame(err)
	o.emit(messages.Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigRejected{
		Mouth: string(j.proposal.Source), FleetRevision: j.proposal.FleetRevision,
		Stage: stage, Reason: what, Outcome: chivev1.Outcome_OUTCOME_REFUSED,
	}), cause)
	o.Log.Error("configuration rejected: the node goes on as before", "from", string(j.proposal.Source), "reason", err.Error())
	return outcome{messages.ConfigResult{Revision: b.last().Revision, Reason: err.Error(), Wrong: wrong(err)}}
}

// wrong: is it for what was proposed, whatever node it was proposed to?
func wrong(err error) bool {
	var mistakes config.Errors
	var m *mistake
	return errors.As(err, &mistakes) || errors.As(err, &m)
}

// mistake is an error of a line that is wrong alone.
type mistake struct{ error }

// Unwrap gives the cause.
func (m *mistake) Unwrap() error { return m.error }

// blame is what an event may tell of a rejection: options and the rules they
// break, parts, no values.
func blame(err error) (stage, what string) {
	stage = stageRead
	var s *StageError
	if errors.As(err, &s) {
		if stage = s.Stage; s.Part != "" {
			return stage, s.Part
		}
	}
	var said []string
	var many config.Errors
	var remote *config.RemoteError
	switch {
	case errors.As(err, &many):
		for _, e := range many {
			what := "not right"
			if e.Kind != nil {
				what = e.Kind.Error()
			}
			if o := config.Find(e.Option); o != nil {
				what = o.Name + ": " + what
			}
			if !slices.Contains(said, what) && len(said) < 8 {
				said = append(said, what)
			}
		}
	case errors.As(err, &remote):
		said = []string{remote.Option + ": not for remote publishers"}
	default:
		said = []string{"see the node's log"}
	}
	return stage, strings.Join(said, ", ")
}

func names(all []config.Change) (out []string) {
	for _, c := range all {
		out = append(out, c.Option.Name)
	}
	return out
}

func only(live []config.Live, origin config.Origin) (out []config.Live) {
	for _, l := range live {
		if l.Origin == origin {
			out = append(out, l)
		}
	}
	return out
}

func sameLive(a, b []config.Live) bool {
	return slices.EqualFunc(a, b, func(x, y config.Live) bool {
		return x.Name == y.Name && x.Origin == y.Origin && x.Append == y.Append && slices.Equal(x.Values, y.Values)
	})
}

var errNothing = errors.New("the proposal says nothing: give options and values")
