package node

import (
	"context"
	"time"

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
