package e2e

import (
	"testing"
	"time"
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
