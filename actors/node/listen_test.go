package node

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"chive/config"
)

// listening starts a node and a Listener with room for so many streams.
func listening(t *testing.T, backlog int) *Listener {
	t.Helper()
	n := runs(t, "0", nil)
	var s config.OnionService
	if err := s.SetPorts([]uint16{80}); err != nil {
		t.Fatal(err)
	}
	s.IntroductionPoints = 3
	l, err := n.Listen(Listen{Service: s, Backlog: backlog})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What is over the backlog is refused, what is accepted makes room, and the end of the
// Listener is that of what nobody accepted.
func TestBacklog(t *testing.T) {
	l := listening(t, 2)
	first, err := l.take("circuit1", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.take("circuit2", 80); err != nil {
		t.Fatal(err)
	}
	if _, err := l.take("circuit3", 80); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("one too many: %v", err)
	}
	s, err := l.Accept()
	if err != nil || s.Circuit != "circuit1" || s.Port != 80 {
		t.Fatalf("%+v, %v", s, err)
	}
	defer s.Close()
	left, err := l.take("circuit4", 80)
	if err != nil {
		t.Errorf("there is room: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.take("circuit5", 80); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := left.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("one that nobody accepted: %v", err)
	}
	if _, err := io.WriteString(s, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(first, got); err != nil || string(got) != "hello" {
		t.Errorf("one that was accepted: %q, %v", got, err)
	}
	_ = first.Close() // without a word before: it was cut off
	if _, err := s.Read(got); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one that was cut off: %v", err)
	}
}

// Both ends of a stream's pair are net.Conns as x/net has them.
func TestProgramPair(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		ours, theirs, err := programPair()
		return ours, &whole{theirs}, func() { _, _ = ours.Close(), theirs.Close() }, err
	})
}

// whole closes as a stream does that ended in order.
type whole struct{ *nodeEnd }

func (w *whole) Close() error {
	_ = w.CloseWrite() // fails if it was closed before
	return w.nodeEnd.Close()
}

// The program's end says whether it was closed or half-closed, before that can be read.
func TestCloseAndHalfClose(t *testing.T) {
	ours, theirs, err := programPair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	closed := func() bool {
		select {
		case <-theirs.Closed():
			return true
		default:
			return false
		}
	}
	if err := ours.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF || closed() {
		t.Errorf("half-closed: %v, closed %v", err, closed())
	}
	if _, err := io.WriteString(theirs, "answer"); err != nil {
		t.Fatal(err)
	}
	if err := ours.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := ours.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its deadline: %v", err)
	}
	if err := ours.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ours, got); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	if err := ours.Close(); err != nil || !closed() {
		t.Errorf("close: %v, closed %v", err, closed())
	}
}

// Who waits for a service to be published is told of its end, and of the node's.
func TestPublishedIsTold(t *testing.T) {
	for name, end := range map[string]func(*Listener) error{
		"listener": (*Listener).Close, "node": func(l *Listener) error { return l.n.Stop(t.Context()) },
	} {
		l := listening(t, 1)
		told := make(chan error, 1)
		go func() { told <- l.Published(context.Background()) }()
		if err := end(l); err != nil {
			t.Fatal(err)
		}
		var refused *RefusedError
		if err := <-told; errors.Is(err, net.ErrClosed) == (name == "node") || errors.As(err, &refused) != (name == "node") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One that waits for it when the Listener is just being closed is told so, and takes no stream
// of those that are to be cut off.
func TestPublishedTakesNoStream(t *testing.T) {
	l := listening(t, 1)
	if _, err := l.take("c", 80); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock() // as shut does until all are cut off
	defer l.mu.Unlock()
	close(l.closed)
	for range 64 {
		if err := l.Published(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("%v", err)
		}
	}
	if s := <-l.backlog; s.node.Close() != nil || s.Close() != nil {
		t.Error("it cannot be cut off")
	}
}
