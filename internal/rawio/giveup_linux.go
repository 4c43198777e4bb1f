package rawio

import (
	"time"

	"golang.org/x/sys/unix"
)

// GiveUp has the kernel end a TCP connection when what was sent is acknowledged by nobody for so
// long, be it keep-alive. By itself it goes on for a quarter of an hour.
func GiveUp(fd uintptr, after time.Duration) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
}
