package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Standing is how the servers are that hold the bucket of members: whether what is read there
// is new, and what they would bear.
type Standing struct {
	Time    time.Time `json:"time"`          // by the servers' clock; this machine's if they do not tell (nats-server 2.9)
	Servers int       `json:"servers"`       // that hold the bucket
	There   int       `json:"servers_there"` // of these
	// Stores: they follow one of them, so what is said is stored. Without it what is read is old.
	Stores bool `json:"stores"`
}

// Needed is how many of the servers a majority is.
func (s Standing) Needed() int { return s.Servers/2 + 1 }

// Old is how long a member may have said nothing that says something every BeatEvery.
const Old = 2*BeatEvery + BeatEvery/2

// Standing asks for it.
func (c *Client) Standing(ctx context.Context) (Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	s, err := c.js.Stream(ctx, "KV_"+NodeBucket(c.fleet))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Standing{}, ErrNoFleet
	}
	if err != nil {
		return Standing{}, unread(NodeBucket(c.fleet), err)
	}
	return standing(s.CachedInfo(), time.Now()), nil
}

// headless: do the servers say that they cannot store? It is asked after a question that none of
// them answered.
func (c *Client) headless(ctx context.Context) bool {
	s, err := c.Standing(ctx)
	return err == nil && !s.Stores || errors.Is(err, ErrNoMajority)
}

// standing reads what a server says of a stream. Of those that follow the leader the servers say
// who is away; without one they list all. Before 2.10 they do not say what time it is: then it is
// now, or when something was stored last if the clock here is behind that.
func standing(info *jetstream.StreamInfo, now time.Time) Standing {
	out := Standing{Time: info.TimeStamp, Servers: 1, There: 1, Stores: true}
	if out.Time.IsZero() {
		out.Time = now.UTC()
		if last := info.State.LastTime; last.After(out.Time) {
			out.Time = last
		}
	}
	g := info.Cluster
	if g == nil {
		return out
	}
	if g.Leader == "" {
		out.Servers, out.There = 0, 0
	}
	for _, r := range g.Replicas {
		out.Servers++
		if !r.Offline {
			out.There++
		}
	}
	out.Stores = g.Leader != "" && out.There >= out.Needed()
	return out
}
