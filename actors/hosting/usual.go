package hosting

import (
	"slices"
	"time"

	"chive/actors/onions"
	"chive/tor/onion/client"
)

const (
	// leastFetch is the least that a directory is waited for, and visitFetch the most.
	leastFetch = 10 * time.Second
	// A directory that takes so many times as long as the slowest of so many did is taken to be
	// away.
	overUsual = 4
	usualOf   = 8
)

// usual is how long directories took that answered of late, of all services: the circuit and
// the descriptor.
type usual struct {
	took   []time.Duration
	missed int // directories in a row that did not answer in time
}

// miss notes one that did not answer. So many in a row are not all away: the network is slower
// than it was, and what was usual is not any more.
func (u *usual) miss() {
	if u.missed++; u.missed >= usualOf {
		u.took = nil
	}
}

func (u *usual) add(took time.Duration) {
	u.missed = 0
	if u.took = append(u.took, took); len(u.took) > usualOf {
		u.took = u.took[1:]
	}
}

// limit is how long the next is waited for.
func (u *usual) limit() time.Duration {
	if len(u.took) < usualOf {
		return visitFetch
	}
	return min(max(overUsual*slices.Max(u.took), leastFetch), visitFetch)
}

// gapAfter is how long after the beginning of a visit that is not urgent the next may begin, on
// average: one that only looks at a directory needs one circuit, where others need four.
func gapAfter(v *visit) time.Duration {
	if v.probe.Full {
		return visitGap
	}
	return visitGap / 4
}

func visitTimes(circuit, directory time.Duration) client.Times {
	t := onions.TimesOf(circuit)
	t.Fetch, t.Open = directory, visitOpen
	return t
}
