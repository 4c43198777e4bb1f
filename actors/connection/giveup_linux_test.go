package connection

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel, too, ends a connection on which nothing is acknowledged: one that is only padded
// asks for no circuits that would be missed.
func TestKernelGivesUpInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dialer{}.tcp(l.Addr().(*net.TCPAddr).AddrPort()).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if e := raw.Control(func(fd uintptr) {
		got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); e != nil || err != nil || time.Duration(got)*time.Millisecond != lostAfter {
		t.Errorf("after %d ms, want %v: %v, %v", got, lostAfter, e, err)
	}
}
