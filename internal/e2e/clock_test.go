package e2e

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// clock is a node's, whose wall time can be moved as an operator, a time server or a sleep moves
// it: the monotonic time, which durations and timers go by, stays as it is.
type clock struct{ ahead atomic.Int64 } // seconds

// now is for node.Options.
func (c *clock) now() time.Time { return moved(time.Now(), c.ahead.Load()) }

// move sets the wall time forth or back, from what it is.
func (c *clock) move(by time.Duration) { c.ahead.Add(int64(by / time.Second)) }

// moved is a time with its wall seconds moved and its monotonic reading kept, which package time
// can't make: its first word has a bit that says there is such a reading, 33 bits of seconds and
// 30 of nanoseconds. TestClock notices when that is no longer so.
func moved(t time.Time, seconds int64) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(seconds << 30)
	return t
}

func TestClock(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 10 * time.Minute, 0} {
		now := time.Now()
		there := moved(now, int64(by/time.Second))
		if there.Sub(now) != 0 || there.Round(0).Sub(now.Round(0)) != by || there.Nanosecond() != now.Nanosecond() {
			t.Errorf("%v: %v after %v", by, there, now)
		}
	}
}
