package config

// checkServers looks at how many NATS servers keep what the fleet stores. A majority of those
// that hold a bucket has to be there for anything to be stored in it, so three bear the loss of
// one; two bear none, and four no more than three do.
func (b *builder) checkServers() {
	c := &b.cfg
	if !c.InFleet() {
		return // nothing is stored
	}
	const lost = "when one of them ends or is lost, nothing is stored: no configuration can be published, and nobody publishes onion services that nodes share"
	const remedy = "have three servers, and FleetReplicas 3; two nodes do better with NatsUrl to one nats-server beside them"
	switch n := c.FleetReplicas; {
	case len(c.NatsURLs) == 0 && c.NatsClusterListen == "":
		if n > 1 {
			b.fail(b.set["FleetReplicas"], ErrConflict, "%d servers are to hold each bucket, and the embedded one is alone: set NatsClusterListen in as many nodes, or NatsUrl, or leave FleetReplicas out", n)
		}
	case n == 2:
		b.warn(b.set["FleetReplicas"], "a majority of 2 servers is both: %s. Better: %s", lost, remedy)
	case n%2 == 0:
		b.warn(b.set["FleetReplicas"], "a majority of %d servers is %d: no more of them may be lost than of %d. Write FleetReplicas %d", n, n/2+1, n-1, n-1)
	case n == 1 && c.NatsClusterListen != "" && len(c.NatsRoutes) > 1:
		b.warn(b.either("FleetReplicas", "NatsClusterListen"), "with FleetReplicas 1 each bucket is on one server alone: when that one is lost, nothing is stored. Write FleetReplicas 3")
	case n == 1 && c.NatsClusterListen != "":
		b.warn(b.either("FleetReplicas", "NatsClusterListen"), "with FleetReplicas 1 each of the fleet's buckets is on one server of the cluster alone, and a cluster of two needs both: %s. Better: %s", lost, remedy)
	}
}
