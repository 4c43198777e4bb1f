//go:build linux && !386 && !s390x

package rawio

import (
	"syscall"
	"unsafe"
)

// AckNow has the kernel acknowledge at once what was read, and not wait for up to 40 ms
// for something to send along. It lasts for a few segments only. That it failed matters
// to nobody: the acknowledgement comes later then.
func AckNow(fd uintptr) {
	on := int32(1)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0)
}
