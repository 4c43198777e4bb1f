package fleet

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
)

// Options is what the actor is made of.
type Options struct {
	Node     string
	Folder   string // the data directory
	Port     messages.FleetPort
	Config   Config
	Gauge    *Gauge
	Try      func()                      // build a circuit, to see whether it can be built
	Member   func() messages.FleetMember // what the node says of itself, but for the fleet's part
	Recorder *messages.Recorder
	Log      *slog.Logger
	Now      func() time.Time
	Every    time.Duration // between two signs of life
}

// Config is the configuration as this actor uses it.
type Config interface {
	messages.ConfigTarget
	FleetLines() (lines []messages.ConfigLine, revision uint64)
}

// Messages that the actor understands.
type (
	// Publication is what was found in the config bucket.
	Publication struct{ messages.FleetPublication }

	// Tell has the fleet hear of the node at once: something has changed.
	Tell struct{}

	beat     struct{}
	proposed struct {
		p      messages.FleetPublication
		was    standing // before it
		result messages.ConfigResult
		err    error
	}
	undone struct {
		reason string
		health health
		result messages.ConfigResult
		err    error
	}
	watch   struct{} // a look at a trial
	confirm struct{} // its time is over
)

const (
	// changeTime bounds a change of the configuration.
	changeTime = 90 * time.Second
	// watchEvery is how often a trial is looked at, and a circuit tried.
	watchEvery = 250 * time.Millisecond
	// maxReason bounds what an acknowledgement says.
	maxReason = 1000
)

type member struct {
	o       Options
	now     standing                   // what was taken last
	latest  messages.FleetPublication  // what was seen last
	pending *messages.FleetPublication // waits for the change under way
	busy    bool
	trial   *messages.FleetTrial // being watched; nil: none
	until   time.Time
	timers  map[reflect.Type]*kernel.Timer // by kind of message
	ctx     context.Context
	cancel  context.CancelFunc
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return &member{o: o, timers: map[reflect.Type]*kernel.Timer{}} })
}

// Receive is the actor's table of messages.
func (m *member) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *Publication:
		m.publication(ctx, msg.FleetPublication)
	case *proposed:
		m.proposed(ctx, msg)
	case *watch:
		m.watch(ctx)
	case *confirm:
		m.confirm(ctx)
	case *undone:
		m.undone(ctx, msg)
	case *beat:
		m.beat(ctx)
	case *Tell:
		m.tell()
	case *actor.Started:
		m.start(ctx)
	case *actor.Stopping:
		m.cancel()
		m.o.Gauge.end()
		for _, t := range m.timers {
			t.Stop()
		}
	}
}

func (m *member) start(ctx actor.Context) {
	m.ctx, m.cancel = context.WithCancel(context.Background())
	var err error
	if m.now, err = load(m.o.Folder); err != nil {
		m.o.Log.Warn("what became of the fleet's last configuration is forgotten", "err", err)
	}
	switch {
	case m.now.State == messages.FleetTrying && m.now.Confirm.IsZero():
		m.undo(ctx, "the node ended during the trial", health{})
	case m.now.State == messages.FleetTrying:
		m.after(ctx, max(0, m.now.Confirm.Sub(m.o.Now())), &confirm{})
	}
	m.beat(ctx)
}

// after sends a message later, in place of one of its kind that is on its way.
func (m *member) after(ctx actor.Context, d time.Duration, msg any) {
	kind := reflect.TypeOf(msg)
	m.timers[kind].Stop()
	m.timers[kind] = kernel.After(ctx.ActorSystem(), ctx.Self(), d, msg)
}

// beat says that the node is there, and what it is at.
func (m *member) beat(ctx actor.Context) {
	m.tell()
	m.after(ctx, m.o.Every, &beat{})
}

func (m *member) tell() {
	b := m.o.Member()
	b.Built, b.Failed = m.o.Gauge.Totals()
	_, b.Fleet = m.o.Config.FleetLines()
	b.State, b.Publication = m.now.State, m.latest.Number
	m.o.Port.Beat(b)
}

// publication takes what was published, or says why not.
func (m *member) publication(ctx actor.Context, p messages.FleetPublication) {
	if m.busy {
		m.pending = &p
		return
	}
	m.latest = p
	_, taken := m.o.Config.FleetLines()
	taken = max(taken, m.now.Revision)
	d := p.Document
	switch {
	case p.Err != nil:
		m.refuse(p, p.Err.Error())
	case d.Revision < taken:
		m.refuse(p, "an older revision than the one that was taken")
	case d.Revision == m.now.Revision && p.Digest != m.now.Digest:
		m.refuse(p, "another document of that revision was taken")
	case d.Revision == m.now.Revision: // the node was told before, and has started anew
		m.now.publication = p.Number
		m.ack(p, m.now.State, m.now.Reason, health{}, nil)
	case len(d.Nodes) > 0 && !slices.Contains(d.Nodes, m.o.Node):
		m.confirmed(p)
		m.ack(p, messages.FleetWaiting, "", health{}, nil)
	default:
		m.propose(ctx, p)
	}
}

