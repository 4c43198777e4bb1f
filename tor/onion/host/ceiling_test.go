package host

import (
	"testing"
	"time"
)

// No revision stands for a time that the others may not know of; which one is needed is
// told of, and made when it may be.
func TestSharedCeiling(t *testing.T) {
	c := newClump(t, 53, 40, 1, Config{Points: 2})
	c.pass(2 * time.Minute)
	n := c.nodes[0]
	before := c.stores
	n.s.SetCeiling(uint64(n.now().Unix()) - 1)
	n.s.dirty(Settings)
	c.pass(3 * time.Minute)
	if c.stores != before {
		t.Error("it publishes above the ceiling")
	}
	if p := n.s.Published(); p <= n.s.shared.ceiling || p > uint64(n.now().Unix()) {
		t.Errorf("published: %d, at %d", p, n.now().Unix())
	}
	n.s.SetCeiling(uint64(n.now().Add(time.Minute).Unix()))
	c.pass(30 * time.Second)
	if c.stores == before {
		t.Error("it does not publish below the ceiling")
	}
	if err := n.s.Configure(Config{Points: 2}, n.now()); err != nil {
		t.Fatal(err)
	}
	n.s.SetCeiling(5) // of a service that is shared no more
}

// An upload whose answer comes after the node's turn is no news: the process was stopped.
func TestAnswerAfterTheTurn(t *testing.T) {
	c := newClump(t, 54, 40, 1, Config{Points: 2})
	c.pass(2 * time.Minute)
	n := c.nodes[0]
	now := n.now().Add(2 * time.Minute)
	until := now.Add(5 * time.Second)
	n.s.Share(true, 0, until, nil, now)
	n.s.Take()
	n.s.dirty(Settings)
	n.s.Tick(now)
	began := 0
	for _, command := range n.s.Take() {
		up, ok := command.(Upload)
		if !ok {
			continue
		}
		began++
		n.s.Uploaded(up.ID, nil, until.Add(time.Second))
		for _, c := range n.s.Take() {
			if told, ok := c.(Told); ok {
				if _, stored := told.Event.(Stored); stored {
					t.Error("told as stored")
				}
			}
		}
	}
	if began == 0 {
		t.Error("no upload was begun")
	}
}
