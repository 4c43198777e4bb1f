package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the processor time that a process has used, user and system, of all its
// threads: what getrusage would tell it of itself.
func cpuTime(pid int) (time.Duration, error) {
	// The clock of another process (clock_getcpuclockid(3)).
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
