package hosting

import (
	"errors"
	"net"
	"testing"

	"chive/actors/stream"
)

// A client with any number of streams does not use up the files that may be open.
func TestSockets(t *testing.T) {
	unix, tcp := twoServers(t)
	a := &allowance{most: 2}
	to := func(l net.Listener) (stream.Conn, error) {
		return a.dial(func() (net.Conn, error) { return net.Dial(l.Addr().Network(), l.Addr().String()) })
	}
	one, err := to(tcp)
	if err != nil {
		t.Fatal(err)
	}
	two, err := to(unix)
	if err != nil {
		t.Fatal(err)
	}
	for _, closed := range []stream.Conn{one, two} {
		if _, err := to(tcp); !errors.Is(err, stream.ErrFull) {
			t.Fatalf("one too many: %v", err)
		}
		_ = closed.Close()
		_ = closed.Close() // which gives back nothing more
		c, err := to(tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, err := to(tcp); !errors.Is(err, stream.ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if _, ok := one.(interface{ SetLinger(int) error }); !ok {
		t.Error("a stream that is cut off looks like one that ended")
	}
	failed := errors.New("no")
	b := &allowance{most: 1}
	for range 3 {
		if _, err := b.dial(func() (net.Conn, error) { return nil, failed }); !errors.Is(err, failed) {
			t.Errorf("%v", err)
		}
	}
	if n := sockets().most; n < 64 {
		t.Errorf("%d sockets for all services", n)
	}
}
