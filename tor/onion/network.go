package onion

import (
	"encoding/binary"
	"time"

	"chive/tor/netdoc"
)

// Network is what one consensus says about where descriptors lie. Times are the
// consensus's own, never the system's, so that a wrong clock moves nobody
// (rend-spec-v3 section 2.2.4).
type Network struct {
	Schedule
	ValidAfter time.Time

	// Current and Previous are the consensus's shared random values, nil when it
	// has none.
	Current, Previous *[32]byte

	Replicas    int // places a descriptor has on the ring, 1 to 16
	SpreadFetch int // directories after a place that a client asks, 1 to 128
	SpreadStore int // directories after a place that a service uploads to, 1 to 128
}

// NewNetwork reads a consensus. In a testing network (C tor's option
// TestingTorNetwork) a period is as long as one run of the shared random
// protocol, whatever the consensus says.
func NewNetwork(c *netdoc.Consensus, testing bool) Network {
	n := Network{
		Schedule:    Schedule{Voting: max(c.FreshUntil.Sub(c.ValidAfter).Truncate(time.Second), time.Second)},
		ValidAfter:  c.ValidAfter,
		Current:     valueOf(c.SharedRandCurrent),
		Previous:    valueOf(c.SharedRandPrevious),
		Replicas:    int(c.Params.Get("hsdir_n_replicas", 2, 1, 16)),
		SpreadFetch: int(c.Params.Get("hsdir_spread_fetch", 3, 1, 128)),
		SpreadStore: int(c.Params.Get("hsdir_spread_store", 4, 1, 128)),
	}
	n.Minutes = uint64(c.Params.Get("hsdir_interval", defaultPeriodMinutes, minPeriodMinutes, maxPeriodMinutes))
	if testing {
		n.Minutes = max(uint64(n.run()/time.Minute), 1)
	}
	return n
}

func valueOf(s *netdoc.SharedRand) *[32]byte {
	if s == nil {
		return nil
	}
	v := s.Value
	return &v
}

// Slot is where descriptors of one period lie: it fixes a ring.
type Slot struct {
	Period Period
	Random [32]byte
	// Disaster tells that the consensus had no shared random value and Random is
	// the fallback, which anybody can predict.
	Disaster bool
	// RunStart is when the shared random value came into force: revision
	// counters count from it.
	RunStart time.Time
}

// NewPeriod tells whether a period has begun since the last shared random value
// came: the segment between a new period and a new value, "-" in the drawings
// of rend-spec-v3 section 2.2.4.
func (n Network) NewPeriod() bool {
	run := n.RunStart(n.ValidAfter)
	return !n.ValidAfter.Before(n.Start(n.Period(run).Next()))
}

// Fetch is where a client looks (section 2.2.4.1).
func (n Network) Fetch() Slot {
	p := n.Period(n.ValidAfter)
	if n.NewPeriod() {
		return n.current(p)
	}
	return n.previous(p)
}

// Store is where a service keeps its two descriptors (section 2.2.4.2). One of
// them is what [Network.Fetch] gives.
func (n Network) Store() (first, second Slot) {
	p := n.Period(n.ValidAfter)
	if n.NewPeriod() {
		return n.previous(p.Previous()), n.current(p)
	}
	return n.previous(p), n.current(p.Next())
}

func (n Network) current(p Period) Slot {
	return slot(p, n.Current, n.RunStart(n.ValidAfter))
}

func (n Network) previous(p Period) Slot {
	return slot(p, n.Previous, n.RunStart(n.ValidAfter).Add(-n.run()))
}

func slot(p Period, random *[32]byte, start time.Time) Slot {
	if random == nil {
		return Slot{Period: p, Random: disasterValue(p), Disaster: true, RunStart: start}
	}
	return Slot{Period: p, Random: *random, RunStart: start}
}

// disasterValue stands in for a shared random value that the authorities did not
// agree on (rend-spec-v3 section 2.3.1, C tor's get_disaster_srv).
func disasterValue(p Period) [32]byte {
	b := binary.BigEndian.AppendUint64([]byte("shared-random-disaster"), p.Minutes)
	return sum256(binary.BigEndian.AppendUint64(b, p.Number))
}
