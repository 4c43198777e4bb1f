//go:build !linux

package rawio

// BoundUnsent bounds what of a TCP socket waits to be sent, where the system can: elsewhere
// it is the socket's buffer.
func BoundUnsent(uintptr, int) {}
