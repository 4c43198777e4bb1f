package relaydouble

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"chive/tor/cell"
)

// Seen counts what a Relay has observed since it started.
type Seen struct {
	Connections     int // TCP connections accepted
	OpenConnections int // of these, not yet closed
	Links           int // link handshakes completed
	Circuits        int // CREATE_FAST or CREATE2 answered
	CreateFast      int // of these, with CREATE_FAST
	OpenCircuits    int // circuits neither end has destroyed
	Extends         int // EXTEND2 answered
	CGOHops         int // hops reached that speak Counter Galois Onion
	Streams         int // BEGIN and BEGIN_DIR
	OpenStreams     int // handlers running
	Targets         []string
	DataIn          int64 // DATA cells from the client
	DataOut         int64 // DATA cells to the client
	BytesIn         int64 // bytes of DATA from the client
	BytesOut        int64 // bytes of DATA to the client
	CircuitSendmes  int   // circuit-level SENDMEs from the client, authenticated
	StreamSendmes   int
	Xoffs, Xons     int
	RelayEarly      int
	Padding         int // PADDING, VPADDING, DROP and padding negotiation
	Destroys        []cell.DestroyReason
	Ends            []cell.EndReason
	Faults          map[string]int // times each named fault fired
	Violations      []error
}

// seen is a Seen that many goroutines write and tests wait on.
type seen struct {
	mu      sync.Mutex
	state   Seen
	changed chan struct{} // closed and replaced on each change that someone awaits
	waiters int

	dataIn, dataOut, bytesIn, bytesOut atomic.Int64
	waiting                            atomic.Bool
}

func (s *seen) init() {
	s.changed = make(chan struct{})
	s.state.Faults = map[string]int{}
}

func (s *seen) update(f func(*Seen)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
	s.wake()
}

// wake tells the waiters; s.mu is held.
func (s *seen) wake() {
	if s.waiters > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *seen) violation(err error) {
	s.update(func(s *Seen) { s.Violations = append(s.Violations, err) })
}

// data counts cells that pass too often for a lock.
func (s *seen) data(cells, bytes *atomic.Int64, n, size int) {
	cells.Add(int64(n))
	bytes.Add(int64(size))
	if s.waiting.Load() {
		s.mu.Lock()
		s.wake()
		s.mu.Unlock()
	}
}

func (s *seen) snapshot() Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy()
}

func (s *seen) copy() Seen {
	c := s.state
	c.DataIn, c.DataOut = s.dataIn.Load(), s.dataOut.Load()
	c.BytesIn, c.BytesOut = s.bytesIn.Load(), s.bytesOut.Load()
	c.Targets = slices.Clone(c.Targets)
	c.Destroys = slices.Clone(c.Destroys)
	c.Ends = slices.Clone(c.Ends)
	c.Violations = slices.Clone(c.Violations)
	c.Faults = maps.Clone(c.Faults)
	return c
}

func (s *seen) await(ctx context.Context, cond func(Seen) bool) (Seen, error) {
	s.mu.Lock()
	s.waiters++
	s.waiting.Store(true)
	defer func() {
		s.waiters--
		s.waiting.Store(s.waiters > 0)
		s.mu.Unlock()
	}()
	for {
		now := s.copy()
		if cond(now) {
			return now, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return s.copy(), ctx.Err()
		}
	}
}
