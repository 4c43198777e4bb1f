package journal

import (
	"bytes"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

// theirs says whether the server's own clock runs.
func theirs(t *testing.T) bool {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(b.Bytes(), []byte("server/ats."))
}

func ours() bool {
	clock.mu.Lock()
	defer clock.mu.Unlock()
	return clock.stop != nil
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !f() {
		select {
		case <-look.C:
		case <-late:
			t.Fatal(what)
		}
	}
}

func TestTheServersClockIsSlow(t *testing.T) {
	first, _, err := Open(Options{Dir: t.TempDir(), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := Open(Options{Dir: t.TempDir(), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if theirs(t) || !ours() {
		t.Errorf("the server's own clock runs: %t, ours: %t", theirs(t), ours())
	}
	if n := clockUsers.Load(); n != 3 {
		t.Errorf("%d users of the clock, want two stores and us", n)
	}
	begun := ats.AccessTime()
	if age := time.Since(time.Unix(0, begun)); age < 0 || age > patience {
		t.Errorf("the clock is %v late", age)
	}
	until(t, "the clock stands still", func() bool { return ats.AccessTime() > begun })
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if !ours() {
		t.Error("no clock for the store that is left")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if ours() || clockUsers.Load() != 0 {
		t.Errorf("the clock runs: %t, with %d users", ours(), clockUsers.Load())
	}
}

// Stores of the program's that are opened while the clock is ours keep it running; by those
// that were there before, the server's own runs.
func TestOthersKeepTheirClock(t *testing.T) {
	holdClock()
	ats.Register()
	letGoClock()
	if theirs(t) || !ours() {
		t.Errorf("another store is open: the server's own clock runs: %t, ours: %t", theirs(t), ours())
	}
	ats.Unregister()
	until(t, "the clock runs for nobody", func() bool { return !ours() })

	ats.Register()
	holdClock()
	until(t, "the server's own clock does not run", func() bool { return theirs(t) })
	if ours() {
		t.Error("two clocks run")
	}
	letGoClock()
	if n := clockUsers.Load(); n != 1 {
		t.Errorf("%d users of the clock", n)
	}
	ats.Unregister()
	until(t, "the server's own clock runs for nobody", func() bool { return !theirs(t) })
}
