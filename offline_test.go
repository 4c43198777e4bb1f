package chive

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/invariant"
	"chive/internal/leak"
	"chive/messages/chivev1"
)

func TestMain(m *testing.M) { leak.Main(m) }

// offline is a client of a network whose only authority is away: nothing listens on the
// first port of loopback.
func offline(t *testing.T, opts ...Option) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var mu sync.Mutex
	var log []*chivev1.Envelope
	c, err := New(t.Context(), append([]Option{
		WithDataDirectory(dir),
		WithLines("DirAuthority dead orport=1 v3ident=0123456789012345678901234567890123456789 127.0.0.1:1 0123456789012345678901234567890123456789"),
		WithLogger(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))),
		WithObserver(func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, e.Envelope)
		}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, v := range invariant.Check(log) {
			t.Errorf("invariant: %v", v)
		}
	})
	return c
}

// What never reaches a circuit is refused at once and by its kind, also before there is a
// network.
func TestRefusedHere(t *testing.T) {
	c := offline(t)
	for address, want := range map[string]error{
		"127.0.0.1:80": ErrNotAllowed, "[::1]:80": ErrNotAllowed, "10.0.0.1:80": ErrNotAllowed, "[::ffff:192.168.0.1]:80": ErrNotAllowed,
		"localhost:80": ErrNotAllowed, "printer.local:80": ErrNotAllowed, "a.exit:80": ErrNotAllowed, "127.1:80": ErrNotAllowed, "a b:80": ErrNotAllowed,
	} {
		for _, v := range []*View{c.shared(), c.Isolated("a"), c.Isolated("")} {
			conn, err := v.DialContext(t.Context(), "tcp", address)
			var e *Error
			var op *net.OpError
			if !errors.Is(err, want) || !errors.As(err, &e) || e.Reason != "refused" || !errors.As(err, &op) || op.Timeout() || conn != nil {
				t.Errorf("%s: %v, %v", address, conn, err)
			}
			if e != nil && strings.Contains(e.Error(), strings.Split(address, ":")[0]) && address[0] != '[' {
				t.Errorf("the error names its target: %v", e)
			}
		}
	}
	for _, address := range []string{"a", "a:", ":80", "a:0", "a:65536", "a:http", "[::1:80", ""} {
		if conn, err := c.DialContext(t.Context(), "tcp", address); err == nil {
			t.Errorf("%q: %v", address, conn)
		}
	}
	var unknown net.UnknownNetworkError
	if _, err := c.Dial("udp", "a.test:80"); !errors.As(err, &unknown) {
		t.Errorf("udp: %v", err)
	}
	for network, address := range map[string]string{"tcp4": "[2001:db8::1]:80", "tcp6": "192.0.2.1:80"} {
		if _, err := c.Dial(network, address); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s %s: %v", network, address, err)
		}
	}
	var onion *OnionError
	if _, err := c.Dial("tcp", "aaaa.onion:80"); !errors.As(err, &onion) || onion.Code != OnionBadAddress || errors.Is(err, ErrNotAllowed) {
		t.Errorf("bad onion: %v", err)
	}
	if _, err := c.Resolve(t.Context(), "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("the address of an onion service: %v", err)
	}
	if got, err := c.Resolve(t.Context(), "192.0.2.7"); err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("the address of an address: %v, %v", got, err)
	}
	if _, err := c.ResolveAddr(t.Context(), netip.MustParseAddr("127.0.0.1")); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("the name of an internal address: %v", err)
	}
	if _, err := c.ResolveAddr(t.Context(), netip.Addr{}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("the name of no address: %v", err)
	}
}

// Requests before there is a network wait, and are withdrawn when their context ends:
// nothing waits on in the node.
func TestWithdrawn(t *testing.T) {
	c := offline(t)
	for _, address := range []string{"a.test:80", "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:80"} {
		ctx, cancel := context.WithCancel(t.Context())
		events := c.Events(ctx, Lifecycle)
		told := make(chan error, 1)
		asking, withdraw := context.WithCancel(t.Context())
		t.Cleanup(withdraw)
		go func() {
			_, err := c.DialContext(asking, "tcp", address)
			told <- err
		}()
		var id string
		for e := range events {
			if r := e.GetStreamRequested(); r != nil && r.GetPurpose() != chivev1.Purpose_PURPOSE_DIRECTORY {
				id = e.GetActorId()
				if r.GetTarget() != "" {
					t.Errorf("a lifecycle event has the target: %v", r)
				}
				withdraw()
			}
			if end := e.GetStreamEnded(); end != nil && e.GetActorId() == id {
				if end.GetOutcome() != chivev1.Outcome_OUTCOME_CANCELLED {
					t.Errorf("%v", e)
				}
				break
			}
		}
		if err := <-told; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNotReady) {
			t.Errorf("%s: %v", address, err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := c.DialContext(ctx, "tcp", "a.test:80")
	var ne net.Error
	if !errors.Is(err, ErrNotReady) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("deadline: %v", err)
	}
	if err := c.Ready(ctx); !errors.Is(err, ErrNotReady) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready: %v", err)
	}
}

