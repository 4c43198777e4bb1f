package host

import (
	"time"

	"chive/tor/netdoc"
	"chive/tor/onion"
)

// Status is what a service is doing.
type Status struct {
	Points   []PointStatus
	Periods  []PeriodStatus
	Waiting  int    // introductions
	Meetings int    // begun
	Effort   uint32 // suggested to clients
	// Keys that are delegated do until KeysUntil, or zero: do not for this network.
	Delegated bool
	KeysUntil time.Time
	Begins    time.Time // when it begins, in its turn; zero: it does not wait
}

// PointStatus is one introduction point.
type PointStatus struct {
	ID            PointID
	Relay         netdoc.Digest
	Up            bool
	Retired       bool // listed no more, and kept for clients who know it
	Introductions int
	Expires       time.Time
}

// PeriodStatus is what is published for one period.
type PeriodStatus struct {
	Period      onion.Period
	Built       time.Time // the newest descriptor; zero: there is none
	Next        time.Time
	Points      int   // that it lists
	Directories int   // responsible
	Stored      int   // of those, that have it
	Problem     error // why there is none
	// Begins is when the first descriptor of a period is made that begins later for this
	// service; zero: it is not waited for.
	Begins time.Time
}

// Status looks at the service.
func (s *Service) Status() Status {
	out := Status{Waiting: s.queue.Len(), Meetings: len(s.meetings), Effort: s.queue.Suggested(), Begins: s.stagger.begins}
	if s.view != nil {
		out.KeysUntil, out.Delegated = s.keys.Until(s.view.Schedule)
	}
	for _, p := range s.points {
		out.Points = append(out.Points, PointStatus{
			ID: p.id, Relay: p.relay.Identity, Up: p.phase == established, Retired: p.retired,
			Introductions: len(p.seen), Expires: p.expires,
		})
	}
	for _, sl := range s.slots {
		ps := PeriodStatus{Period: sl.Period, Built: sl.built, Next: sl.next, Points: len(sl.listed), Directories: len(sl.directories), Problem: sl.told}
		if sl.text == nil {
			ps.Begins = sl.begins
		}
		for _, d := range sl.directories {
			if d.revision == sl.revision && sl.revision > 0 {
				ps.Stored++
			}
		}
		out.Periods = append(out.Periods, ps)
	}
	return out
}

// Restricted says whether only some may find the service.
func (s *Service) Restricted() bool { return s.config.Restricted }
