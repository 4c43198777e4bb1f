package retry

import "time"

// windowParts is the resolution of the sliding window.
const windowParts = 10

// window counts results over a sliding span of time, in windowParts slots.
type window struct {
	part  time.Duration
	slots [windowParts]slot
}

type slot struct {
	start     int64 // number of the part since the epoch
	good, bad int
}

func newWindow(span time.Duration) window { return window{part: span / windowParts} }

func (w *window) number(now time.Time) int64 { return now.UnixNano() / int64(w.part) }

func (w *window) add(now time.Time, good, bad int) {
	n := w.number(now)
	s := &w.slots[uint64(n)%windowParts]
	if s.start != n {
		*s = slot{start: n}
	}
	s.good += good
	s.bad += bad
}

func (w *window) counts(now time.Time) (good, bad int) {
	n := w.number(now)
	for _, s := range w.slots {
		if age := n - s.start; age >= 0 && age < windowParts {
			good += s.good
			bad += s.bad
		}
	}
	return good, bad
}
