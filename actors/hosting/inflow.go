package hosting

import (
	"time"

	"chive/tor/onion/host"
)

// inflowTime is over how long it is looked at, at least, how many introductions come.
const inflowTime = 10 * time.Second

// inflow is how many came of late by each introduction point, in two generations.
type inflow struct {
	now, before map[host.PointID]uint64
	turned      time.Time
}

func (f *inflow) note(p host.PointID, now time.Time) {
	f.turn(now)
	f.now[p]++
}

// turn begins a generation when it is time.
func (f *inflow) turn(now time.Time) {
	past := now.Sub(f.turned)
	if f.now != nil && past < inflowTime {
		return
	}
	f.before, f.now, f.turned = f.now, map[host.PointID]uint64{}, now
	if past >= 2*inflowTime {
		f.before = nil
	}
}

// rate is how many come a second.
func (f *inflow) rate(p host.PointID, now time.Time) float64 {
	f.turn(now)
	return float64(f.before[p]+f.now[p]) / (inflowTime + now.Sub(f.turned)).Seconds()
}

// most is the rate of the point by which most come.
func (f *inflow) most(now time.Time) (most float64) {
	f.turn(now)
	for _, of := range []map[host.PointID]uint64{f.now, f.before} {
		for p := range of {
			most = max(most, f.rate(p, now))
		}
	}
	return most
}

// limited: does an introduction point pass on about as much as it was asked to at most, so that
// it may say no to others? C tor's says then that it knows no such service. Who floods a service
// does so by all of its points, and one whose burst is used up passes on little or nothing.
func (a *serviceActor) limited(now time.Time) bool {
	s := &a.service
	return s.IntroDoS && s.IntroDoSRate > 0 && s.IntroDoSBurst > 0 && a.health.came.most(now) >= float64(s.IntroDoSRate)/2
}
