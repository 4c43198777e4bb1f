package e2e

import (
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// entered counts the guards of circuits launched since an event.
func (r *reloadable) entered(from int) int {
	seen := map[string]bool{}
	for _, p := range r.paths(from) {
		seen[p[0]] = true
	}
	return len(seen)
}

// entryGuards: new circuits go through as many guards as are asked for.
func entryGuards(t *testing.T, l *lab) {
	use := func(lines ...string) (from int) {
		t.Helper()
		l.settled(t)
		l.set(t, lines...)
		_, from = l.events(0)
		return from
	}
	many := func(from, guards int) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for l.entered(from) < guards { // each guard is chosen at random
			if time.Now().After(deadline) {
				t.Fatalf("%d guards are in use", l.entered(from))
			}
			l.once(t)
		}
	}
	many(use("NumPrimaryGuards 4", "NumEntryGuards 4"), 4)
	from := use("NumPrimaryGuards 4", "NumEntryGuards 1")
	for len(l.paths(from)) < 12 {
		l.once(t)
	}
	if n := l.entered(from); n != 1 {
		t.Fatalf("with NumEntryGuards 1 circuits went through %d guards", n)
	}
	many(use("NumEntryGuards 3"), 3)
	if result := l.change(t, append(l.base, "NumPrimaryGuards 1", "NumEntryGuards 2")...); result.Applied {
		t.Fatal("more guards in use than primary ones were applied")
	}
}

// directories are the relays that directory requests went to since an event, one for each
// request.
func (c *client) directories(t *testing.T, n *testnet.Network, from int) (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	relay, ours := map[string]string{}, map[string]bool{} // by circuit; streams
	for i, e := range c.log {
		id, l := e.GetActorId(), e.GetCircuitLaunched()
		switch {
		case l.GetPurpose() == chivev1.Purpose_PURPOSE_DIRECTORY:
			relay[id] = nameOf(t, n, l.GetPath()[0])
		case e.GetStreamRequested().GetPurpose() == chivev1.Purpose_PURPOSE_DIRECTORY:
			ours[id] = i >= from
		case ours[id] && e.GetStreamAttached() != nil:
			out = append(out, relay[e.GetStreamAttached().GetCircuitId()])
		}
	}
	return out
}

// Directory requests go to as many guards as are asked for, of Debian's tor; while the one in
// use is away, to the next, and to no other.
func TestNumDirectoryGuards(t *testing.T) {
	t.Parallel()
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Relays: 6, Guards: 4, VotingInterval: 10 * time.Second})
	l := newLab(t, n, "SocksPort auto", "NumPrimaryGuards 4")
	asked := func(enough func([]string) bool) (out []string) {
		t.Helper()
		mark := l.seen()
		l.until(t, patience, "directory requests", func() bool {
			out = l.directories(t, n, mark)
			return enough(out)
		})
		return out
	}
	l.set(t, "NumDirectoryGuards 3")
	t.Logf("with 3: %q", asked(func(all []string) bool { return distinct(all) > 1 })) // chosen at random each time
	l.set(t, "NumDirectoryGuards 1")
	one := asked(func(all []string) bool { return len(all) >= 5 })
	t.Logf("with 1: %q", one)
	if distinct(one) != 1 {
		t.Fatalf("with NumDirectoryGuards 1 requests went to %q", one)
	}
	if err := n.Kill(one[0]); err != nil {
		t.Fatal(err)
	}
	l.until(t, patience, "the guard is found to be away", func() bool {
		return l.count(func(e *chivev1.Envelope) bool { return e.GetGuardUnreachable() != nil }) > 0
	})
	next := asked(func(all []string) bool { return len(all) >= 3 })
	t.Logf("while it is away: %q", next)
	if distinct(next) != 1 || next[0] == one[0] {
		t.Errorf("while %s was away requests went to %q", one[0], next)
	}
}
