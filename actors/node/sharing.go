package node

import (
	crand "crypto/rand"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/hosting"
	"chive/actors/sharing"
	"chive/tor/onion/share"
)

// sharing starts the actor that agrees with other nodes on onion services, if the node is
// in a fleet.
func (r *rootActor) sharing(ctx actor.Context) {
	n, self := r.n, ctx.Self()
	if n.member == nil {
		return
	}
	r.add(ctx, "sharing", func() *actor.Props {
		return sharing.Props(sharing.Options{
			Fleet: n.o.Config.Fleet, Node: n.recorder.Node(), Port: n.member, Hosting: self, Recorder: n.recorder, Log: n.o.Log,
			Now: n.o.Now, Rand: crand.Reader, Timing: share.Standard,
		})
	})
}

// shared passes on what the node brings to a service, and remembers it for an actor that
// starts anew.
func (r *rootActor) shared(ctx actor.Context, m any) {
	switch m := m.(type) {
	case *hosting.Shared:
		r.shares[m.Service] = m
	case *hosting.Unshared:
		delete(r.shares, m.Service)
	}
	r.lookShared()
	r.pass(ctx, "sharing", m)
}
