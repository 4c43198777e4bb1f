//go:build !linux || 386 || s390x

package rawio

import "syscall"

// CloseWrite ends what a socket sends: the other end reads up to here, and then the end.
func CloseWrite(fd uintptr) error { return syscall.Shutdown(int(fd), syscall.SHUT_WR) }
