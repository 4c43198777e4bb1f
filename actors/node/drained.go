package node

import (
	"context"

	"chive/config"
	"chive/config/logging"
)

// A node that takes no new streams still shows how it is: its MetricsPort stays open, and
// follows the configuration.

// deafTo says whether a node that takes no streams is without a listener.
func deafTo(p config.SocksPort) bool { return p.Protocol != config.Metrics }

// heard are the listeners of a configuration that are to be open now.
func (n *Node) heard(c *config.Config) []keyedPort {
	all := keyed(c)
	if !n.deaf.Load() {
		return all
	}
	var out []keyedPort
	for _, l := range all {
		if !deafTo(l.port) {
			out = append(out, l)
		}
	}
	return out
}

// tellDrained tells the operator that the node was drained, or takes streams again.
func (n *Node) tellDrained(before bool) {
	now := n.deaf.Load()
	if now == before {
		return
	}
	msg := "asked to take no new streams; those that are open go on"
	if !now {
		msg = "asked to take streams again"
	}
	s := n.Status()
	n.o.Log.Log(context.Background(), logging.LevelNotice, msg, "streams", s.Streams+s.Waiting)
}
