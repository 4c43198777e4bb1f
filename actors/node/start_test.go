package node

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"chive/actors/block"
	"chive/messages/chivev1"
)

// A start that fails leaves nothing: what the process does later is not told to its observer,
// and the data directory is another's to use.
func TestAStartThatFailsLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	starts := func(more string) (*Node, *atomic.Bool, error) {
		cfg := awayFromAll(t, dir, "SocksPort 0\n"+more)
		told := new(atomic.Bool)
		n, err := Start(t.Context(), Options{Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler), OnEvent: func(e *chivev1.Envelope) {
			if e.GetMemoryPressure() != nil {
				told.Store(true)
			}
		}})
		return n, told, err
	}
	_, told, err := starts("NatsListen " + taken.Addr().String() + "\n")
	if err == nil {
		t.Fatal("started on a port that is in use")
	}
	changes := make(chan block.MemoryChange, 8)
	defer block.WatchMemory(func(c block.MemoryChange) { changes <- c })()
	block.LimitMemory(1)
	b := block.GetLarge(block.DataIn)
	for over := false; !over; {
		over = (<-changes).Over
	}
	b.Free()
	block.LimitMemory(0)
	for over := true; over; {
		over = (<-changes).Over // of the one before all have been told
	}
	if told.Load() {
		t.Error("a node that did not start tells of the memory")
	}
	n, _, err := starts("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
}
