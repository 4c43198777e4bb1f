package rawio

import "syscall"

// AckNow has the kernel acknowledge at once what was read, and not wait for up to 40 ms
// for something to send along. It lasts for a few segments only. That it failed matters
// to nobody: the acknowledgement comes later then.
func AckNow(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
