package hosting

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
)

// A node that ends meets nobody new at last: what it would cut off soon after had better gone
// to another node, or been refused. Clients who are on their way still come in, and their
// streams are the node's to wait for.

type (
	// Finish ends all introduction points. Done is called once when the clients who came by
	// them are met, and had time to begin a stream, or when the actor has stopped: one that is
	// started anew begins so. There is no way back.
	Finish struct{ Done func() }

	// finish is the same for one service's actor, finished its answer.
	finish   struct{}
	finished struct{ id string }
)

// beginTime is how long a client who was met may take to begin a stream: some round trips
// over six relays.
const beginTime = 3 * time.Second

// finishing is what a hosting actor waits for.
type finishing struct {
	services []string // that have clients on their way, by id
	waiting  []func()
}

// Drop implements kernel.Droppable: there is nobody who would meet anybody.
func (m *Finish) Drop() { m.Done() }

func (h *hosting) finish(ctx actor.Context, m any) {
	switch m := m.(type) {
	case *finished:
		h.quiet(m.id)
	case *Finish:
		h.finishing.waiting = append(h.finishing.waiting, m.Done)
		if !h.closed.Swap(true) {
			for _, e := range h.entries {
				if h.children.Pass(ctx, e.id, &finish{}) == nil { // one that is started anew begins so
					h.finishing.services = append(h.finishing.services, e.id)
				}
			}
		}
		h.tellFinished()
	}
}

// quiet: nobody is on his way to a service any more, or its actor ended, and who was is lost.
func (h *hosting) quiet(id string) {
	h.finishing.services = slices.DeleteFunc(h.finishing.services, func(waiting string) bool { return waiting == id })
	h.tellFinished()
}

func (h *hosting) tellFinished() {
	if h.closed.Load() && len(h.finishing.services) == 0 {
		callAll(&h.finishing.waiting)
	}
}

// callAll tells all who wait, each once.
func callAll(waiting *[]func()) {
	all := *waiting
	*waiting = nil
	for _, done := range all {
		done()
	}
}

// letGo: the actor has stopped. Nobody waits for what it was to see to.
func (h *hosting) letGo() {
	callAll(&h.finishing.waiting)
	callAll(&h.parting.waiting)
}

// finish ends the introduction points, of which the machine does not hear: they are what it
// had, for the next start. What they sent before may still come.
func (a *serviceActor) finish(ctx actor.Context) {
	a.closed = true
	for _, token := range a.points {
		ctx.Send(a.h.o.Circuits, &circuits.Shut{Owner: ctx.Self(), Token: token})
	}
}

// tendFinish tells, once, that nobody is on his way any more.
func (a *serviceActor) tendFinish(ctx actor.Context, now time.Time) {
	if !a.closed || a.quiet {
		return
	}
	st := a.machine.Status()
	if a.quiet = st.Waiting+st.Meetings == 0 && a.waiting.Load() == 0 && !now.Before(a.begins()); a.quiet {
		ctx.Send(ctx.Parent(), &finished{a.e.id})
	}
}

// begins is when the last client who was met has begun a stream, if ever he does.
func (a *serviceActor) begins() time.Time {
	if a.metAt.IsZero() {
		return a.metAt
	}
	return a.metAt.Add(beginTime)
}