// refuse tells of a publication that never reached the configuration.
func (m *member) refuse(p messages.FleetPublication, reason string) {
	m.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigRejected{
		Mouth: string(messages.ConfigFromFleet), FleetRevision: p.Document.Revision, Stage: "believe",
		Reason: clip(reason), Outcome: chivev1.Outcome_OUTCOME_REFUSED,
	}))
	m.o.Log.Warn("a configuration of the fleet is refused", "publication", p.Number, "reason", reason)
	m.ack(p, messages.FleetRejected, reason, health{}, nil)
}

// propose hands a document to the configuration.
func (m *member) propose(ctx actor.Context, p messages.FleetPublication) {
	before, _ := m.o.Config.FleetLines()
	if m.now.State == messages.FleetTrying && m.trial != nil {
		before = m.now.Before // what is in force has not been shown to be good
	}
	was := m.now
	m.now = standing{Revision: p.Document.Revision, Digest: p.Digest, Author: p.Author, State: messages.FleetApplied, publication: p.Number}
	if p.Document.Trial != nil { // should the node end now, it goes back
		m.now.State, m.now.Before = messages.FleetTrying, before
		m.save()
	}
	m.change(ctx, messages.ConfigProposal{
		Source: messages.ConfigFromFleet, FleetRevision: p.Document.Revision, Author: p.Author, Lines: p.Document.Lines, Replace: true,
	}, func(r messages.ConfigResult, err error) any { return &proposed{p, was, r, err} })
}

// change asks the configuration, and has the actor told.
func (m *member) change(ctx actor.Context, p messages.ConfigProposal, answer func(messages.ConfigResult, error) any) {
	m.busy = true
	root, self, work := ctx.ActorSystem().Root, ctx.Self(), m.ctx
	kernel.Go("fleet configuration", func() {
		limited, cancel := context.WithTimeout(work, changeTime)
		defer cancel()
		r, err := m.o.Config.ProposeConfig(limited, p)
		root.Send(self, answer(r, err))
	}, func(pn *kernel.Panic) { root.Send(self, answer(messages.ConfigResult{Reason: pn.Reason()}, nil)) })
}

// next takes up what came meanwhile.
func (m *member) next(ctx actor.Context) {
	m.busy = false
	if p := m.pending; p != nil {
		m.pending = nil
		m.publication(ctx, *p)
	}
}

func (m *member) proposed(ctx actor.Context, msg *proposed) {
	defer m.next(ctx)
	p, t := msg.p, msg.p.Document.Trial
	if msg.err != nil || !msg.result.Applied {
		m.now = msg.was
		if t != nil {
			m.save()
		}
		reason := told(msg.result.Reason, p.Document.Lines)
		if msg.err != nil {
			reason = "the change was not finished: " + msg.err.Error()
		}
		m.ack(p, messages.FleetRejected, reason, health{}, nil)
		return
	}
	m.endTrial() // of an earlier one
	if t == nil {
		m.save()
	} else {
		m.trial, m.until = t, m.o.Now().Add(time.Duration(t.Seconds)*time.Second)
		m.o.Gauge.begin()
		m.after(ctx, 0, &watch{})
	}
	m.ack(p, m.now.State, "", health{}, msg.result.Changes)
}

func (m *member) save() {
	if err := m.now.save(m.o.Folder); err != nil {
		m.o.Log.Warn("what became of the fleet's configuration is not kept over a restart", "err", err)
	}
}

// ack answers a publication.
func (m *member) ack(p messages.FleetPublication, state messages.FleetState, reason string, h health, changes []messages.ConfigChange) {
	a := messages.FleetAck{
		Publication: p.Number, Revision: p.Document.Revision, Node: m.o.Node, State: state, Reason: clip(reason),
		Time: m.o.Now().UTC(), Config: m.o.Member().Config, Builds: h.builds, Success: h.success, BuildTime: h.median.Seconds(),
	}
	for _, c := range changes {
		if c.Effect == "restart" {
			a.Waiting = append(a.Waiting, c.Option)
		}
	}
	m.o.Port.Acknowledge(a)
	m.tell()
}

func clip(s string) string {
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + " …"
	}
	return s
}

// told is what the fleet may know of a refusal: what it says of the options that the
// fleet has named. The rest is about this node's own files.
func told(reason string, lines []messages.ConfigLine) string {
	var out []string
	for line := range strings.Lines(reason) {
		if slices.ContainsFunc(lines, func(l messages.ConfigLine) bool {
			return strings.Contains(strings.ToLower(line), strings.ToLower(l.Name))
		}) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	if len(out) == 0 {
		return "it does not go with the node's own configuration: see the node's log"
	}
	return strings.Join(out, "\n")
}
