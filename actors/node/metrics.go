package node

import (
	"maps"

	"chive/actors/block"
	"chive/actors/hosting"
	"chive/actors/kernel"
	"chive/actors/metrics"
)

// counts is what a MetricsPort tells of the node.
func (n *Node) counts() metrics.Node {
	s := n.status.snapshot()
	out := metrics.Node{
		Version: n.o.Version, Started: s.Started, Bootstrap: s.Bootstrap, Reachable: s.Trouble == nil, Draining: n.deaf.Load(), ValidUntil: s.ValidUntil,
		Connections: s.Connections, Circuits: s.Circuits, Building: s.Building, Streams: s.Streams, Waiting: s.Waiting,
		CircuitEnds: s.CircuitEnds, StreamEnds: s.StreamEnds,
		Down: n.limits.Down().Used(), Up: n.limits.Up().Used(), Queued: block.Memory(), Pressed: block.Pressed(),
		Dropped: n.recorder.Dropped(), Revision: n.state.Revision(),
	}
	n.status.mu.Lock()
	defer n.status.mu.Unlock()
	out.BuildTimeout, out.Events = n.status.state.BuildTimeout.Timeout, n.status.state.Events
	out.ConnectionEnds = maps.Clone(n.status.state.ConnectionEnds)
	return out
}

// hosted asks for the onion services that the node hosts.
func (n *Node) hosted() ([]hosting.Status, error) {
	return askRoot(n, func(reply kernel.Reply[[]hosting.Status]) any {
		return &hosting.List{Tell: func(all []hosting.Status) { reply.Send(all) }}
	})
}
