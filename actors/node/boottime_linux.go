package node

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is since the machine was started, sleep included; it cannot be set. 0: unknown.
func bootTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
