package bridge

import (
	"context"
	"log/slog"
	"time"

	"chive/bridge/fleet"
)

const (
	// lookEvery is how often the cluster is looked at.
	lookEvery = 5 * time.Second
	// headlessFor is how long a cluster may be without a leader before that is told: servers
	// start, and choose one within some seconds.
	headlessFor = 15 * time.Second
	// evenFor is how long it may have an even number of servers: another may be on its way.
	evenFor = time.Minute
)

// quorum follows whether the cluster that the embedded server is one of can store, and what it
// would bear.
type quorum struct {
	log      *slog.Logger
	size     int       // of the last look
	since    time.Time // it has been that
	headless time.Time // since when nobody leads; zero: somebody does
	lost     bool      // that was told
	told     int       // the even number that was told of last
}

// look takes of how many servers the cluster is, and whether they follow one of them, which takes
// a majority.
func (q *quorum) look(size int, led bool, now time.Time) {
	if size != q.size {
		q.size, q.since = size, now
	}
	if !led {
		if q.headless.IsZero() {
			q.headless = now
		}
		if !q.lost && now.Sub(q.headless) >= headlessFor {
			q.lost = true
			q.log.Warn("the cluster of NATS servers has no majority: until it has, the fleet stores nothing, and nobody publishes onion services that nodes share",
				"servers", size, "needed", size/2+1)
		}
		return
	}
	if q.lost {
		fleet.Notice(q.log, "the cluster of NATS servers has a majority again", "servers", size)
	}
	q.headless, q.lost = time.Time{}, false
	if size%2 == 0 && size > 0 && q.told != size && now.Sub(q.since) >= evenFor {
		q.told = size
		q.log.Warn("an even number of NATS servers bears the loss of no more than one server less: have three, or, for two nodes, one nats-server beside them (docs/fleet.md)",
			"servers", size, "may_be_lost", size/2-1)
	}
}

// clusterNow is of how many servers that of the embedded one is, and whether they follow one.
func (b *Bridge) clusterNow() (size int, led bool) {
	j, err := b.server.Jsz(nil)
	if err != nil || j.Meta == nil {
		return 0, false
	}
	return j.Meta.Size, j.Meta.Leader != ""
}

// watchCluster looks at the cluster until ctx ends.
func (b *Bridge) watchCluster(ctx context.Context) {
	q := &quorum{log: b.o.Log}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			size, led := b.clusterNow()
			if ctx.Err() == nil { // else it has ended, with whom it followed
				q.look(size, led, now)
			}
		}
	}
}
