package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"chive/actors/hosting"
	"chive/messages/chivev1"
)

// TestHostingHandOver: the publisher of a shared service is told to end. Another publishes
// within about a second, without its introduction points, which work on until then, so that
// clients of C tor who come in all the time are met.
func TestHostingHandOver(t *testing.T) {
	t.Parallel()
	s := startSharers(t)
	visitors := []*client{ctor(t, s.Network, "first"), ctor(t, s.Network, "second")}
	s.complete(t, 0, 3)
	visitors[0].fetchOnion(t, "", s.address, 10_000)
	for range 2 {
		leaver, epoch := s.publisher()
		at := len(s.events())
		p := s.named(leaver)
		began := time.Now()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		over := make(chan time.Time, 1)
		go func() {
			<-p.over
			over <- time.Now()
		}()
		// Somebody who knows nothing comes while it leaves, as do new users of one who knows.
		visitors[1].fetchOnion(t, leaver, s.address, 10_000)
		visitors[0].fetchOnion(t, leaver, s.address, 10_000)
		visits := time.Since(began)
		h := s.handedOver(t, at, leaver, epoch, began)
		ended := (<-over).Sub(began)
		if p.err != nil {
			t.Errorf("%s: %v", leaver, p.err)
		}
		if ended < h.stored {
			t.Errorf("its introduction points end after %v, before a directory has a descriptor without them", ended)
		}
		t.Logf("lease taken after %v, the first directory has the new descriptor after %v, all after %v, ended after %v; the visits were done after %v",
			h.taken, h.stored, h.everywhere, ended, visits)
		at = len(s.events())
		p.start(t)
		s.complete(t, at, 3)
	}
	s.alone(t)
}

// handedOver waits until another node publishes, by a hand-over.
func (s *sharers) handedOver(t *testing.T, at int, leaver string, epoch uint64, began time.Time) failover {
	t.Helper()
	lost, at := s.next(t, at, patience, "the publisher gives its lease back", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseLost().GetEpoch() == epoch && e.GetNode() == leaver
	})
	if why := lost.GetHostingLeaseLost().GetReason(); why != "given-back" {
		t.Errorf("the lease was lost: %s", why)
	}
	taken, out := s.succeeds(t, at, leaver, began, patience)
	if late := taken.GetTime().AsTime().Sub(lost.GetTime().AsTime()); late > 6*time.Second { // without one nobody takes it within 7 s
		t.Errorf("it is taken %v after it was given back: that is no hand-over", late)
	}
	return out
}

// TestHostingWithoutServers: the fleet's NATS server is gone. Nobody publishes, each node
// says so and keeps its introduction points, and who knew nothing comes in by what was
// published last. When the server is back somebody publishes.
func TestHostingWithoutServers(t *testing.T) {
	t.Parallel()
	s := startSharers(t)
	s.complete(t, 0, 3)
	points := map[string][]string{}
	for _, p := range s.all {
		points[p.name] = s.pointsOf(t, p)
	}
	s.h.kill(0)
	began := time.Now()
	for _, p := range s.all {
		eventually(t, p.name+" knows of nobody who publishes", func() error {
			if sh := s.shared(t, p); sh == nil || sh.Publishes || sh.Publisher != "" {
				return fmt.Errorf("%+v", sh)
			}
			return nil
		})
	}
	t.Logf("all nodes know of nobody who publishes after %v", time.Since(began).Round(time.Second))
	for _, p := range s.all {
		for what, want := range map[string]string{"show": "no node is known to publish", "why": "which node publishes it is not known"} {
			if said, err := p.ask(t, "onion", what, s.address); !strings.Contains(said, want) {
				t.Errorf("%s: chive onion %s does not say %q: %v\n%s", p.name, what, want, err, said)
			}
		}
		if now := s.pointsOf(t, p); !slices.Equal(now, points[p.name]) {
			t.Errorf("%s: introduction points at %v, they were at %v", p.name, now, points[p.name])
		}
	}
	for i := range 3 {
		ctor(t, s.Network, fmt.Sprint("visitor", i)).fetchOnion(t, "", s.address, 10_000)
	}
	s.h.start(t, 0)
	eventually(t, "one node publishes", func() error {
		leads := 0
		for _, p := range s.all {
			if sh := s.shared(t, p); sh != nil && sh.Publishes && sh.Points == 6 {
				leads++
			}
		}
		if leads != 1 {
			return fmt.Errorf("%d nodes publish", leads)
		}
		return nil
	})
	ctor(t, s.Network, "last").fetchOnion(t, "", s.address, 10_000)
}

func (s *sharers) shared(t *testing.T, p *process) *hosting.SharedStatus {
	t.Helper()
	if all := p.services(t); len(all) == 1 {
		return all[0].Shared
	}
	return nil
}

// pointsOf are the relays that introduce to one node.
func (s *sharers) pointsOf(t *testing.T, p *process) (relays []string) {
	t.Helper()
	for _, o := range p.services(t) {
		for _, at := range o.Points {
			if at.State == "up" {
				relays = append(relays, at.Relay)
			}
		}
	}
	slices.Sort(relays)
	return relays
}
