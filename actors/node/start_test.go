package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chive/actors/block"
	"chive/internal/freeport"
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

// Who ends the node for a listener that cannot be opened is told why; the log does not tell of
// another try that is not to be.
func TestAnUnheardNodeTellsOfNoOtherTry(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	told, backoffs := make(chan string, 256), make(chan struct{}, 64)
	cfg := awayFromAll(t, t.TempDir(), "SocksPort "+taken.Addr().String())
	n, err := Start(t.Context(), Options{
		Config: cfg, Version: "test", Log: slog.New(failures{notices{told}}), EndsUnheard: true,
		OnEvent: func(e *chivev1.Envelope) {
			if s := e.GetSupervisorStateChanged(); s.GetChild() == "listener/socks0" {
				backoffs <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-n.Failed(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("told %v", err)
	}
	<-backoffs
	<-backoffs // what is logged of the first was
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
	select {
	case text := <-told:
		t.Errorf("logged %q", text)
	default:
	}
}

// A listener that is opened later, as by a node that takes part again, ends nothing: it is tried on.
func TestAListenerOfLaterEndsNothing(t *testing.T) {
	closed, backoff := make(chan struct{}, 8), make(chan struct{}, 64)
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	n := runs(t, address, func(e *chivev1.Envelope) {
		switch s := e.GetSupervisorStateChanged(); {
		case e.GetListenerClosed() != nil:
			closed <- struct{}{}
		case s.GetChild() == "listener/socks1" && s.GetState() == "backoff":
			backoff <- struct{}{}
		}
	})
	<-n.Listening()
	n.StopListening()
	<-closed
	other, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	n.resumeListening()
	<-backoff
	<-backoff // the first failure was told, or not
	select {
	case err := <-n.Failed():
		t.Errorf("told %v", err)
	default:
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if a := <-n.Listening(); a.String() != address {
		t.Errorf("opened %v", a)
	}
}
