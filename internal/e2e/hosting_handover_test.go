package e2e

import (
	"syscall"
	"testing"
	"time"

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
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("%s: %v", leaver, err)
			}
			over <- time.Now()
		}()
		// Somebody who knows nothing comes while it leaves, as do new users of one who knows.
		visitors[1].fetchOnion(t, leaver, s.address, 10_000)
		visitors[0].fetchOnion(t, leaver, s.address, 10_000)
		visits := time.Since(began)
		h := s.handedOver(t, at, leaver, epoch, began)
		ended := (<-over).Sub(began)
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
func (s *sharers) handedOver(t *testing.T, at int, leaver string, epoch uint64, began time.Time) (out failover) {
	t.Helper()
	since := func(e *chivev1.Envelope) time.Duration {
		return e.GetTime().AsTime().Sub(began).Round(time.Millisecond)
	}
	lost, at := s.next(t, at, time.Minute, "the publisher gives its lease back", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseLost().GetEpoch() == epoch && e.GetNode() == leaver
	})
	if why := lost.GetHostingLeaseLost().GetReason(); why != "given-back" {
		t.Errorf("the lease was lost: %s", why)
	}
	taken, at := s.next(t, at, time.Minute, "another node takes it", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseTaken() != nil && e.GetNode() != leaver
	})
	if out.taken = since(taken); taken.GetTime().AsTime().Sub(lost.GetTime().AsTime()) > 4*time.Second {
		t.Errorf("it is taken %v after it was given back: that is no hand-over", taken.GetTime().AsTime().Sub(lost.GetTime().AsTime()))
	}
	made, at := s.next(t, at, time.Minute, "a new descriptor", func(e *chivev1.Envelope) bool {
		return e.GetNode() == taken.GetNode() && e.GetHostingDescribed() != nil
	})
	if n := made.GetHostingDescribed().GetPoints(); n != 6 {
		t.Errorf("the first descriptor of the new publisher lists %d introduction points, want those of the two nodes that stay: 6", n)
	}
	stored, at := s.next(t, at, time.Minute, "a directory has it", func(e *chivev1.Envelope) bool {
		return e.GetNode() == taken.GetNode() && e.GetHostingStored().GetOutcome() == chivev1.Outcome_OUTCOME_OK
	})
	out.stored = since(stored)
	everywhere, _ := s.next(t, at, time.Minute, "every directory has it", func(e *chivev1.Envelope) bool {
		return e.GetNode() == taken.GetNode() && e.GetHostingPublished() != nil
	})
	out.everywhere = since(everywhere)
	return out
}
