package stream

import (
	"io"
	"net"
	"testing"
)

// teller is a Conn whose application is told how a stream ends.
type teller struct {
	*net.UnixConn
	ends []string
}

func (c *teller) Closed() <-chan struct{} { return nil }

func (c *teller) CloseWrite() error {
	c.ends = append(c.ends, "all is said")
	return c.UnixConn.CloseWrite()
}

func (c *teller) Close() error {
	c.ends = append(c.ends, "closed")
	return c.UnixConn.Close()
}

// The end of a stream goes by the Conn, where that tells its application what a socket cannot:
// that it was the end, and not a stream that was cut off.
func TestFinishTellsTheConn(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, end := range map[string]func(*socket){"in order": func(s *socket) { s.finish(false) }, "cut off": (*socket).abort} {
		app, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ours, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		c := &teller{UnixConn: ours}
		s, err := newSocket(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		end(s)
		if _, err := io.ReadAll(app); err != nil {
			t.Error(err)
		}
		_ = app.Close()
		want := "closed"
		if name == "in order" {
			want = "all is said"
		}
		if len(c.ends) == 0 || c.ends[0] != want {
			t.Errorf("%s: %q", name, c.ends)
		}
	}
}
