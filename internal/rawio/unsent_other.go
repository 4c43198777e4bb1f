//go:build !linux

package rawio

// BoundUnsent bounds what of a TCP socket waits to be sent, where the system can: it gives 0,
// as elsewhere the bound is the socket's buffer.
func BoundUnsent(uintptr, int, int) int { return 0 }
