package faults

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/actors/block"
	"chive/internal/relaydouble"
	"chive/tor/cell"
)

// An exit says how much its target takes: an upload goes on at that rate, and at that
// rate only. The circuit's clock stands still but for what the test lets pass.
func TestUploadKeepsToTheRateOfXON(t *testing.T) {
	const (
		before = 300     // cells, then XON
		rate   = 100     // 1000 bytes a second
		step   = 100     // milliseconds: a burst
		burst  = 10_000  // bytes
		flying = 124 + 1 // cells: the window, which stays what it is under such a clock
	)
	var passed atomic.Int64
	epoch := time.Now()
	s := upload
	s.now = func() time.Time { return epoch.Add(time.Duration(passed.Load())) }
	relay := relaydouble.Start(t, relaydouble.Options{
		Handler: s.handler, SendmeIncrement: 31,
		Script: at(relaydouble.AtDataIn, before, relaydouble.XonStream(rate)),
	})
	r := s.start(t, relay)
	var wg sync.WaitGroup
	wg.Go(func() { s.app(r.app) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := range int64(20) {
		earned := (n + 1) * burst
		seen, err := relay.Await(ctx, func(s relaydouble.Seen) bool { return s.DataIn >= before+earned/cell.MaxRelayData })
		if err != nil {
			t.Fatalf("after %d ms of the rate: %d cells of %d, %v", n*step, seen.DataIn, before+earned/cell.MaxRelayData, err)
		}
		if most := before + flying + earned/cell.MaxRelayData + 2; seen.DataIn > most {
			t.Fatalf("after %d ms of the rate: %d cells, at most %d may come", n*step, seen.DataIn, most)
		}
		passed.Add(int64(step * time.Millisecond))
	}
	relay.CloseConnections()
	select {
	case <-r.gone:
	case <-ctx.Done():
		t.Error("the circuit lives")
	}
	r.stop(t, ctx)
	wg.Wait()
}

// More than a connection takes at once, and less than what earns a SENDME: the rest must not
// wait for one.
func TestBlockOfMoreCellsThanGoAtOnce(t *testing.T) {
	begun := make(chan cell.StreamID, 1)
	relay := relaydouble.Start(t, relaydouble.Options{
		Handler: relaydouble.Sink, SendmeIncrement: block.CellsPerBlock + 1,
		Script: at(relaydouble.AtConnected, 1, func(m *relaydouble.Moment) bool {
			begun <- m.Stream.ID()
			return true
		}),
	})
	r := idle.start(t, relay)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, r.app) })
	b := block.Get(block.DataOut)
	const size = block.CellsPerBlock*cell.MaxRelayData + 1 // in one cell more
	b.Bytes, b.Of, b.Stream = b.Buf[:size], r.spec, <-begun
	system.Root.Send(r.circ.Load(), b)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if seen, err := relay.Await(ctx, func(s relaydouble.Seen) bool { return s.BytesIn == size }); err != nil {
		t.Errorf("%d bytes came of %d", seen.BytesIn, size)
	}
	relay.CloseConnections()
	r.stop(t, ctx)
	wg.Wait()
}

// The clock goes on while the circuit asks it: a stream that may not send when it is its
// turn, and may when the timer is to be set, is not forgotten.
func TestPacedUploadIsNotForgotten(t *testing.T) {
	const (
		before = 300 // cells, then XON
		rate   = 100 // 1000 bytes a second
		tick   = 3 * time.Millisecond
		cells  = 2000
	)
	var asked atomic.Int64
	epoch := time.Now()
	s := upload
	s.now = func() time.Time { return epoch.Add(time.Duration(asked.Add(1)) * tick) }
	relay := relaydouble.Start(t, relaydouble.Options{
		Handler: s.handler, SendmeIncrement: 31,
		Script: at(relaydouble.AtDataIn, before, relaydouble.XonStream(rate)),
	})
	r := s.start(t, relay)
	var wg sync.WaitGroup
	wg.Go(func() { s.app(r.app) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if seen, err := relay.Await(ctx, func(s relaydouble.Seen) bool { return s.DataIn >= before+cells }); err != nil {
		t.Errorf("%d cells of %d came, %v", seen.DataIn, before+cells, err)
	}
	relay.CloseConnections()
	select {
	case <-r.gone:
	case <-ctx.Done():
		t.Error("the circuit lives")
	}
	r.stop(t, ctx)
	wg.Wait()
}
