package rawio_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"chive/internal/rawio"
)

// What is no TCP socket has no bound.
func TestBoundUnsentOfNoTCP(t *testing.T) {
	raw, _ := unixPair(t)
	if err := raw.Control(func(fd uintptr) {
		if got := rawio.BoundUnsent(fd, 1, 1<<20); got != 0 {
			t.Errorf("the bound is %d", got)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// However large its buffer, a socket whose other end reads nothing takes little more than the
// bound, and takes more when that reads again.
func TestBoundUnsent(t *testing.T) {
	const bound, packet = 32 << 10, 64 << 10
	raw, other := pair(t)
	chunk := make([]byte, 16<<10)
	fill := func() (wrote, unsent int) {
		t.Helper()
		var err error
		if e := raw.Write(func(fd uintptr) bool {
			for err == nil {
				var n int
				n, err = rawio.Write(fd, chunk)
				wrote += n
			}
			if !errors.Is(err, syscall.EAGAIN) {
				return true
			}
			err = nil
			if unsent, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD); err == nil && unsent == 0 {
				return false // it has begun to send: again
			}
			return true
		}); e != nil || err != nil {
			t.Fatal(e, err)
		}
		return wrote, unsent
	}
	if err := raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20); err != nil {
			t.Fatal(err)
		}
		if got := rawio.BoundUnsent(fd, 1, 1<<30); got <= bound { // loopback has a large one
			t.Errorf("the congestion window holds %d bytes", got)
		}
		if got := rawio.BoundUnsent(fd, 1, bound); got != bound {
			t.Errorf("the bound is %d, want %d", got, bound)
		}
	}); err != nil {
		t.Fatal(err)
	}
	wrote, unsent := fill()
	if unsent > bound+packet {
		t.Errorf("%d bytes wait to be sent, of %d", unsent, wrote)
	}
	if _, err := io.ReadFull(other, make([]byte, wrote)); err != nil {
		t.Fatal(err)
	}
	if again, unsent := fill(); again == 0 || unsent > bound+packet {
		t.Errorf("the other end has read: it takes %d bytes, %d wait", again, unsent)
	}
}
