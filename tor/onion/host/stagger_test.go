package host

import (
	"testing"
	"time"

	"chive/tor/onion"
)

// late is a simulation of a service whose turn comes so long after it has a view.
func late(t *testing.T, seed uint64, first time.Duration, config Config) *sim {
	m := newSim(t, seed, 30, config)
	m.run(5 * time.Minute)
	m.s.Take()
	m.events, m.described = nil, 0
	m.points, m.byAuth, m.uploads = map[PointID]*simPoint{}, map[[32]byte]PointID{}, map[UploadID]bool{}
	m.start(nil)
	m.s.BeginAfter(first)
	m.run(time.Minute) // without a view nothing begins, and nothing is over
	m.s.SetView(m.view(), m.now)
	m.obey()
	return m
}

func TestBeginsInItsTurn(t *testing.T) {
	const first = 40 * time.Second
	m := late(t, 41, first, Config{Points: 3})
	m.run(first - time.Second)
	if len(m.launches)+m.described != 0 || !m.s.Status().Begins.Equal(m.now.Add(time.Second)) {
		t.Fatalf("%d circuits, %d descriptors, it begins at %v", len(m.launches), m.described, m.s.Status().Begins)
	}
	m.s.SetView(m.view(), m.now) // does not have it wait anew
	m.run(2 * time.Second)
	if len(m.launches) != 5 || !m.s.Status().Begins.IsZero() {
		t.Fatalf("%d circuits, it begins at %v", len(m.launches), m.s.Status().Begins)
	}
	m.run(2 * time.Minute)
	m.covered()
}

// A service that comes back with its introduction points waits as well, and then has these.
func TestBeginsAgainInItsTurn(t *testing.T) {
	m := newSim(t, 42, 30, Config{Points: 3})
	m.run(5 * time.Minute)
	state, err := m.s.State()
	if err != nil {
		t.Fatal(err)
	}
	m.s.Stop()
	m.obey()
	before := len(m.byAuth)
	m.start(state)
	m.s.BeginAfter(time.Minute)
	m.s.SetView(m.view(), m.now)
	m.obey()
	described := m.described
	m.run(time.Minute - time.Second)
	if len(m.launches) != 0 || m.described != described {
		t.Fatalf("%d circuits, %d descriptors", len(m.launches), m.described-described)
	}
	m.run(2 * time.Minute)
	if len(m.byAuth) != before {
		t.Errorf("%d introduction points, %d before", len(m.byAuth), before)
	}
	m.covered()
}

// Nothing that somebody asked for waits for a turn.
func TestTurnIsNotWaitedFor(t *testing.T) {
	config := Config{Points: 3, Restricted: true, Clients: [][32]byte{clientPublic(0)}}
	for name, do := range map[string]func(*testing.T, *sim){
		"repair": func(_ *testing.T, m *sim) { m.s.Begin(m.now) },
		"access": func(t *testing.T, m *sim) {
			m.config.Clients = [][32]byte{clientPublic(0), clientPublic(2)}
			if err := m.s.Configure(m.config, m.now); err != nil {
				t.Fatal(err)
			}
		},
	} {
		m := late(t, 43, time.Hour, config)
		m.run(time.Second)
		if do(t, m); len(m.s.points) != 5 || !m.s.Status().Begins.IsZero() {
			t.Errorf("%s: %d introduction points, it begins at %v", name, len(m.s.points), m.s.Status().Begins)
		}
	}
	m := late(t, 44, time.Hour, Config{Points: 3, Shared: true})
	m.run(time.Second)
	m.s.Share(false, 0, time.Time{}, nil, m.now)
	if len(m.s.points) != 0 {
		t.Error("a node on standby does not wait for its turn")
	}
	if m.s.Share(true, 0, m.now.Add(5*time.Second), nil, m.now); len(m.s.points) != 5 {
		t.Error("a node that is to publish waits for its turn")
	}
}

// sentFor is when the first descriptor of a period was sent.
func (m *sim) sentFor(p onion.Period) bool {
	return m.revisions[p] > 0
}

// The turn of a period is taken later, within bounds, and nothing else is: what clients look
// for now is published at once, and so is what is asked for.
func TestPeriodTurnsInItsTurn(t *testing.T) {
	const from, to = 70 * time.Second, 80 * time.Second
	turned := func(seed uint64) (*sim, onion.Period) {
		m := newSim(t, seed, 30, Config{Points: 3})
		m.s.TurnAfter(from, to)
		m.run(time.Minute)
		if first, second := m.view().Store(); !m.sentFor(first.Period) || !m.sentFor(second.Period) {
			t.Fatal("the first periods wait")
		}
		for {
			_, was := m.view().Store()
			m.run(m.now.Add(time.Hour).Truncate(time.Hour).Sub(m.now) + time.Second)
			if _, is := m.view().Store(); is.Period != was.Period {
				if m.s.view.Fetch().Period == is.Period {
					t.Fatal("clients look for it already")
				}
				return m, is.Period
			}
		}
	}
	m, p := turned(45)
	m.run(from - 2*time.Second)
	if m.sentFor(p) {
		t.Error("before its turn")
	}
	m.run(to - from + 2*time.Second)
	if !m.sentFor(p) {
		t.Error("not in its turn")
	}
	m.run(2 * time.Hour)
	m.covered()

	m, p = turned(46)
	m.s.Republish(m.now)
	m.obey()
	if m.run(30 * time.Second); !m.sentFor(p) { // eight uploads at a time
		t.Error("a repair waits")
	}
	m, p = turned(47)
	m.config.Restricted, m.config.Clients = true, [][32]byte{clientPublic(0)}
	if err := m.s.Configure(m.config, m.now); err != nil {
		t.Fatal(err)
	}
	m.obey()
	if m.run(50 * time.Second); !m.sentFor(p) { // it has other introduction points first
		t.Error("a change of who may find it waits")
	}
}
