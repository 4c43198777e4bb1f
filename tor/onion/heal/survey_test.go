package heal

import (
	"math/rand/v2"
	"testing"
	"time"
)

// No directory has the descriptor; then the network goes while a visit is under way that meets the
// service all the same. That ends the trouble, and what was asked of directories for it: the next
// one that lacks the descriptor is a new matter.
func TestMetAsTheNetworkGoes(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := New(period, rand.New(rand.NewPCG(1, 2)), now)
	f := Facts{Live: true, Published: true, Points: []uint64{1}, Directories: [][32]byte{dir(1), dir(2)}}
	s.Look(f, now)
	flies := func() *Probe {
		for {
			for _, c := range s.Take() {
				if p, ok := c.(Probe); ok {
					now = now.Add(time.Second)
					return &p
				}
			}
			now = s.Next()
			s.Tick(now)
		}
	}
	lacks := func(p *Probe) {
		s.Probed(Result{ID: p.ID, Full: p.Full, Reached: true, Stage: Directory, Answer: true, Tried: Target{Directory: p.Target.Directory}}, now)
	}
	waits := func() bool { return s.survey != nil && s.survey.waiting && s.nowhere() }
	for range 60 {
		if p := flies(); waits() && p.Full {
			f.Away = Offline
			s.Look(f, now)
			s.Probed(Result{ID: p.ID, OK: true, Full: true, Reached: true, Stage: Meeting, Tried: Target{Point: 1, Directory: p.Target.Directory}}, now)
			if s.trouble != nil || s.survey != nil {
				t.Fatalf("trouble %+v, survey %+v", s.trouble, s.survey)
			}
			f.Away = 0
			s.Look(f, now)
			for range 100 {
				lacks(flies())
			}
			if v := s.Status().Verdict; v != Broken {
				t.Errorf("%v though no directory has it", v)
			}
			return
		} else {
			lacks(p)
		}
	}
	t.Fatal("no visit was made while the next step was waited for")
}
