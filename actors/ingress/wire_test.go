package ingress

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func wired(t *testing.T) (w *wire, end, app *net.TCPConn) {
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
	end, app = b.(*net.TCPConn), a.(*net.TCPConn)
	if w, err = newWire(end); err != nil {
		t.Fatal(err)
	}
	return w, end, app
}

func TestWireReads(t *testing.T) {
	w, end, app := wired(t)
	if _, err := app.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if n, err := w.Read(buf); err != nil || string(buf[:n]) != "abc" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if err := end.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
	if err := errors.Join(end.SetDeadline(time.Time{}), app.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// What the socket does not take at once is written when it does.
func TestWireWrites(t *testing.T) {
	w, end, app := wired(t)
	all := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(app)
		got <- b
	}()
	if n, err := w.Write(all); n != len(all) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	if b := <-got; !bytes.Equal(b, all) {
		t.Errorf("%d bytes of %d came", len(b), len(all))
	}
	if n, err := w.Write(all); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
}
