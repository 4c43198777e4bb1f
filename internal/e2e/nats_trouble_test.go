package e2e

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/messages"
	"chive/messages/chivev1"
)

// wire stands between nodes and a NATS server and does to their connections what bad
// networks do.
type wire struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu    sync.Mutex // protects the fields below
	mode  string     // "" passes on
	conns map[net.Conn]struct{}
	wake  chan struct{} // closed when the mode changes
}

// Modes of a wire.
const (
	passing = ""
	silent  = "partitioned" // nothing passes, nothing is closed
	slow    = "slow"        // some bytes a second towards the server
)

func startWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target, conns: map[net.Conn]struct{}{}, wake: make(chan struct{})}
	w.wg.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		w.mu.Lock()
		w.conns[c], w.conns[up] = struct{}{}, struct{}{}
		w.mu.Unlock()
		w.wg.Go(func() { w.pipe(up, c, true) })
		w.wg.Go(func() { w.pipe(c, up, false) })
	}
}

func (w *wire) pipe(to, from net.Conn, toServer bool) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil || !w.pass(to, buf[:n], toServer) {
			return
		}
	}
}

// pass writes as the mode says, in small pieces.
func (w *wire) pass(to net.Conn, b []byte, toServer bool) bool {
	for len(b) > 0 {
		w.mu.Lock()
		mode, wake := w.mode, w.wake
		w.mu.Unlock()
		n := len(b)
		switch {
		case mode == silent:
			<-wake
			continue
		case mode == slow && toServer:
			n = min(n, 64)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-wake:
			}
		}
		if _, err := to.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

func (w *wire) set(mode string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = mode
	close(w.wake)
	w.wake = make(chan struct{})
}

// cut closes all connections; new ones are made.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
		delete(w.conns, c)
	}
}

func (w *wire) close() {
	_ = w.listener.Close()
	w.set(passing)
	w.cut()
	w.wg.Wait()
}

// Whatever happens to NATS, streams go on, the operator of the node is answered, and
// when NATS is back the node takes its configuration from it again.
func TestTrafficWithNatsInTrouble(t *testing.T) {
	n := network(t)
	h := startHubs(t, 1, "256MB")
	w := startWire(t, strings.TrimPrefix(h.urls[0], "nats://"))
	h.urls[0] = "nats://" + w.listener.Addr().String()
	c := start(t, n, h.torrc(0)...)
	h.urls[0] = "nats://" + w.target
	_, client := h.as(t, bridge.RoleConfigure)
	p := &publisher{client, h.signer}
	p.acknowledged(t, p.publish(t, nil, line("MaxCircuitDirtiness", "3 minutes")), 1, messages.FleetApplied)

	for i, trouble := range []struct {
		name  string
		begin func()
	}{
		{slow, func() { w.set(slow) }},
		{silent, func() { w.set(silent) }},
		{"cut", w.cut},
		{"dead", func() { w.set(silent); w.cut() }},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			trouble.begin()
			f := flows(t, n, "n1", c)
			for round := range 5 {
				c.serves(t, n, fmt.Sprintf("%s%d", trouble.name, round))
			}
			if s := c.Status(); s.Bootstrap != 100 {
				t.Errorf("%+v", s)
			}
			f.end()
			value := fmt.Sprintf("%d minutes", 10+i)
			number := p.publish(t, nil, line("MaxCircuitDirtiness", value))
			w.set(passing)
			p.acknowledged(t, number, 1, messages.FleetApplied)
			if got := c.setting(t, "MaxCircuitDirtiness"); got != value {
				t.Errorf("%s in force, want %s", got, value)
			}
		})
	}
	failed := c.count(func(e *chivev1.Envelope) bool {
		end := e.GetStreamEnded()
		return end != nil && end.GetOutcome() != chivev1.Outcome_OUTCOME_OK && end.GetOutcome() != chivev1.Outcome_OUTCOME_CANCELLED
	})
	if failed > 0 {
		t.Errorf("%d streams failed", failed)
	}
}

// A server that can store nothing is as good as none; when it can, the node is there.
func TestTrafficWithNatsFull(t *testing.T) {
	n := network(t)
	h := startHubs(t, 1, "1KB")
	c := start(t, n, h.torrc(0)...)
	f := flows(t, n, "n1", c)
	defer f.end()
	_, client := h.as(t, bridge.RoleConfigure)
	p := &publisher{client, h.signer}
	eventually(t, "the full server", func() error {
		_, err := client.Acks(t.Context(), 1)
		if errors.Is(err, fleet.ErrNoFleet) {
			return nil
		}
		return fmt.Errorf("acknowledgements: %w", err)
	})
	for round := range 3 {
		c.serves(t, n, fmt.Sprintf("full%d", round))
	}
	h.kill(0)
	h.configure(t, 0, "256MB", "")
	h.start(t, 0)
	p.acknowledged(t, p.publish(t, nil, line("MaxCircuitDirtiness", "3 minutes")), 1, messages.FleetApplied)
}
