package hosting

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/config"
)

// A node that ends, is drained, or does not host a shared service any more leaves the others
// in order: it publishes no more, another does in its place, without this node's introduction
// points, and until the directories have that the points are kept.

type (
	// Leave has the node take no part in services that it shares, until Rejoin. Their
	// introduction points go on. Done is called once when the other nodes do without, or when
	// the actor has stopped: one that is started anew takes no part; nil: nobody waits.
	Leave struct{ Done func() }
	// Rejoin has it take part again.
	Rejoin struct{}
	// Parted says that the other nodes of a service do without this one, as far as can be
	// known. It is the answer to Unshared.
	Parted struct{ Service string } // its folder

	// attend has a service's actor take part, or not.
	attend struct{ away bool }
	// overdue: a service that was taken out has had its time.
	overdue struct{ e *entry }
)

// goingTime is how long a service that was taken out goes on at most.
const goingTime = 10 * time.Second

// parting is what a hosting actor waits for.
type parting struct {
	folders []string // of services of which it is not known whether the others do without
	waiting []func()
	going   []*entry // were taken out
}

// Drop implements kernel.Droppable: there is nobody who would take part.
func (m *Leave) Drop() {
	if m.Done != nil {
		m.Done()
	}
}

func (h *hosting) leaving(ctx actor.Context, m any) {
	switch m := m.(type) {
	case *Leave:
		h.leave(ctx)
		if m.Done != nil {
			h.parting.waiting = append(h.parting.waiting, m.Done)
		}
	case *Rejoin:
		h.away.Store(false)
		h.parting.folders = nil
		for _, e := range h.entries {
			_ = h.children.Pass(ctx, e.id, &attend{}) // one that is started anew sees it
		}
	case *Parted:
		h.parting.folders = slices.DeleteFunc(h.parting.folders, func(folder string) bool { return folder == m.Service })
		for _, e := range slices.Clone(h.parting.going) {
			if e.service.Dir == m.Service {
				h.gone(ctx, e)
			}
		}
	case *overdue:
		h.gone(ctx, m.e)
	}
	if len(h.parting.folders) == 0 {
		callAll(&h.parting.waiting)
	}
}

// leave has all services leave that take part.
func (h *hosting) leave(ctx actor.Context) {
	if h.away.Swap(true) {
		return
	}
	for _, e := range h.entries {
		if h.takesPart(e) && h.children.Pass(ctx, e.id, &attend{away: true}) == nil {
			h.parting.folders = append(h.parting.folders, e.service.Dir)
		}
	}
}

func (h *hosting) takesPart(e *entry) bool { return h.o.Sharing != nil && e.service.Shared }

// end ends a service that is not of the configuration any more. One that is shared leaves first.
func (h *hosting) end(ctx actor.Context, e *entry) {
	if !h.takesPart(e) || h.away.Load() || h.children.Pass(ctx, e.id, &attend{away: true}) != nil {
		h.children.Forget(ctx, e.id)
		return
	}
	e.going.Store(true)
	e.endsBy = kernel.After(ctx.ActorSystem(), ctx.Self(), goingTime, &overdue{e})
	h.parting.going = append(h.parting.going, e)
}

// gone ends a service that has left, unless it is back.
func (h *hosting) gone(ctx actor.Context, e *entry) {
	if i := slices.Index(h.parting.going, e); i >= 0 {
		h.parting.going = slices.Delete(h.parting.going, i, i+1)
		e.endsBy.Stop()
		h.children.Forget(ctx, e.id)
	}
}

// back is a service that was taken out and has not ended; nil: there is none in that folder.
func (h *hosting) back(ctx actor.Context, want config.OnionService) *entry {
	i := slices.IndexFunc(h.parting.going, func(e *entry) bool { return e.service.Dir == want.Dir })
	if i < 0 {
		return nil
	}
	e := h.parting.going[i]
	h.parting.going = slices.Delete(h.parting.going, i, i+1)
	e.endsBy.Stop()
	e.service = want
	e.going.Store(false)
	if h.network != nil {
		_ = h.children.Pass(ctx, e.id, h.network) // the last may have passed it by
	}
	_ = h.children.Pass(ctx, e.id, &configured{want}) // one that is started anew begins with it
	_ = h.children.Pass(ctx, e.id, &attend{away: h.away.Load()})
	return e
}

// attend has the service take part, or not: then nothing more is published here, before
// the others are told that the node leaves.
func (a *serviceActor) attend(ctx actor.Context, m *attend, now time.Time) {
	if a.shares.away = m.away; !m.away || !a.service.Shared {
		if m.away {
			ctx.Send(ctx.Parent(), &Parted{Service: a.service.Dir})
		}
		return
	}
	stop := &Role{Service: a.service.Dir}
	if r := a.shares.role; r != nil {
		stop.Name, stop.Epoch, stop.Publisher, stop.Others = r.Name, r.Epoch, r.Publisher, r.Others
	}
	a.take(stop, now)
	if a.shares.sent == nil { // nobody knows of it
		ctx.Send(ctx.Parent(), &Parted{Service: a.service.Dir})
	}
}
