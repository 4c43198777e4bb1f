package host

import (
	"errors"
	"slices"
	"time"
)

// Circuits wait for each other before they are built. How long is nothing that a relay has a
// part in: its time begins when its circuit does.

// ErrQueued: a circuit was not begun for too long. That is no fault of the relay.
var ErrQueued = errors.New("no circuit was begun in time")

// queueTimeout is for what is lost: with hundreds of services the last waits for minutes.
const queueTimeout = 15 * time.Minute

// PointBuilding says that a point's circuit is being built from now on; with waits, that
// another will be in its stead, and waits for that.
func (s *Service) PointBuilding(id PointID, waits bool, now time.Time) {
	if p := s.point(id); p != nil && p.phase == launched {
		p.building, p.phaseSince = !waits, now
		s.settle(now)
	}
}

// UploadBuilding says the same of an upload's circuit.
func (s *Service) UploadBuilding(id UploadID, waits bool, now time.Time) {
	if u := s.uploads[id]; u != nil {
		u.building, u.began = !waits, now
		s.settle(now)
	}
}

// overdue says of a point whether its circuit should have been there, and with queued that it
// was not even begun.
func (s *Service) overdue(p *point, now time.Time) (overdue, queued bool) {
	switch {
	case p.phase == launched && !p.building:
		return s.due(p.phaseSince.Add(queueTimeout), now), true
	case p.phase == launched || p.phase == asked:
		return s.due(p.phaseSince.Add(launchTimeout), now), false
	}
	return false, false
}

// tendUploads ends those of which nothing was heard for too long.
func (s *Service) tendUploads(now time.Time) {
	for _, id := range sortedKeys(s.uploads) {
		u := s.uploads[id]
		limit, cause := queueTimeout, ErrQueued
		if u.building {
			limit, cause = uploadTimeout, ErrTimeout
		}
		if s.due(u.began.Add(limit), now) {
			s.do(CancelUpload{id})
			s.uploaded(id, cause, now)
		}
	}
}

// reachQueued looks at what clients of a slot wait for that is queued, and at the uploads that
// are begun. A directory that failed is waited for no more: it can hold nothing up.
func (s *Service) reachQueued(r *Reach, sl *slot) {
	for _, p := range s.points {
		if p.phase == launched && !p.building && !p.retired && (len(r.Points) == 0 || slices.Contains(r.Points, p.id)) {
			r.Queued = true
		}
	}
	for _, u := range s.uploads {
		switch {
		case u.slot != sl || u.to.failures > 0:
		case !u.building:
			r.Queued = true
		case u.began.After(r.Began):
			r.Began = u.began
		}
	}
}
