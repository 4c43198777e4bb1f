package node

import (
	"context"

	"chive/actors/block"
	"chive/actors/configuration"
	"chive/actors/limits"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// limitParts are the limits on what the node uses. That of memory is the
// process's.
type limitParts struct{ n *Node }

func (*limitParts) Name() string { return "limits" }

func (p *limitParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	return configuration.Step{
		Commit: func() error { setLimits(&p.n.limits, c.New); return nil },
		Undo:   func() { setLimits(&p.n.limits, c.Old) },
	}, nil
}

func setLimits(l *limits.Limits, c *config.Config) {
	l.Set(limits.Settings{
		BandwidthRate: c.BandwidthRate, BandwidthBurst: c.BandwidthBurst,
		CircuitRate: c.CircuitRate, CircuitBurst: c.CircuitBurst,
		RequestRate: c.SocksRequestRate, RequestBurst: c.SocksRequestBurst,
		FetchRate: c.DirectoryFetchRate, FetchBurst: c.DirectoryFetchBurst,
	})
	block.LimitMemory(c.MaxMemInQueues)
}

// memoryChanged tells of the memory account.
func (n *Node) memoryChanged(m block.MemoryChange) {
	if m.Over {
		n.o.Log.Warn("queues passed MaxMemInQueues: the streams whose data waited longest are ended", "bytes", m.Bytes, "streams", m.Shed)
	} else {
		n.o.Log.Info("queues are below MaxMemInQueues again", "bytes", m.Bytes)
	}
	n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, n.recorder.Node(), &chivev1.MemoryPressure{
		Over: m.Over, Bytes: messages.Bytes(uint64(m.Bytes)), Shed: uint32(m.Shed),
	}))
}
