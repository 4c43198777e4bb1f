//go:build linux && (386 || s390x)

package rawio

import "syscall"

// AckNow has the kernel acknowledge at once what was read, and not wait for up to 40 ms
// for something to send along. That it failed matters to nobody.
func AckNow(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
