//go:build !linux

package rawio

import "syscall"

// Read reads from a non-blocking socket: n is 0 at the end, and err is
// syscall.EAGAIN when nothing is there.
func Read(fd uintptr, p []byte) (n int, err error) { return retry(syscall.Read, fd, p) }

// Write writes to a non-blocking socket what it takes: err is syscall.EAGAIN
// when that is nothing.
func Write(fd uintptr, p []byte) (n int, err error) { return retry(syscall.Write, fd, p) }

func retry(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
