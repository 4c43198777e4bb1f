package hosting

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/config"
)

// publishing has a node publish the service for an hour.
func (s *stage) publishing(pid *actor.PID, service config.OnionService) {
	s.pass(time.Minute)
	s.system.Root.Send(pid, &Role{Service: service.Dir, Publish: true, Epoch: 3, Until: time.Now().Add(time.Hour)})
	s.pass(time.Minute)
	if st := s.statusOf(pid); st.State != "published" {
		s.t.Fatalf("%+v", st)
	}
}

// A node that leaves publishes no more, tells it, keeps its introduction points, and is let
// go when the others do without.
func TestLeave(t *testing.T) {
	services := folders(t, 1)
	onStage(t, func(s *stage) {
		pid := s.node(1, services[0])
		s.publishing(pid, services[0])
		s.mu.Lock()
		s.slow = true // an upload is under way
		s.mu.Unlock()
		s.system.Root.Send(pid, hostingNetwork(60)) // there are other directories now
		s.pass(10 * time.Second)
		left := make(chan struct{})
		s.system.Root.Send(pid, &Leave{Done: func() { close(left) }})
		s.pass(0)
		s.mu.Lock()
		cut := s.cut
		s.mu.Unlock()
		if s.told(services[0].Dir) != nil || cut == 0 {
			t.Errorf("told: %+v; %d uploads were broken off", s.told(services[0].Dir), cut)
		}
		select {
		case <-left:
			t.Fatal("it is let go before the others know")
		default:
		}
		before := s.uploads(1)
		s.pass(10 * time.Minute)
		st := s.statusOf(pid)
		if s.uploads(1) != before || st.Shared == nil || !st.Shared.Away || st.Shared.Publishes || len(st.Points) == 0 {
			t.Errorf("%d uploads, %+v, %+v", s.uploads(1)-before, st, st.Shared)
		}
		s.system.Root.Send(pid, &Parted{Service: services[0].Dir})
		s.pass(0)
		select {
		case <-left:
		default:
			t.Error("it is not let go")
		}
		s.system.Root.Send(pid, &Rejoin{})
		s.pass(0)
		if m := s.told(services[0].Dir); m == nil || len(m.Points) != 2 {
			t.Errorf("it does not take part again: %+v", m)
		}
	})
}

// Who hosts nothing that is shared is let go at once.
func TestLeaveAlone(t *testing.T) {
	services := folders(t, 1)
	services[0].Shared = false
	onStage(t, func(s *stage) {
		pid := s.node(1, services[0])
		s.pass(time.Minute)
		left := make(chan struct{})
		s.system.Root.Send(pid, &Leave{Done: func() { close(left) }})
		s.pass(0)
		select {
		case <-left:
		default:
			t.Error("it waits")
		}
		if before := s.uploads(1); before == 0 {
			t.Error("it publishes nothing")
		}
	})
}

// A service that is taken out goes on until the others do without, or for its time; put in
// again meanwhile, it never ended.
func TestTakenOut(t *testing.T) {
	for name, ends := range map[string]func(s *stage, pid *actor.PID, dir string){
		"the others do without": func(s *stage, pid *actor.PID, dir string) { s.system.Root.Send(pid, &Parted{Service: dir}) },
		"nobody answers":        func(s *stage, _ *actor.PID, _ string) { s.pass(goingTime) },
	} {
		t.Run(name, func(t *testing.T) {
			services := folders(t, 1)
			onStage(t, func(s *stage) {
				pid := s.node(1, services[0])
				s.publishing(pid, services[0])
				s.mu.Lock()
				owner := s.owner
				s.mu.Unlock()
				s.system.Root.Send(pid, &Configure{})
				s.pass(time.Second)
				if s.told(services[0].Dir) != nil {
					t.Error("the others are not told")
				}
				s.system.Root.Send(pid, &Configure{Services: services})
				s.pass(time.Second)
				if m := s.told(services[0].Dir); m == nil || len(m.Points) != 2 || s.statusOf(pid).Shared.Away {
					t.Fatalf("it does not take part again: %+v", m)
				}
				s.pass(2 * goingTime)
				s.publishing(pid, services[0])
				s.mu.Lock()
				if !s.owner.Equal(owner) {
					t.Error("it was started anew")
				}
				s.mu.Unlock()
				s.system.Root.Send(pid, &Configure{})
				s.pass(time.Second)
				heard := s.count()
				ends(s, pid, services[0].Dir)
				s.system.Root.Send(pid, &Configure{Services: services})
				s.pass(time.Minute)
				s.mu.Lock()
				defer s.mu.Unlock()
				if m := s.heard[heard:]; len(m) == 0 || m[0].(*Shared).ID == s.heard[0].(*Shared).ID {
					t.Errorf("it did not end: %+v", m)
				}
			})
		})
	}
}

// count is how much the coordinator was told.
func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.heard)
}

// A turn to publish that was on its way when the node left begins nothing, at a service that
// runs and at one that is started anew; with the next turn it publishes again.
func TestTurnComesLate(t *testing.T) {
	services := folders(t, 1)
	onStage(t, func(s *stage) {
		pid := s.node(1, services[0])
		s.publishing(pid, services[0])
		before := s.uploads(1)
		turn := func(epoch uint64) {
			s.system.Root.Send(pid, &Role{Service: services[0].Dir, Publish: true, Epoch: epoch, Until: time.Now().Add(time.Hour)})
		}
		s.system.Root.Send(pid, &Leave{})
		turn(4)
		s.system.Root.Send(pid, hostingNetwork(60)) // there are other directories now
		s.pass(time.Minute)
		if st := s.statusOf(pid); s.uploads(1) != before || st.Shared.Publishes {
			t.Errorf("%d uploads, %+v", s.uploads(1)-before, st.Shared)
		}
		s.mu.Lock()
		s.panics = true
		s.mu.Unlock()
		s.pass(10 * time.Minute)
		if st := s.statusOf(pid); s.uploads(1) != before || st.Shared.Publishes || len(st.Points) == 0 {
			t.Errorf("started anew: %d uploads, %+v", s.uploads(1)-before, st)
		}
		s.system.Root.Send(pid, &Rejoin{})
		turn(5)
		s.pass(time.Minute)
		if st := s.statusOf(pid); s.uploads(1) == before || !st.Shared.Publishes {
			t.Errorf("it does not publish again: %+v", st.Shared)
		}
	})
}
