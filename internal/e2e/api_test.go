package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"chive"
	"chive/internal/invariant"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// api is the Go API under test with the whole log of its node.
type api struct {
	*chive.Client
	mu  sync.Mutex
	log []*chivev1.Envelope
}

func startAPI(t *testing.T, n *testnet.Network, lines ...string) *api {
	t.Helper()
	return startAPIWith(t, n, chive.WithLines(lines...))
}

func startAPIWith(t *testing.T, n *testnet.Network, opts ...chive.Option) *api {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := new(api)
	a.Client, err = chive.New(t.Context(), append([]chive.Option{
		chive.WithDataDirectory(dir), chive.WithLines(n.ClientTorrc()...),
		chive.WithLogger(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))),
		chive.WithObserver(func(e chive.Event) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.log = append(a.log, e.Envelope)
		}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, v := range invariant.Check(a.log) {
			t.Errorf("invariant: %v", v)
		}
		if t.Failed() {
			for _, e := range a.log {
				t.Log(messages.Text(e))
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return a
}

// dialler is a Client or a View.
type dialler interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// fetch gets a URL over the API.
func fetch(t *testing.T, d dialler, target string) (sum string, size int64) {
	t.Helper()
	transport := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	h := sha256.New()
	size, err = io.Copy(h, res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil)), size
}

// circuits lists the circuits that carried streams to a target.
func (a *api) circuits(target string) map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	ours, on := map[string]bool{}, map[string]bool{}
	for _, e := range a.log {
		if e.GetStreamRequested().GetTarget() == target {
			ours[e.GetActorId()] = true
		}
		if at := e.GetStreamAttached(); at != nil && ours[e.GetActorId()] {
			on[at.GetCircuitId()] = true
		}
	}
	return on
}

// The Go API over relays of C tor.
func TestAPI(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{})
	// A short build timeout has the waits for services be short.
	a := startAPI(t, n, "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 4 seconds")
	t.Run("download", func(t *testing.T) { apiDownload(t, n, a) })
	t.Run("views", func(t *testing.T) { apiViews(t, n, a) })
	t.Run("half-close and deadlines", func(t *testing.T) { apiConn(t, n, a) })
	t.Run("names", func(t *testing.T) { apiNames(t, n, a) })
	t.Run("NATS", func(t *testing.T) { apiNATS(t, n, a) })
	t.Run("onion service", func(t *testing.T) { apiOnion(t, n, a) })
	t.Run("refusals", func(t *testing.T) { apiRefusals(t, n, a) })
	t.Run("cut off", func(t *testing.T) { apiCutOff(t, n, a) })
	t.Run("drain", func(t *testing.T) { apiDrain(t, n, a) })
}

func apiDownload(t *testing.T, n *testnet.Network, a *api) {
	const size = 5 << 20
	named := strings.Replace(resource(n, size), n.Target().IP.String(), "some.name.test", 1)
	want := direct(t, resource(n, size))
	for _, target := range []string{resource(n, size), named} {
		if sum, got := fetch(t, a, target); sum != want || got != size {
			t.Errorf("%d bytes, hash %s; want %d, %s", got, sum, size, want)
		}
	}
	// The name went to the exit as it is.
	if len(a.circuits(strings.TrimPrefix(strings.Split(named, "/bytes")[0], "http://"))) == 0 {
		t.Error("no stream to the name")
	}
}

// apiViews: the same key shares circuits, others do not, nor does the Client itself; and a
// View that was renewed uses another circuit.
func apiViews(t *testing.T, n *testnet.Network, a *api) {
	port := strings.TrimPrefix(strings.Split(resource(n, 1000), "/bytes")[0], "http://"+n.Target().IP.String())
	on := func(v dialler, host string) map[string]bool {
		fetch(t, v, "http://"+host+port+"/bytes/1000")
		got := a.circuits(host + port)
		if len(got) == 0 {
			t.Errorf("%s: on no circuit", host)
		}
		return got
	}
	share := func(one, two map[string]bool) bool {
		for c := range one {
			if two[c] {
				return true
			}
		}
		return false
	}
	alice, bob := on(a.Isolated("alice"), "alice1.test"), on(a.Isolated("bob"), "bob1.test")
	nobody, empty := on(a, "nobody1.test"), on(a.Isolated(""), "empty1.test")
	for i, one := range []map[string]bool{alice, bob, nobody, empty} {
		for j, two := range []map[string]bool{alice, bob, nobody, empty} {
			if i != j && share(one, two) {
				t.Errorf("views %d and %d share a circuit", i, j)
			}
		}
	}
	if again := on(a.Isolated("alice"), "alice2.test"); !share(again, alice) {
		t.Error("one view, asked twice, has two circuits")
	}
	if renewed, err := a.Isolated("alice").Renew(t.Context()); err != nil || renewed == 0 {
		t.Errorf("%d circuits renewed, err %v", renewed, err)
	}
	if after := on(a.Isolated("alice"), "alice3.test"); share(after, alice) {
		t.Error("a circuit is used that was renewed")
	}
	if again := on(a.Isolated("bob"), "bob2.test"); !share(again, bob) {
		t.Error("to renew one view moved another")
	}
}

