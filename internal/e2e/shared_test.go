package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// shared is the network of the tests that leave it as they found it.
var shared struct {
	once sync.Once
	n    *testnet.Network
	err  error
}

// oneGuard is a network whose clients use one primary guard where the public network has
// them use two: tests take its place, and wait for what it does.
var oneGuard = testnet.Options{Onions: -1, Override: map[string]int32{"guard-n-primary-guards-to-use": 1, "guard-n-primary-dir-guards-to-use": 1}}

// network is the shared network; the first who asks starts it.
func network(t testing.TB) *testnet.Network {
	t.Helper()
	shared.once.Do(func() { shared.n, shared.err = testnet.Start(context.Background(), oneGuard) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			shared.n.DumpLogs(&b, 10)
			t.Log(b.String())
		}
	})
	return shared.n
}

// suite is all tests, and the end of the shared network.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	if shared.n != nil {
		if err := shared.n.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}

// ending is how an event says that something ended or was refused, such as
// "circuit-failed timeout"; "" for other events.
func ending(e *chivev1.Envelope) string {
	var o interface{ GetOutcome() chivev1.Outcome }
	switch ev := e.GetEvent().(type) {
	case *chivev1.Envelope_ConnectionFailed:
		o = ev.ConnectionFailed
	case *chivev1.Envelope_ConnectionClosed:
		o = ev.ConnectionClosed
	case *chivev1.Envelope_CircuitFailed:
		o = ev.CircuitFailed
	case *chivev1.Envelope_CircuitClosed:
		o = ev.CircuitClosed
	case *chivev1.Envelope_StreamEnded:
		o = ev.StreamEnded
	case *chivev1.Envelope_StreamDetached:
		o = ev.StreamDetached
	case *chivev1.Envelope_DocumentRejected:
		o = ev.DocumentRejected
	case *chivev1.Envelope_GuardUnreachable:
		o = ev.GuardUnreachable
	default:
		return ""
	}
	return messages.Name(e) + " " + messages.OutcomeName(o.GetOutcome())
}

// endings counts the events that end something, by name and outcome.
func (c *client) endings() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for _, e := range c.log {
		if s := ending(e); s != "" {
			out[s]++
		}
	}
	return out
}

// until waits for what the log shall come to say.
func (c *client) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not after %v: %s; endings %v", patience, what, c.endings())
		}
	}
}

// serves: a new request gets what was asked for, unharmed.
func (c *client) serves(t *testing.T, n *testnet.Network, user string) {
	t.Helper()
	const size = 50_000
	sum, got, err := c.get(t.Context(), user, resource(n, size))
	if err != nil || got != size || sum != direct(t, resource(n, size)) {
		t.Errorf("%d bytes of %d, or another content; err %v", got, size, err)
	}
}
