package relaydouble

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"chive/internal/safego"
)

// Relay is a running test relay with one or more hops.
type Relay struct {
	opts   Options
	hops   []*Hop
	script *script
	seen   seen

	mu     sync.Mutex
	conns  map[*Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// Start runs a relay until the test ends. It fails the test when the relay cannot
// listen.
func Start(t TB, o Options) *Relay {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatalf("relay double: %v", err)
	}
	t.Cleanup(r.Close)
	return r
}

// New runs a relay until Close.
func New(o Options) (*Relay, error) {
	if o.Hops == 0 {
		o.Hops = 3
	}
	if o.Hops < 0 || o.Hops > 255 {
		return nil, fmt.Errorf("%d hops, want 1 to 255", o.Hops)
	}
	if o.Handler == nil {
		o.Handler = Echo
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Versions == nil {
		o.Versions = []uint16{4, 5}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.SendmeIncrement < 0 || o.SendmeIncrement > 255 {
		return nil, fmt.Errorf("%d cells a SENDME, want 0 to 255", o.SendmeIncrement)
	}
	if o.CircWindow == 0 {
		o.CircWindow = circWindow
	}
	r := &Relay{opts: o, script: newScript(o.Script), conns: map[*Conn]struct{}{}}
	r.seen.init()
	for i := range o.Hops {
		h, err := newHop(r, i)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("hop %d: %w", i, err)
		}
		r.hops = append(r.hops, h)
	}
	for _, h := range r.hops {
		r.spawn("accept", func() { r.accept(h) })
	}
	return r, nil
}

// Hops returns the hops; a client may connect to any of them.
func (r *Relay) Hops() []*Hop { return r.hops }

// Close ends all connections and waits for every goroutine of the relay, handlers
// included.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		c.close(net.ErrClosed)
	}
	r.mu.Unlock()
	for _, h := range r.hops {
		_ = h.listener.Close()
	}
	r.wg.Wait()
}

// spawn starts a goroutine that Close waits for. A panic in it is a violation: the
// test that looks at Violations sees it.
func (r *Relay) spawn(name string, f func()) {
	r.wg.Add(1)
	safego.Go("relaydouble "+name, func() {
		defer r.wg.Done()
		if p := safego.Call(name, f); p != nil {
			r.seen.violation(p)
		}
	}, nil)
}

func (r *Relay) accept(h *Hop) {
	for {
		raw, err := h.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.seen.violation(fmt.Errorf("accept: %w", err))
			}
			return
		}
		c := newConn(r, h, raw)
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			_ = raw.Close()
			return
		}
		r.conns[c] = struct{}{}
		r.mu.Unlock()
		r.seen.update(func(s *Seen) { s.Connections++; s.OpenConnections++ })
		r.spawn("connection", c.serve)
	}
}

func (r *Relay) forget(c *Conn) {
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	r.seen.update(func(s *Seen) { s.OpenConnections-- })
}

// CloseConnections closes every open connection without a word, as a relay that
// crashed.
func (r *Relay) CloseConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.close(errScripted)
	}
}

// Seen returns what the relay has observed so far.
func (r *Relay) Seen() Seen { return r.seen.snapshot() }

// Await blocks until what the relay has observed satisfies cond, and returns it; or
// until ctx ends.
func (r *Relay) Await(ctx context.Context, cond func(Seen) bool) (Seen, error) {
	return r.seen.await(ctx, cond)
}

// Violations returns what the client did against the specification, and panics of
// handlers. A scripted fault is the relay's own and not in here.
func (r *Relay) Violations() []error { return r.Seen().Violations }
