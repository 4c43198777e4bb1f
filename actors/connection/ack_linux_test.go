package connection

import (
	"net"
	"syscall"
	"testing"
)

// What comes alone is acknowledged at once: the socket is in the kernel's mode for that
// again after each such read.
func TestSmallReadsAreAcknowledgedAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	relay, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	raw, err := ours.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	quick := func() (on int) {
		var failed error
		if err := raw.Control(func(fd uintptr) {
			on, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK)
		}); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		return on
	}
	r := newRecordConn(ours)
	for range 3 {
		if err := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0)
		}); err != nil || quick() != 0 {
			t.Fatal("the kernel does not let it be switched off", err)
		}
		if _, err := relay.Write(make([]byte, 536)); err != nil {
			t.Fatal(err)
		}
		if n, err := r.receive(make([]byte, 4096)); n != 536 || err != nil {
			t.Fatal(n, err)
		}
		if quick() != 1 {
			t.Fatal("the acknowledgement waits for more")
		}
	}
}
