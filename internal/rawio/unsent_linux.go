package rawio

import "golang.org/x/sys/unix"

// BoundUnsent has a TCP socket take no more while so many bytes of it wait to be sent, and
// ask for more once half of them are. It may take one packet of its own beyond, up to 64 KiB.
// What was sent and is not acknowledged does not count. That it failed matters little: what
// is written waits for what the socket holds, then.
func BoundUnsent(fd uintptr, bytes int) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}
