package host

import (
	"testing"
	"time"
)

// Whatever is on disk, it is a state or an error, and the service works on.
func FuzzRestore(f *testing.F) {
	m := newSim(f, 1, 8, Config{Points: 2})
	m.run(2 * time.Minute)
	state, err := m.s.State()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Add([]byte(`{"version":1,"points":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newSim(t, 2, 8, Config{Points: 2})
		m.queue.events = nil
		m.start(nil)
		if err := m.s.Restore(b, m.now); err != nil && len(m.s.points) > 0 {
			t.Fatal("used in part")
		}
		m.s.SetView(m.view(), m.now)
		if again, err := m.s.State(); err != nil || len(again) > MaxState {
			t.Fatalf("%d bytes, %v", len(again), err)
		}
	})
}

// Whatever an introduction point sends, the service answers no more than it was
// asked, and says when to look again.
func FuzzIntroduce2(f *testing.F) {
	m := newSim(f, 3, 8, Config{Points: 1})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	good, _ := m.introduction(auth, sl, nil)
	f.Add(good)
	f.Add(good[:90])
	f.Fuzz(func(t *testing.T, b []byte) {
		if m.s.point(m.byAuth[auth]) == nil {
			t.Skip("it misbehaved, and its circuit is closed")
		}
		m.s.Introduce2(m.byAuth[auth], b, m.now)
		if n := len(m.asks()); n > 1 {
			t.Fatalf("%d meetings for one introduction", n)
		}
		for id := range m.meetings {
			delete(m.meetings, id)
			m.s.Met(id, m.now)
		}
	})
}