func apiConn(t *testing.T, n *testnet.Network, a *api) {
	echo := netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)).String()
	c, err := a.Dial("tcp4", echo)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr().String() != echo || c.RemoteAddr().Network() != "tcp" {
		t.Errorf("remote address %v", c.RemoteAddr())
	}
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var ne net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its deadline: %v", err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("chive grows in clumps. "), 50_000)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		wrote <- errors.Join(err, c.(*chive.Conn).CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-wrote); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("echoed %d of %d bytes, err %v", len(got), len(sent), err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("when closed: %v", err)
	}
}

func apiNames(t *testing.T, n *testnet.Network, a *api) {
	for _, v := range []interface {
		Resolve(context.Context, string) ([]netip.Addr, error)
		ResolveAddr(context.Context, netip.Addr) ([]string, error)
	}{a, a.Isolated("names")} {
		if got, err := v.Resolve(t.Context(), "some.name.test"); err != nil || len(got) != 1 || got[0] != n.Target().IP {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := v.Resolve(t.Context(), "nx.test"); !errors.Is(err, chive.ErrNotFound) {
			t.Errorf("nx.test: %v, %v", got, err)
		}
		if got, err := v.ResolveAddr(t.Context(), netip.MustParseAddr(documented)); err != nil || len(got) != 1 || got[0] != "target.test" {
			t.Errorf("PTR: %v, %v", got, err)
		}
	}
}

// apiNATS: NATS' own client over a View, to a name that only the exit can resolve.
func apiNATS(t *testing.T, n *testnet.Network, a *api) {
	s, err := server.NewServer(&server.Options{Host: n.Target().IP.String(), Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://nats.test:"+port, nats.SetCustomDialer(a.Isolated("nats")), nats.SkipHostLookup(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("greeting")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("greeting", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(patience); err != nil || string(m.Data) != "hello" {
		t.Errorf("%v, %v", m, err)
	}
	if len(a.circuits("nats.test:"+port)) == 0 {
		t.Error("the name did not go to the exit")
	}
}

func apiOnion(t *testing.T, n *testnet.Network, a *api) {
	x, _ := n.Node("onion1")
	if sum, got := fetch(t, a.Isolated("onion"), bytesOf(x.Address, 100_000)); got != 100_000 || sum != direct(t, resource(n, 100_000)) {
		t.Errorf("%d bytes, hash %s", got, sum)
	}
}

func apiRefusals(t *testing.T, n *testnet.Network, a *api) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	// Nobody listens there: the exit tells.
	_, err := a.DialContext(ctx, "tcp", netip.AddrPortFrom(n.Target().IP, 1).String())
	var e *chive.Error
	if !errors.Is(err, chive.ErrRefused) || !errors.As(err, &e) || e.Timeout() || e.Reason == "" {
		t.Errorf("a closed port: %v", err)
	}
	_, err = a.DialContext(ctx, "tcp", "nx.test:80")
	if !errors.Is(err, chive.ErrNotFound) {
		t.Errorf("no such name: %v", err)
	}
	_, err = a.DialContext(ctx, "tcp", noService+":80")
	var onion *chive.OnionError
	if !errors.As(err, &onion) || onion.Code != chive.OnionNotFound {
		t.Errorf("an onion service that is not there: %v", err)
	}
	asking, withdraw := context.WithCancel(ctx)
	withdraw()
	if _, err := a.DialContext(asking, "tcp", "some.name.test:8080"); !errors.Is(err, context.Canceled) || errors.Is(err, chive.ErrNotReady) {
		t.Errorf("withdrawn: %v", err)
	}
}

// apiCutOff: what a circuit that fails was carrying ends in an error, never as if that had
// been all.
func apiCutOff(t *testing.T, n *testnet.Network, a *api) {
	c, err := a.Isolated("cut off").DialContext(t.Context(), "tcp", "cut.test:8083") // chargen never ends
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	exit, on := a.exitOf("cut.test:8083")
	killed := 0
	for _, x := range n.Nodes() {
		if x.Fingerprint == exit {
			if err := n.Kill(x.Name); err != nil {
				t.Fatal(err)
			}
			killed++
		}
	}
	if killed != 1 {
		t.Fatalf("%d relays are the exit %q of %s", killed, exit, on)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); !errors.Is(err, chive.ErrReset) {
		t.Errorf("%d bytes, and %v", n, err)
	}
}

// exitOf is the last relay of the circuit that carries a stream to a target now: it may have
// been tried on others.
func (a *api) exitOf(target string) (exit, on string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	exits := map[string]string{} // of circuits, and of sets
	stream := ""
	for _, e := range a.log {
		l := e.GetCircuitLaunched()
		if p := l.GetPath(); len(p) == 3 {
			last := strings.ToUpper(hex.EncodeToString(p[2]))
			exits[e.GetActorId()], exits[l.GetSetId()] = last, last
		}
		if e.GetStreamRequested().GetTarget() == target {
			stream = e.GetActorId()
		}
		if at := e.GetStreamAttached(); at != nil && e.GetActorId() == stream {
			on = at.GetCircuitId()
		}
	}
	return exits[on], on
}

// apiDrain: what is open goes on, nothing new begins, and the end of the last stream ends
// it.
func apiDrain(t *testing.T, n *testnet.Network, a *api) {
	c, err := a.Dial("tcp", netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("drained while a connection is open: %v", err)
	}
	if _, err := a.Dial("tcp", "some.name.test:8080"); !errors.Is(err, chive.ErrClosed) {
		t.Errorf("while draining: %v", err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.WriteString(c, "still"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "still" {
		t.Errorf("%q, %v", got, err)
	}
	_ = c.Close()
	long, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.Drain(long); err != nil {
		t.Error(err)
	}
}
