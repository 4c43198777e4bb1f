package rawio_test

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"testing"

	"chive/internal/rawio"
)

// pair is both ends of a TCP connection and the descriptor of the first.
func pair(t *testing.T) (raw syscall.RawConn, other *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	raw, err = a.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw, b.(*net.TCPConn)
}

func TestReadNothingDataEnd(t *testing.T) {
	raw, other := pair(t)
	var p [16]byte
	var n int
	var err error
	if e := raw.Read(func(fd uintptr) bool { n, err = rawio.Read(fd, p[:]); return true }); e != nil {
		t.Fatal(e)
	}
	if n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("nothing there: %d, %v", n, err)
	}
	read := func() {
		t.Helper()
		if e := raw.Read(func(fd uintptr) bool {
			n, err = rawio.Read(fd, p[:])
			return err != syscall.EAGAIN
		}); e != nil {
			t.Fatal(e)
		}
	}
	if _, err := other.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if read(); err != nil || string(p[:n]) != "abc" {
		t.Fatalf("%q, %v", p[:n], err)
	}
	out, err := other.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var shut error
	if err := out.Control(func(fd uintptr) { shut = rawio.CloseWrite(fd) }); err != nil || shut != nil {
		t.Fatal(err, shut)
	}
	if read(); n != 0 || err != nil {
		t.Fatalf("end: %d, %v", n, err)
	}
}

func TestWriteUntilFull(t *testing.T) {
	raw, other := pair(t)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	wrote, full := 0, false
	if e := raw.Write(func(fd uintptr) bool {
		for range 1 << 12 {
			n, err := rawio.Write(fd, chunk)
			if wrote += n; err != nil {
				full = errors.Is(err, syscall.EAGAIN)
				return true
			}
		}
		return true
	}); e != nil {
		t.Fatal(e)
	}
	if !full {
		t.Fatalf("never full after %d bytes", wrote)
	}
	got := 0
	for got < wrote {
		n, err := other.Read(chunk)
		if got += n; err != nil {
			t.Fatal(err)
		}
	}
	if got != wrote {
		t.Fatalf("wrote %d, got %d", wrote, got)
	}
}
