//go:build linux && !386 && !s390x

package rawio

import "syscall"

// CloseWrite ends what a socket sends: the other end reads up to here, and then the end.
func CloseWrite(fd uintptr) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SHUTDOWN, fd, syscall.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}
