package journal

import (
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/nats-io/nats-server/v2/server/ats" // whose variables these are

	"chive/internal/safego"
)

// The server has one clock for all stores of the process, which it reads and moves on ten
// times a second while any is open. That wakes a process that has nothing to do, and a thread
// of the runtime's with it, for a journal that needs the time to the minute at most: half of
// all that a node at rest cost. There is no option for it. The clock runs while it has users,
// and only the first starts it; so whoever is a user before the first store is has the clock to
// itself, and moves it on as seldom as it likes. Should the names change, the server's own clock
// runs as ever (TestTheServersClockIsSlow would tell).
var (
	//go:linkname clockUsers github.com/nats-io/nats-server/v2/server/ats.refs
	clockUsers atomic.Int64
	//go:linkname clockTime github.com/nats-io/nats-server/v2/server/ats.utime
	clockTime atomic.Int64 // Unix, in nanoseconds
)

// tick is how often the clock moves on. What the server does by it is to drop what it keeps in
// memory 10 s after its last use.
const tick = time.Second

// clock is the process's.
var clock struct {
	mu     sync.Mutex
	stores int           // of ours that are open
	stop   chan struct{} // nil: it does not run
}

// holdClock is called before a store is opened, and letGoClock when it is closed. If the
// program has stores of its own, by which the server's clock runs already, that is left alone.
func holdClock() {
	clock.mu.Lock()
	defer clock.mu.Unlock()
	if clock.stores++; clock.stop != nil || !clockUsers.CompareAndSwap(0, 1) {
		return
	}
	clockTime.Store(time.Now().UnixNano())
	stop := make(chan struct{})
	clock.stop = stop
	safego.Go("journal clock", func() { runClock(stop) }, nil)
}

func letGoClock() {
	clock.mu.Lock()
	defer clock.mu.Unlock()
	clock.stores--
	endClock()
}

// endClock ends the clock unless somebody needs it: a store of ours, or one of the program's
// that was opened meanwhile and so has no other. The caller holds the lock.
func endClock() {
	if clock.stop != nil && clock.stores == 0 && clockUsers.CompareAndSwap(1, 0) {
		close(clock.stop)
		clock.stop = nil
	}
}

func runClock(stop <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		clockTime.Store(time.Now().UnixNano())
		clock.mu.Lock()
		endClock()
		clock.mu.Unlock()
	}
}
