package priority

import (
	"time"

	"chive/tor/netdoc"
)

// least is the shortest half-life.
const least = time.Millisecond

// HalfLife reads the parameter of a consensus; nil gives the default. (CircuitPriorityTickSecs
// says how often C tor scales its averages, which changes no choice: it is not used.)
func HalfLife(p netdoc.Params) time.Duration {
	return time.Duration(p.Get("CircuitPriorityHalflifeMsec", 30_000, 1, 1<<31-1)) * time.Millisecond
}
