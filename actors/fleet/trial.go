package fleet

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/messages"
	"chive/messages/chivev1"
)

// watch looks at a trial, and builds what it needs to be decided.
func (m *member) watch(ctx actor.Context) {
	t := m.trial
	if t == nil {
		return
	}
	if m.busy { // it may end the trial
		m.after(ctx, watchEvery, &watch{})
		return
	}
	h, over := m.o.Gauge.health(), !m.o.Now().Before(m.until)
	switch bad := judge(t, h, over); {
	case bad != "":
		m.endTrial()
		m.undo(ctx, bad, h)
		return
	case over:
		m.passed(ctx, h)
		return
	case h.builds < t.Circuits:
		m.o.Try()
	}
	m.after(ctx, min(watchEvery, m.until.Sub(m.o.Now())), &watch{})
}

// judge says what is wrong so far; "" if nothing is.
func judge(t *messages.FleetTrial, h health, over bool) string {
	switch {
	case h.builds < t.Circuits && !over:
		return ""
	case h.builds < t.Circuits:
		return fmt.Sprintf("%d circuits were built or failed in %d s, not the %d that decide", h.builds, t.Seconds, t.Circuits)
	case h.success < t.Success:
		return fmt.Sprintf("%.0f %% of %d circuits were built, not %.0f %%", 100*h.success, h.builds, 100*t.Success)
	case over && t.BuildTime > 0 && h.median.Seconds() > t.BuildTime:
		return fmt.Sprintf("a circuit took %.2f s to build (median of %d), not %.2f s", h.median.Seconds(), h.builds, t.BuildTime)
	}
	return ""
}

// passed ends a trial that went well; it may have to be confirmed still.
func (m *member) passed(ctx actor.Context, h health) {
	t := m.trial
	m.endTrial()
	p := m.publicationOf()
	wait := time.Duration(t.ConfirmFor) * time.Second
	if wait == 0 || m.latest.Err == nil && m.latest.Document.Revision > m.now.Revision {
		m.now.State, m.now.Before = messages.FleetApplied, nil
		m.save()
		m.ack(p, m.now.State, "", h, nil)
		return
	}
	m.now.Confirm = m.o.Now().Add(wait)
	m.save()
	m.after(ctx, wait, &confirm{})
	m.ack(p, messages.FleetTrying, "", h, nil) // the builds say that it went well
}

// publicationOf is the publication that was taken last, as far as acknowledging it goes.
func (m *member) publicationOf() messages.FleetPublication {
	return messages.FleetPublication{Number: m.now.publication, Author: m.now.Author, Document: messages.FleetDocument{Revision: m.now.Revision}}
}

// confirmed: a later revision came, be it for other nodes.
func (m *member) confirmed(p messages.FleetPublication) {
	if m.now.State == messages.FleetTrying && !m.now.Confirm.IsZero() && p.Document.Revision > m.now.Revision {
		m.now.State, m.now.Before, m.now.Confirm = messages.FleetApplied, nil, time.Time{}
		m.save()
	}
}

func (m *member) confirm(ctx actor.Context) {
	switch {
	case m.now.State != messages.FleetTrying || m.now.Confirm.IsZero():
		return
	case m.busy: // it may be confirmed
		m.after(ctx, watchEvery, &confirm{})
		return
	}
	m.undo(ctx, "nobody has confirmed it with a later revision", health{})
}

func (m *member) endTrial() {
	m.trial = nil
	m.o.Gauge.end()
}

// undo goes back to what the fleet had set before.
func (m *member) undo(ctx actor.Context, reason string, h health) {
	m.o.Log.Warn("the fleet's configuration is taken back", "revision", m.now.Revision, "reason", reason)
	m.change(ctx, messages.ConfigProposal{
		Source: messages.ConfigFromFleet, FleetRevision: m.now.Revision, FleetUndo: true, Author: m.now.Author, Lines: m.now.Before, Replace: true,
	}, func(r messages.ConfigResult, err error) any { return &undone{reason, h, r, err} })
}

func (m *member) undone(ctx actor.Context, msg *undone) {
	defer m.next(ctx)
	m.now.Confirm = time.Time{}
	m.now.State, m.now.Reason = messages.FleetReverted, msg.reason
	switch {
	case msg.err != nil:
		m.now.Reason += "; going back was not finished: " + msg.err.Error()
	case !msg.result.Applied:
		m.now.Reason += "; going back was refused: see the node's log"
	default:
		m.now.Before = nil
		m.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CONFIG, "config", &chivev1.ConfigReverted{FleetRevision: m.now.Revision, Reason: clip(msg.reason)}))
	}
	m.save()
	if m.now.publication != 0 { // else the bucket is read first
		m.ack(m.publicationOf(), m.now.State, m.now.Reason, msg.health, nil)
	}
}
