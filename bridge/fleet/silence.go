package fleet

import (
	"log/slog"
	"time"
)

// unheardFor is how long nothing that a node says may be stored before its log tells: servers
// start, and choose whom they follow.
const unheardFor = 30 * time.Second

// silence follows whether what the node says is stored.
type silence struct {
	log   *slog.Logger
	since time.Time // nothing is; zero: it is
	told  bool
}

// tried takes what became of a try. Servers that are not reached are told of by who dials them.
func (s *silence) tried(err error, reached bool, now time.Time) {
	switch {
	case err == nil:
		if s.told {
			Notice(s.log, "the fleet's servers store what this node says again")
		}
		s.since, s.told = time.Time{}, false
	case !reached:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	case !s.told && now.Sub(s.since) >= unheardFor:
		s.told = true
		s.log.Warn("the fleet's servers store nothing that this node says, so the fleet does not know that it is there: are there as many servers as FleetReplicas, and a majority of them?",
			"err", err)
	}
}
