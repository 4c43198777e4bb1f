package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/connections"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	torcircuit "chive/tor/circuit"
)

func TestMain(m *testing.M) { leak.Main(m) }

// runs starts a node whose only directory is a port where nobody listens.
func runs(t *testing.T, socks string, see func(*chivev1.Envelope)) *Node {
	t.Helper()
	return runsWithLog(t, slog.DiscardHandler, socks, see)
}

// awayFromAll is the configuration of a node in dir whose only authority is away, with more lines.
func awayFromAll(t *testing.T, dir, more string) *config.Config {
	t.Helper()
	torrc := filepath.Join(dir, "torrc")
	text := "DataDirectory " + dir + "/data\n" + more + "\n" +
		"DirAuthority dead orport=1 v3ident=0123456789012345678901234567890123456789 127.0.0.1:1 0123456789012345678901234567890123456789\n"
	if err := os.WriteFile(torrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(torrc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func runsWithLog(t *testing.T, log slog.Handler, socks string, see func(*chivev1.Envelope)) *Node {
	t.Helper()
	cfg := awayFromAll(t, t.TempDir(), "SocksPort "+socks)
	n, err := Start(t.Context(), Options{Config: cfg, Version: "test", Log: slog.New(log), OnEvent: see})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

// failures passes on the errors of a log.
type failures struct{ notices }

func (h failures) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (h failures) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h failures) WithGroup(string) slog.Handler                { return h }

// A port that is taken: the operator is told, and the listener is opened when
// the port is free. It is never given up.
func TestListenerIsOpenedWhenItsPortIsFree(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	backoffs := make(chan *chivev1.SupervisorStateChanged, 64)
	log := failures{notices{make(chan string, 256)}}
	n := runsWithLog(t, log, other.Addr().String(), func(e *chivev1.Envelope) {
		if s := e.GetSupervisorStateChanged(); s != nil && s.GetChild() == "listener/socks0" {
			backoffs <- s
		}
	})
	if err := <-n.Failed(); !strings.Contains(err.Error(), "SocksPort") {
		t.Fatalf("told %v", err)
	}
	if text := log.noted(t, "a part of the node failed"); !strings.Contains(text, "part=SocksPort ") {
		t.Errorf("logged %q", text)
	}
	first, second := <-backoffs, <-backoffs
	if first.GetState() != "backoff" || first.GetAttempt() != 1 || second.GetAttempt() != 2 {
		t.Fatalf("%v, %v", first, second)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if a := <-n.Listening(); a.String() != other.Addr().String() {
		t.Fatalf("opened %v", a)
	}
}

func TestClosedListenersStayClosed(t *testing.T) {
	closed := make(chan struct{}, 8)
	n := runs(t, "127.0.0.1:auto", func(e *chivev1.Envelope) {
		if e.GetListenerClosed() != nil {
			closed <- struct{}{}
		}
	})
	a := <-n.Listening()
	n.StopListening()
	<-closed
	if c, err := net.Dial("tcp", a.String()); err == nil {
		_ = c.Close()
		t.Fatal("somebody still listens")
	}
}

// A defect in the node's own actor: everything below it ends, and is there
// again a moment later.
func TestNodeActorThatFailsIsStartedAnew(t *testing.T) {
	failed, starting := make(chan *chivev1.ActorFailed, 64), make(chan struct{}, 64)
	var opened atomic.Int64
	n := runs(t, "127.0.0.1:auto", func(e *chivev1.Envelope) {
		switch {
		case e.GetActorFailed() != nil:
			failed <- e.GetActorFailed()
		case e.GetBootstrapAdvanced().GetPhase() == chivev1.BootstrapPhase_BOOTSTRAP_PHASE_STARTING:
			starting <- struct{}{}
		case e.GetListenerOpened() != nil:
			opened.Add(1)
		}
	})
	<-n.Listening()
	for attempt := 1; attempt <= 2; attempt++ {
		root := actor.NewPID(n.root.Address, fmt.Sprintf("%s/node.%d", n.root.Id, 2*attempt-1))
		n.system.Root.Send(root, &connections.Closed{}) // nobody asked: it breaks what relies on a question
		if f := <-failed; !strings.HasPrefix(f.GetReason(), "node: ") || !f.GetRestarted() {
			t.Fatalf("%v", f)
		}
		a := <-n.Listening()
		c, err := net.Dial("tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	// Closed listeners stay closed even then.
	n.StopListening()
	n.system.Root.Send(actor.NewPID(n.root.Address, n.root.Id+"/node.5"), &connections.Closed{})
	<-failed
	for range 4 { // the directory's four beginnings
		<-starting
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := opened.Load(); got != 3 {
		t.Fatalf("%d listeners were opened, want 3", got)
	}
}

// Two requests for one target are the same input; the key does not tell it.
func TestRequestsAreKnownByTheirTarget(t *testing.T) {
	r, err := newRoot(&Node{recorder: messages.NewRecorder("n", time.Now, 8)})
	if err != nil {
		t.Fatal(err)
	}
	key := func(m any) string {
		kind, key := r.input(m)
		if (kind == "") != (key == "") {
			t.Fatalf("%q %q", kind, key)
		}
		return key
	}
	one := key(&circuits.Request{Spec: &stream.Spec{ID: "1", Target: "target.test:80"}})
	again := key(&circuits.Request{Spec: &stream.Spec{ID: "2", Target: "target.test:80"}})
	other := key(&circuits.Request{Spec: &stream.Spec{Target: "other.test:80"}})
	if one == "" || one != again || one == other || strings.Contains(one, "target") {
		t.Fatalf("keys %q, %q, %q", one, again, other)
	}
	if k := key(&circuits.Request{Spec: &stream.Spec{}, Directory: &torcircuit.Hop{}}); k != "" {
		t.Fatalf("a directory request has the key %q", k)
	}
	if k := key("anything else"); k != "" {
		t.Fatalf("key %q", k)
	}
}

// A node that ends waits for its streams though a part fails that has none; for a part that
// was to end them, and failed, it does not wait.
func TestEndWithAPartThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := kernel.NewSystem(nil)
		defer kernel.Shutdown(system)
		for child, waits := range map[string]bool{"hosting": true, "directory": true, "circuits": false, "connections": false} {
			r, err := newRoot(&Node{o: Options{Log: slog.New(slog.DiscardHandler)}, recorder: messages.NewRecorder("n", time.Now, 8)})
			if err != nil {
				t.Fatal(err)
			}
			pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
				if m, ok := ctx.Message().(*shutdown); ok {
					r.down = m
					r.changed(supervisor.StateChanged{Child: child, State: supervisor.StateGone, Err: errors.New("panic")})
				}
			}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // virtual
			_, err = kernel.Ask(ctx, system, pid, func(reply kernel.Reply[struct{}]) any { return &shutdown{reply} })
			cancel()
			if errors.Is(err, context.DeadlineExceeded) != waits {
				t.Errorf("%s: %v", child, err)
			}
			if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
	})
}
