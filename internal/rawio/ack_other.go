//go:build !linux

package rawio

// AckNow has the kernel acknowledge at once what was read, where there is a way to ask
// for it.
func AckNow(uintptr) {}
