package host

import (
	"errors"
	"testing"
	"time"
)

// inTurn begins a circuit, when circuits are begun.
func (m *sim) inTurn(begin func()) {
	if m.queued != nil {
		*m.queued = append(*m.queued, begin)
		return
	}
	begin()
}

// waits is how many circuits are not begun, and begins has them be.
func (m *sim) waits() int { return len(*m.queued) }

func (m *sim) begins() {
	all := *m.queued
	m.queued = nil
	for _, begin := range all {
		begin()
	}
	m.obey()
}

// failures are the introduction points and uploads that were told as failed.
func (m *sim) failures() (points, uploads int) {
	for _, e := range m.events {
		switch e := e.(type) {
		case PointDown:
			points++
		case Stored:
			if e.Cause != nil {
				uploads++
			}
		}
	}
	return points, uploads
}

// However long circuits wait for others, no relay and no directory is blamed for it: they are
// neither given up nor tried less often, and nothing is asked for twice.
func TestQueueIsNobodysFault(t *testing.T) {
	m := newSim(t, 31, 30, Config{Points: 3})
	m.queued = new([]func())
	m.restart(true)
	m.run(10 * time.Minute)
	if points, _ := m.failures(); points != 0 || len(m.s.failing) != 0 || m.waits() != 5 {
		t.Fatalf("%d introduction points failed, %d relays are left alone, %d circuits wait", points, len(m.s.failing), m.waits())
	}
	if !m.s.Reach().Queued {
		t.Error("clients wait for circuits that are not begun, and it is not said")
	}
	m.begins()
	m.queued = new([]func())
	m.run(10 * time.Minute)
	if r := m.s.Reach(); !r.Queued || !r.Began.IsZero() {
		t.Errorf("uploads wait to be begun: %+v", r)
	}
	if points, uploads := m.failures(); points+uploads != 0 || m.waits() != maxUploads {
		t.Fatalf("%d introduction points and %d uploads failed, %d circuits wait", points, uploads, m.waits())
	}
	m.begins()
	m.run(time.Minute)
	if points, uploads := m.failures(); points+uploads != 0 {
		t.Errorf("%d introduction points and %d uploads failed", points, uploads)
	}
	if r := m.s.Reach(); r.Queued || r.Flying {
		t.Errorf("nothing is queued: %+v", r)
	}
	m.covered()
}

// What is lost before it was begun is asked for again, and that blames nobody either; nor does
// the time of a circuit that has to be built anew begin with the first.
func TestQueueThatIsLost(t *testing.T) {
	m := newSim(t, 32, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	id := m.byAuth[m.anyPoint()]
	m.queued = new([]func())
	m.points[id].up, m.points[id].closed = false, true
	m.s.PointFailed(id, errSim, true, m.now)
	m.obey()
	failed := m.s.point(id).failures
	m.run(4 * queueTimeout)
	if p := m.s.point(id); p == nil || p.failures != failed || m.waits() < 3 {
		t.Fatalf("%+v, asked for %d times", p, m.waits())
	}
	m.s.PointBuilding(id, false, m.now)
	m.run(launchTimeout - time.Second)
	m.s.PointBuilding(id, true, m.now)
	m.run(launchTimeout)
	m.s.PointBuilding(id, false, m.now)
	m.run(launchTimeout - time.Second)
	if p := m.s.point(id); p == nil || p.phase != launched || p.failures != failed {
		t.Fatalf("%+v", p)
	}
	before := len(m.events)
	m.run(2 * time.Second)
	if p := m.s.point(id); p == nil || p.failures != failed+1 {
		t.Errorf("%+v: its time is over", p)
	}
	for _, e := range m.events[before:] {
		if e, ok := e.(PointDown); ok && !errors.Is(e.Cause, ErrTimeout) {
			t.Errorf("%v", e)
		}
	}
}
