package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connections"
	"chive/internal/freeport"
	"chive/messages"
	"chive/messages/chivev1"
)

// set has a running node change as an operator would.
func set(t *testing.T, n *Node, lines ...string) messages.ConfigResult {
	t.Helper()
	p := messages.ConfigProposal{Source: messages.ConfigFromControl}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, " ")
		p.Lines = append(p.Lines, messages.ConfigLine{Name: name, Value: value})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := n.Control().ProposeConfig(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, n *Node, lines ...string) {
	t.Helper()
	if r := set(t, n, lines...); !r.Applied {
		t.Fatalf("%q: %s", lines, r.Reason)
	}
}

func reachable(network, address string) bool {
	c, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func free(t *testing.T) string {
	t.Helper()
	a, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestListenersChangeWhileTheNodeRuns(t *testing.T) {
	opened, closed := make(chan struct{}, 64), make(chan struct{}, 64)
	one, two := free(t), free(t)
	n := runs(t, one, func(e *chivev1.Envelope) {
		switch {
		case e.GetListenerOpened() != nil:
			opened <- struct{}{}
		case e.GetListenerClosed() != nil:
			closed <- struct{}{}
		}
	})
	<-opened
	must(t, n, "SocksPort "+one, "SocksPort "+two)
	<-opened
	if !reachable("tcp", one) || !reachable("tcp", two) {
		t.Fatal("not both are open")
	}
	// Other flags at the same place: nothing opens or closes.
	must(t, n, "SocksPort "+one+" IsolateDestPort", "SocksPort "+two)
	must(t, n, "SocksPort "+two)
	<-closed
	if len(opened) > 0 || len(closed) > 0 || reachable("tcp", one) || !reachable("tcp", two) {
		t.Fatalf("%d more opened, %d more closed", len(opened), len(closed))
	}
	if c := n.Config(); len(c.SocksPorts) != 1 || c.SocksPorts[0].String() != two {
		t.Fatalf("%v", c.SocksPorts)
	}
	must(t, n, "SocksPort 0")
	<-closed
	if reachable("tcp", two) {
		t.Fatal("SocksPort 0 left a listener open")
	}
	// Listeners that were closed for good stay closed, whatever is asked.
	n.StopListening()
	must(t, n, "SocksPort "+one)
	if reachable("tcp", one) {
		t.Fatal("a listener opened behind StopListening")
	}
}

// The program that made the node does its own logging: that cannot change. And a
// change that fails for one part leaves the others alone.
func TestChangeThatOnePartCannotFollow(t *testing.T) {
	one, two := free(t), free(t)
	n := runs(t, one, nil)
	<-n.Listening()
	before := n.Config()
	if r := set(t, n, "SocksPort "+two, "LogLevel debug"); r.Applied || !strings.HasPrefix(r.Reason, "Log: LogLevel cannot change") {
		t.Fatalf("%+v", r)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if r := set(t, n, "SocksPort "+two, "SocksPort "+taken.Addr().String()); r.Applied || !strings.HasPrefix(r.Reason, "listeners: SocksPort "+taken.Addr().String()+": ") || !strings.Contains(r.Reason, "address already in use") {
		t.Fatalf("%+v", r)
	}
	if n.Config() != before || !reachable("tcp", one) || reachable("tcp", two) {
		t.Fatal("something has changed")
	}
}

func TestUnixSocketsFlags(t *testing.T) {
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	n := runs(t, "unix:"+path, nil)
	<-n.Listening()
	mode := func() string {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(info.Mode().Perm())
	}
	if mode() != "-rw-------" {
		t.Fatal(mode())
	}
	must(t, n, "SocksPort unix:"+path+" WorldWritable")
	if mode() != "-rw-rw-rw-" || !reachable("unix", path) {
		t.Fatal(mode())
	}
}

// The node's actor fails after a change: what comes up again is what was changed
// to, and changes go on.
func TestChangesOutliveTheNodeActor(t *testing.T) {
	failed := make(chan struct{}, 64)
	one, two, three := free(t), free(t), free(t)
	n := runs(t, one, func(e *chivev1.Envelope) {
		if e.GetActorFailed() != nil {
			failed <- struct{}{}
		}
	})
	<-n.Listening()
	must(t, n, "SocksPort "+two, "MaxCircuitDirtiness 77 seconds")
	<-n.Listening()
	n.system.Root.Send(actor.NewPID(n.root.Address, n.root.Id+"/node.1"), &connections.Closed{}) // nobody asked: it breaks
	<-failed
	if a := <-n.Listening(); a.String() != two {
		t.Fatalf("%v came up again, want %s", a, two)
	}
	must(t, n, "SocksPort "+three)
	if a := <-n.Listening(); a.String() != three || n.Config().MaxCircuitDirtiness != 77*time.Second {
		t.Fatalf("%v", a)
	}
}

// A node stops while changes come, and says so to who asks.
func TestStopWhileChanging(t *testing.T) {
	n := runs(t, "127.0.0.1:auto", nil)
	<-n.Listening()
	asked := make(chan struct{})
	done := make(chan error)
	go func() {
		for i := 0; ; i++ {
			_, err := n.Control().ProposeConfig(context.Background(), messages.ConfigProposal{
				Source: messages.ConfigFromControl, Lines: []messages.ConfigLine{{Name: "SocksTimeout", Value: fmt.Sprint(10 + i%50)}},
			})
			if i == 10 {
				close(asked)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	<-asked
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !strings.Contains(err.Error(), "not known") && !strings.Contains(err.Error(), "stopped") {
		t.Fatal(err)
	}
}
