package rawio

import (
	"syscall"
	"unsafe"
)

// Read reads from a non-blocking socket: n is 0 at the end, and err is
// syscall.EAGAIN when nothing is there.
func Read(fd uintptr, p []byte) (n int, err error) { return call(syscall.SYS_READ, fd, p) }

// Write writes to a non-blocking socket what it takes: err is syscall.EAGAIN
// when that is nothing.
func Write(fd uintptr, p []byte) (n int, err error) { return call(syscall.SYS_WRITE, fd, p) }

func call(number, fd uintptr, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
			continue
		}
		return 0, errno
	}
}
