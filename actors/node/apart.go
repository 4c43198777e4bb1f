package node

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/hosting"
)

// LeaveTime bounds how long a node that stops waits for the others that host its services.
const LeaveTime = 9 * time.Second

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
	late := time.NewTimer(LeaveTime)
	defer late.Stop()
	select {
	case <-n.LeaveShared():
	case <-late.C:
	case <-ctx.Done():
	}
}

// apart passes on what is of leaving shared services. Who waits is not left waiting.
func (r *rootActor) apart(ctx actor.Context, m any) {
	if l, ok := m.(*hosting.Leave); !r.pass(ctx, "hosting", m) && ok && l.Done != nil {
		l.Done() // one that is started anew begins apart
	}
}
