package node

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/hosting"
)

// leaveTime bounds how long a node that stops waits for the others that host its services.
const leaveTime = 9 * time.Second

// LeaveShared has other nodes do without this one in the onion services that they host
// together: another publishes, without the introduction points of this one, which go on.
// The channel is closed when that is so, as far as can be known; at once if there are no such
// services.
func (n *Node) LeaveShared() <-chan struct{} {
	done := make(chan struct{})
	if n.member == nil {
		close(done)
		return done
	}
	n.apart.Store(true)
	n.system.Root.Send(n.root, &hosting.Leave{Done: func() { close(done) }})
	return done
}

// Hurry has Stop not wait for other nodes.
func (n *Node) Hurry() { n.hurried.Store(true) }

func (n *Node) rejoinShared() {
	n.apart.Store(false)
	n.system.Root.Send(n.root, &hosting.Rejoin{})
}

// leaveInOrder is LeaveShared with a wait.
func (n *Node) leaveInOrder(ctx context.Context) {
	if n.hurried.Load() {
		return
	}
	_ = n.await(ctx, n.LeaveShared(), leaveTime) // the end goes on in any case
}

// apart passes on what is of leaving shared services, and of meeting nobody any more. Who
// waits is not left waiting.
func (r *rootActor) apart(ctx actor.Context, m any) {
	if !r.pass(ctx, "hosting", m) {
		letGo(m)
	}
}

// letGo tells who waits for what a part was to do that is not there: one that is started anew
// begins so.
func letGo(m any) {
	switch m := m.(type) {
	case *hosting.Leave:
		if m.Done != nil {
			m.Done()
		}
	case *hosting.Finish:
		m.Done()
	}
}
