package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"chive/config/logging"
	"chive/internal/diary"
	"chive/internal/testnet"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// The whole network goes away and comes back: breakers open and close, and
// requests are served again without anybody's help.
func TestOutageOfTheWholeNetwork(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	logged := &diary.Log{}
	c, err := launch(t, t.TempDir(), slog.NewTextHandler(logged, &slog.HandlerOptions{Level: logging.LevelNotice}),
		append(n.ClientTorrc(), "RelayBreakerFailures 2", "RelayBreakerOpenTime 5 seconds", "SocksTimeout 10 seconds")...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	if s := c.Status(); s.Trouble != nil || s.Summary != ready {
		t.Errorf("before: %q, %+v", s.Summary, s.Trouble)
	}
	for _, x := range n.Nodes() {
		if err := n.Kill(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(what string, so func() bool) {
		t.Helper()
		late := time.After(patience)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for !so() {
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("no %s", what)
			}
		}
	}
	wait("open breaker", func() bool {
		return c.count(func(e *chivev1.Envelope) bool { return e.GetBreakerOpened() != nil }) > 0
	})
	wait("word of it", func() bool {
		s := c.Status()
		return s.Trouble != nil && s.Trouble.What == fold.NoGuard && s.Summary == "no guard answers" &&
			strings.Count(logged.String(), "no guard answers; streams wait") == 1
	})
	c.leaves(t)
	for _, x := range n.Nodes() {
		if err := n.Restart(x.Name); err != nil {
			t.Fatal(err)
		}
	}
	answered := 0
	wait("answered request and closed breaker", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, _, err := c.get(ctx, fmt.Sprintf("back%d", answered), resource(n, 1000))
		if err == nil {
			answered++
		}
		return answered > 0 && c.count(func(e *chivev1.Envelope) bool { return e.GetBreakerClosed() != nil }) > 0
	})
	wait("word that it is over", func() bool {
		s := c.Status()
		return s.Trouble == nil && s.Summary == ready && strings.Contains(logged.String(), "the network answers again")
	})
	if text := logged.String(); strings.Count(text, "no guard answers") != 1 {
		t.Errorf("told more than once:\n%s", text)
	}
}

const ready = "ready: a circuit is open"

// leaves: while nothing can be reached, a request ends when its application closes, before its
// time. One that sent data and then only FIN waits on for its answer, which is a refusal here.
func (c *client) leaves(t *testing.T) {
	t.Helper()
	asks := func(user string) (conn *net.TCPConn, id string) {
		mark := c.seen()
		conn = c.begins(t, user)
		c.until(t, "the request", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, e := range c.log[mark:] {
				if r := e.GetStreamRequested(); r.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL {
					id = e.GetActorId()
				}
			}
			return id != ""
		})
		return conn, id
	}
	ended := func(id string) (out chivev1.Outcome) {
		c.until(t, "the end of the request", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, e := range c.log {
				if e.GetActorId() == id && e.GetStreamEnded() != nil {
					out = e.GetStreamEnded().GetOutcome()
				}
			}
			return out != chivev1.Outcome_OUTCOME_UNSPECIFIED
		})
		return out
	}
	gone, first := asks("gone")
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if out := ended(first); out != chivev1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("a request whose application is gone ends with %v", out)
	}
	half, second := asks("half")
	defer half.Close()
	_, err := half.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	if err := errors.Join(err, half.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	var reply [14]byte
	if _, err := io.ReadFull(half, reply[:]); err != nil || reply[5] == 0 {
		t.Errorf("a half-closed request is told %v, %v", reply, err)
	}
	if out := ended(second); out == chivev1.Outcome_OUTCOME_CANCELLED || out == chivev1.Outcome_OUTCOME_OK {
		t.Errorf("a half-closed request ends with %v", out)
	}
	if s := c.Status(); s.Waiting != 0 {
		t.Errorf("%d wait", s.Waiting)
	}
}

// begins sends a request for a stream and does not wait for what becomes of it.
func (c *client) begins(t *testing.T, user string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", c.socks)
	if err != nil {
		t.Fatal(err)
	}
	request := append([]byte{5, 1, 2, 1, byte(len(user))}, user...)
	request = append(request, 1, 'x', 5, 1, 0, 1, 192, 0, 2, 1, 0, 80)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}