// Rates of requests hold for the program as they do for listeners.
func TestRequestRate(t *testing.T) {
	c := offline(t, WithLines("SocksRequestRate 1", "SocksRequestBurst 2"))
	busy := 0
	for range 20 { // each answered here
		if _, err := c.Resolve(t.Context(), "192.0.2.7"); errors.Is(err, ErrBusy) {
			busy++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if busy == 0 {
		t.Error("20 requests at once, of 2")
	}
}

// A client that drains or is closed says so, to those who wait as well.
func TestClosed(t *testing.T) {
	c := offline(t)
	seen := c.Events(t.Context(), Lifecycle)
	told := make(chan error, 1)
	go func() {
		_, err := c.Dial("tcp", "a.test:80")
		told <- err
	}()
	for e := range seen {
		if r := e.GetStreamRequested(); r != nil && r.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL {
			break
		}
	}
	for range seen {
		t.Fatal("the same events twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained of what waits: %v", err)
	}
	if _, err := c.Dial("tcp", "b.test:80"); !errors.Is(err, ErrClosed) {
		t.Errorf("dialled while draining: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, ErrClosed) {
		t.Errorf("who waited: %v", err)
	}
	if _, err := c.Dial("tcp", "c.test:80"); !errors.Is(err, ErrClosed) {
		t.Errorf("dialled when closed: %v", err)
	}
	if err := c.Ready(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("ready when closed: %v", err)
	}
	if _, err := c.Isolated("a").Renew(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("renewed when closed: %v", err)
	}
	for e := range c.Events(t.Context(), Lifecycle) {
		t.Errorf("after the end: %v", e)
	}
}

// Who reads too slowly is told how much is missing, and the node does not wait.
func TestEventsDropped(t *testing.T) {
	c := offline(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := c.Events(ctx, Forensic)
	for range eventBuffer { // two events each
		if _, err := c.Resolve(ctx, "192.0.2.7"); err != nil {
			t.Fatal(err)
		}
	}
	n, targets := 0, 0
	var sequence uint64
	for e := range events {
		n++
		if sequence != 0 && e.GetSequence() != sequence+1+e.Dropped {
			t.Fatalf("event %d follows %d, and %d are said to be missing", e.GetSequence(), sequence, e.Dropped)
		}
		sequence = e.GetSequence()
		if e.GetStreamRequested().GetTarget() == "192.0.2.7" {
			targets++
		}
		switch {
		case n == eventBuffer: // room again
			if _, err := c.Resolve(ctx, "192.0.2.7"); err != nil {
				t.Fatal(err)
			}
		case e.Dropped > 0:
			cancel()
		}
	}
	if n <= eventBuffer || targets == 0 {
		t.Errorf("%d events, %d with their target", n, targets)
	}
	for e := range c.Events(ctx, Aggregate) {
		t.Errorf("its context is over: %v", e)
	}
}

func TestConfiguration(t *testing.T) {
	if _, err := New(t.Context(), WithDataDirectory(t.TempDir()), WithLines("NoSuchOption 1", "SocksTimeout x")); err == nil ||
		!strings.Contains(err.Error(), "NoSuchOption") || !strings.Contains(err.Error(), "SocksTimeout") {
		t.Errorf("%v", err)
	}
	if _, err := New(t.Context(), WithLines("# a comment")); err == nil {
		t.Error("a comment is an option")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(over, WithDataDirectory(t.TempDir())); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	c := offline(t)
	if ports := c.node.Config().Listeners(); len(ports) != 0 {
		t.Errorf("listens without being asked: %v", ports)
	}
	if _, err := New(t.Context(), WithDataDirectory(c.node.Config().DataDirectory)); !errors.Is(err, ErrInUse) {
		t.Errorf("two nodes in one directory: %v", err)
	}
	one, two := t.TempDir()+"/keys", t.TempDir()+"/keys"
	asked := offline(t, WithLines("SocksPort 127.0.0.1:auto", "SocksPort 127.0.0.1:auto IsolateDestPort", "HiddenServiceDir "+one,
		"HiddenServicePort 80 unix:"+one+"/socket", "HiddenServiceDir "+two, "HiddenServicePort 81 127.0.0.1:8081", "HiddenServicePort 82"))
	if ports := asked.node.Config().Listeners(); len(ports) != 2 {
		t.Errorf("listens at %v", ports)
	}
	if s := asked.node.Config().OnionServices; len(s) != 2 || len(s[0].Ports) != 1 || len(s[1].Ports) != 2 || s[0].Ports[0].Path == "" {
		t.Errorf("hosts %+v", s)
	}
}

// Every outcome has a kind or a code, and every code comes from an outcome.
func TestErrorOfEveryOutcome(t *testing.T) {
	codes := map[OnionCode]bool{}
	for o := range chivev1.Outcome_name {
		e := errorOf(chivev1.Outcome(o))
		var onion *OnionError
		switch {
		case errors.As(e, &onion):
			codes[onion.Code] = true
			if e.Timeout() != (onion.Code == OnionTimeout) || e.kind != nil {
				t.Errorf("%v: %v", onion, e)
			}
		case e.kind == nil:
			t.Errorf("%v has no kind", o)
		}
		if e.Error() == "" || e.Timeout() && !e.Temporary() {
			t.Errorf("%v: %v", o, e)
		}
	}
	if len(codes) != 8 || len(onionTexts) != 8 {
		t.Errorf("codes %v", codes)
	}
}
