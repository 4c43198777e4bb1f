package directory

import (
	"testing"
	"testing/synctest"
	"time"

	"chive/tor/netdoc"
)

// "A reasonably live consensus is one that expired less than 24 hours ago": it is used
// when there is no better one, and not a moment longer.
func TestReasonablyLive(t *testing.T) {
	docs := documents()
	dir := t.TempDir()
	n := &network{docs: docs}
	if err := newBench(t, n, dir, duringValidity(docs)).once(t); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Time
		want bool
	}{
		{docs.ValidUntil.Add(-time.Second), true},
		{docs.ValidUntil.Add(netdoc.ReasonablyLive - time.Second), true},
		{docs.ValidUntil.Add(netdoc.ReasonablyLive + time.Second), false},
		{docs.ValidAfter.Add(-netdoc.ReasonablyLive + time.Second), true},
		{docs.ValidAfter.Add(-netdoc.ReasonablyLive - time.Second), false},
	} {
		b := newBench(t, n, dir, tt.at)
		b.load()
		if b.enough() != tt.want {
			t.Errorf("at %v: used %v, want %v; rejected %v", tt.at, b.enough(), tt.want, b.rejected())
		}
	}
	// It becomes too old while the node runs, and nobody has another.
	now := duringValidity(docs)
	b := newBench(t, n, dir, now)
	b.o.Now = func() time.Time { return now }
	b.load()
	now = docs.ValidUntil.Add(netdoc.ReasonablyLive + time.Second)
	if err := b.once(t); err == nil || b.enough() {
		t.Errorf("%v, used %v", err, b.enough())
	}
}

// "Clients download new consensuses at a randomly chosen time": for one that became valid
// at 10:00, is fresh until 11:00 and expires at 13:00, between 11:45 and 12:50.
func TestRefreshWindow(t *testing.T) {
	docs := documents()
	n := &network{docs: docs}
	b := newBench(t, n, t.TempDir(), duringValidity(docs))
	if err := b.once(t); err != nil {
		t.Fatal(err)
	}
	from, to := docs.ValidAfter.Add(105*time.Minute), docs.ValidAfter.Add(170*time.Minute+38*time.Second)
	seen := map[time.Time]bool{}
	for range 200 {
		at := b.refreshTime()
		seen[at] = true
		if at.Before(from) || at.After(to) {
			t.Errorf("%v is not between %v and %v", at, from, to)
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d times are not random", len(seen))
	}
}

// A machine that slept through the time of the refresh asks within a minute of waking.
func TestClockOnTheWall(t *testing.T) {
	docs := documents()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &network{docs: docs}, dir, duringValidity(docs))
		begin := time.Now()
		b.o.Now = func() time.Time {
			awake := time.Since(begin)
			if awake > 5*time.Minute {
				return duringValidity(docs).Add(awake + 3*time.Hour)
			}
			return duringValidity(docs).Add(awake)
		}
		if !b.rest(t.Context(), duringValidity(docs).Add(2*time.Hour)) {
			t.Fatal("the context ended")
		}
		if took := time.Since(begin); took != 6*time.Minute {
			t.Errorf("noticed after %v", took)
		}
	})
}

// Directories without a newer consensus are asked again after a while that grows, up to a
// sixth of the time between consensuses.
func TestNoNewerConsensus(t *testing.T) {
	docs := documents()
	n := &network{docs: docs}
	b := newBench(t, n, t.TempDir(), duringValidity(docs))
	if err := b.once(t); err != nil {
		t.Fatal(err)
	}
	n.change = func(string, []byte) []byte { return []byte("HTTP/1.0 304 Not modified\r\n\r\n") }
	for name, change := range map[string]func(string, []byte) []byte{
		"not modified":   n.change,
		"the same again": nil,
	} {
		n.change = change
		err := b.fetchConsensus(t.Context())
		if err == nil {
			t.Fatalf("%s: taken", name)
		}
		w := b.backoff(err)
		if w.Min != time.Minute || w.Max != 10*time.Minute {
			t.Errorf("%s: %v, asked again after %v to %v", name, err, w.Min, w.Max)
		}
	}
	if len(b.rejected()) != 0 {
		t.Errorf("rejected %v", b.rejected())
	}
}
