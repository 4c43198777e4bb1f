package rawio_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"chive/internal/rawio"
)

// unixPair is both ends of a unix connection and the descriptor of the first.
func unixPair(t *testing.T) (raw syscall.RawConn, other *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	raw, err = ends[0].SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw, ends[1]
}

// settled waits until what the other end did has arrived, and says what it looks like.
func settled(t *testing.T, raw syscall.RawConn, arrived bool) (got rawio.Peer) {
	t.Helper()
	if err := raw.Read(func(fd uintptr) bool { // it is called again when something comes
		got = rawio.Look(fd)
		return !arrived || got != rawio.Open
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

type conn interface {
	net.Conn
	CloseWrite() error
}

// What can be told of an application that closes, of one that only sends no more, and of what
// it sent before.
func TestLook(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere less can be told")
	}
	steps := map[string]func(conn) error{
		"open":       func(conn) error { return nil },
		"data":       func(c conn) error { _, err := c.Write([]byte("x")); return err },
		"half":       conn.CloseWrite,
		"close":      func(c conn) error { return c.Close() },
		"reset":      func(c conn) error { _ = c.(*net.TCPConn).SetLinger(0); return c.Close() },
		"data half":  func(c conn) error { _, err := c.Write([]byte("x")); return errors.Join(err, c.CloseWrite()) },
		"data close": func(c conn) error { _, err := c.Write([]byte("x")); return errors.Join(err, c.Close()) },
		"data reset": func(c conn) error {
			_, err := c.Write([]byte("x"))
			_ = c.(*net.TCPConn).SetLinger(0)
			return errors.Join(err, c.Close())
		},
	}
	for _, tt := range []struct {
		step      string
		tcp, unix rawio.Peer
	}{
		{"open", rawio.Open, rawio.Open},
		{"data", rawio.Open, rawio.Open},
		{"half", rawio.Silent, rawio.Silent},
		{"close", rawio.Silent, rawio.Gone},
		{"reset", rawio.Gone, rawio.Open},
		{"data half", rawio.SaidAll, rawio.SaidAll},
		{"data close", rawio.SaidAll, rawio.Gone},
		{"data reset", rawio.Gone, rawio.Open},
	} {
		raw, other := pair(t)
		if err := steps[tt.step](other); err != nil {
			t.Fatal(err)
		}
		if got := settled(t, raw, tt.tcp != rawio.Open); got != tt.tcp {
			t.Errorf("TCP, %s: %v, want %v", tt.step, got, tt.tcp)
		}
		if tt.step == "reset" || tt.step == "data reset" { // there is none
			continue
		}
		raw, end := unixPair(t)
		if err := steps[tt.step](end); err != nil {
			t.Fatal(err)
		}
		if got := settled(t, raw, tt.unix != rawio.Open); got != tt.unix {
			t.Errorf("unix, %s: %v, want %v", tt.step, got, tt.unix)
		}
	}
}
