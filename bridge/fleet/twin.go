package fleet

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"chive/messages"
)

const (
	// twinTimes is how often in a row another node has to have written this node's entry: what a
	// node that ended had on its way comes once.
	twinTimes = 2
	// twinEvery is how often the log tells of it at most.
	twinEvery = 10 * time.Minute
)

// twin follows whether another node writes the entry of this one. Only what is written after the
// node's own first word counts: what was there before is of the node before it was started anew.
type twin struct {
	log   *slog.Logger
	mine  uint64 // revision that the node wrote last; 0: none, or it is not known
	times int    // in a row that it was another's
	told  time.Time
}

// looked takes the node's entry, when its own last word does not stand there, before the node writes
// it anew; nil: there is none.
func (t *twin) looked(e jetstream.KeyValueEntry, started, now time.Time) {
	var m messages.FleetMember
	if e == nil || e.Revision() <= t.mine || json.Unmarshal(e.Value(), &m) != nil || m.Started.Equal(started) {
		t.times = 0
		return
	}
	if t.times++; t.times < twinTimes || !t.told.IsZero() && now.Sub(t.told) < twinEvery {
		return
	}
	t.told = now
	t.log.Warn("another node that runs has this node's NodeName, so the fleet sees now the one, now the other: give one of them a NodeName and a key of its own (chive fleet credentials), and start it again",
		"node", m.Node, "other_started", m.Started)
}
