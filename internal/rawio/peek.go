package rawio

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// peek is Look by the next byte that is to be read.
func peek(fd uintptr) Peer {
	var p [1]byte
	n, _, err := unix.Recvfrom(int(fd), p[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return Open
	case err != nil:
		return Gone
	case n == 0:
		return Silent
	case runtime.GOOS == "linux": // it was seen to send no more
		return SaidAll
	}
	return Open
}
