package rawio

import "golang.org/x/sys/unix"

// BoundUnsent has a TCP socket take no more while so many bytes of it wait to be sent as its
// congestion window holds, but at least least and at most most, and ask for more once half of
// them wait. What was sent and is not acknowledged does not count. It may take one packet of
// its own beyond, up to 64 KiB. It gives the bound, in bytes; 0: none was set.
func BoundUnsent(fd uintptr, least, most int) int {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	bound := min(max(uint64(info.Snd_cwnd)*uint64(info.Snd_mss), uint64(least)), uint64(most))
	if unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, int(bound)) != nil {
		return 0
	}
	return int(bound)
}
