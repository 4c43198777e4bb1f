package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/internal/invariant"
	"chive/messages/chivev1"
)

// TestSharedByAClockThatIsAhead: the publisher of a shared service has a clock that is an hour
// ahead, and is cut off. The other, whose clock is right, publishes in its place, and no
// directory thinks that what it brings is old.
func TestSharedByAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	const ahead = time.Hour
	s := &sharers{hostingLab: startHostingLab(t), h: startHubs(t, 1, "256MB")}
	visitor := ctor(t, s.Network, "visitor")
	w := startWire(t, strings.TrimPrefix(s.h.urls[0], "nats://"))
	clock := &machineClock{}
	clock.set(ahead)
	var key []byte
	node := func(i int, url string, clock *machineClock) *client {
		dir := filepath.Join(t.TempDir(), "site")
		key = s.folder(t, dir, key)
		lines := append(s.ClientTorrc(), "HiddenServiceDir "+dir, "HiddenServicePort 80 "+s.http, "HiddenServiceShared 1")
		for _, line := range s.h.torrc(i) {
			lines = append(lines, strings.Replace(line, s.h.urls[0], url, 1))
		}
		c, err := launchBy(t, t.TempDir(), nil, clock, lines...)
		if err != nil {
			t.Fatal(err)
		}
		c.await(t)
		return c
	}
	first := node(0, "nats://"+w.listener.Addr().String(), clock)
	first.eventually(t, "the first publishes", patience, func() bool { return first.publications() >= 2 })
	second := node(1, s.h.urls[0], nil)
	publishes := func(c *client, points uint32) func() bool {
		return func() bool {
			return c.count(func(e *chivev1.Envelope) bool { return e.GetHostingDescribed().GetPoints() == points }) >= 2
		}
	}
	first.eventually(t, "it publishes the points of both", patience, publishes(first, 6))
	second.eventually(t, "the second hears of it", patience, func() bool {
		return second.count(func(e *chivev1.Envelope) bool { return e.GetHostingPublisherChanged() != nil }) > 0
	})
	w.set(silent)
	second.eventually(t, "the second publishes in its place", patience, func() bool { return second.publications() >= 2 })
	visitor.fetchOnion(t, "", s.address, 100_000)
	first.eventually(t, "the first has ended", patience, func() bool {
		return first.count(func(e *chivev1.Envelope) bool { return e.GetHostingLeaseLost() != nil }) > 0
	})
	w.set(passing)

	newest := map[uint64]uint64{} // revision by period
	for i, log := range [][]*chivev1.Envelope{first.soFar(), second.soFar()} {
		for _, e := range log {
			if out := e.GetHostingStored().GetOutcome(); e.GetHostingStored() != nil && out == chivev1.Outcome_OUTCOME_DIRECTORY_STATUS {
				t.Error("a directory refuses a descriptor")
			}
			if d := e.GetHostingDescribed(); d != nil {
				if d.GetRevision() <= newest[d.GetPeriod()] {
					t.Errorf("node %d makes revision %d for period %d, after %d", i+1, d.GetRevision(), d.GetPeriod(), newest[d.GetPeriod()])
				}
				newest[d.GetPeriod()] = d.GetRevision()
			}
		}
	}
	if len(newest) != 2 {
		t.Errorf("periods: %v", fmt.Sprint(newest))
	}
	var right []*chivev1.Envelope // the first's log, by the clock of the second
	for _, e := range first.soFar() {
		e = proto.CloneOf(e)
		e.Time = timestamppb.New(e.GetTime().AsTime().Add(-ahead))
		right = append(right, e)
	}
	for _, v := range invariant.Publishers(right, second.soFar()) {
		t.Error(v)
	}
}

// soFar is the whole log so far.
func (c *client) soFar() []*chivev1.Envelope {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*chivev1.Envelope(nil), c.log...)
}
