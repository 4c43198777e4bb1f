package rawio

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Look says what the other end of a socket has done. A TCP connection that was closed there
// looks as one that was half-closed: the difference is not on the wire before one writes.
func Look(fd uintptr) Peer {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
	var now syscall.Timespec
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0); errno != 0 {
		return Open
	}
	switch {
	case p.Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
		return Gone
	case p.Revents&unix.POLLRDHUP != 0:
		return peek(fd)
	}
	return Open
}
