package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/leak"
	"github.com/nats-io/nats.go"

	"chive/actors/node"
	"chive/config"
	"chive/internal/freeport"
	"chive/internal/invariant"
	"chive/internal/testnet"
	"chive/internal/testnet/target"
	"chive/messages"
	"chive/messages/chivev1"
)

// patience bounds a failure, never a success.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	if torrc := os.Getenv(childTorrc); torrc != "" {
		if err := childMain(torrc); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	leak.Main(suite{m})
}

// client is a node under test with its whole log.
type client struct {
	*node.Node
	t     testing.TB
	socks string
	dir   string
	ready chan struct{}
	once  sync.Once

	stopped sync.Once
	grown   chan struct{} // of one: the log has; nil: nobody waits for it

	mu  sync.Mutex
	log []*chivev1.Envelope
}

func (c *client) see(e *chivev1.Envelope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, e)
	select {
	case c.grown <- struct{}{}:
	default:
	}
	if e.GetBootstrapAdvanced().GetPhase() == chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE {
		c.once.Do(func() { close(c.ready) })
	}
}

func (c *client) count(match func(*chivev1.Envelope) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.log {
		if match(e) {
			n++
		}
	}
	return n
}

// start runs a node on the network and waits until it can serve streams.
func start(t testing.TB, n *testnet.Network, lines ...string) *client {
	t.Helper()
	c, err := launch(t, t.TempDir(), nil, append(n.ClientTorrc(), lines...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	return c
}

// launch runs a node that has its data below dir. Without a log what it warns of
// goes to the test's.
func launch(t testing.TB, dir string, log slog.Handler, lines ...string) (*client, error) {
	t.Helper()
	return launchBy(t, dir, log, nil, lines...)
}

// launchBy gives the node a clock; nil: the machine's.
func launchBy(t testing.TB, dir string, log slog.Handler, clock *machineClock, lines ...string) (*client, error) {
	t.Helper()
	c := &client{t: t, dir: dir, ready: make(chan struct{}), grown: make(chan struct{}, 1)}
	torrc := filepath.Join(c.dir, "torrc")
	text := strings.Join(lines, "\n") + "\nSocksPort 127.0.0.1:auto\nDataDirectory " + c.dir + "/data\n"
	if err := os.WriteFile(torrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(torrc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if log == nil {
		log = slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})
	}
	c.Node, err = node.Start(t.Context(), node.Options{
		Config: cfg, Version: "test", OnEvent: c.see, Log: slog.New(log), Now: clock.now(), Boot: clock.boot(),
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(c.stop)
	return c, nil
}

// await waits until the node can serve streams.
func (c *client) await(t testing.TB) {
	t.Helper()
	select {
	case a := <-c.Listening():
		c.socks = a.String()
	case <-time.After(patience):
		t.Fatalf("no listener after %v", patience)
	}
	select {
	case <-c.ready:
	case <-time.After(patience):
		t.Fatalf("not bootstrapped after %v: %+v", patience, c.Status())
	}
}

func (c *client) stop() { c.stopped.Do(c.end) }

func (c *client) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		c.t.Errorf("stop: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range invariant.Check(c.log) {
		c.t.Errorf("invariant: %v", v)
	}
	if c.t.Failed() {
		for _, e := range c.log {
			c.t.Log(messages.Text(e))
		}
	}
}

// get fetches a URL through SOCKS, isolated by user.
func (c *client) get(ctx context.Context, user, target string) (sum string, n int64, err error) {
	proxy := &url.URL{Scheme: "socks5h", Host: c.socks}
	if user != "" {
		proxy.User = url.UserPassword(user, "x")
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", 0, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	h := sha256.New()
	n, err = io.Copy(h, res.Body)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// direct is the hash of a resource without Tor.
func direct(t *testing.T, target string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, res.Body); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// freePort is a loopback address that nobody listens on, and nobody will by chance.
func freePort(t testing.TB) string {
	t.Helper()
	a, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func resource(n *testnet.Network, size int) string {
	return fmt.Sprintf("http://%s/bytes/%d", netip.AddrPortFrom(n.Target().IP, uint16(n.Target().HTTPPort)), size)
}

func TestThroughRealRelays(t *testing.T) {
	n := network(t)
	credential := filepath.Join(t.TempDir(), "observer.nk")
	c := start(t, n, "NatsListen "+freePort(t), "NatsCredentialFile "+credential)

	t.Run("download", func(t *testing.T) { download(t, n, c) })
	t.Run("isolated streams", func(t *testing.T) { isolated(t, n, c) })
	t.Run("upload and half-close", func(t *testing.T) { halfClose(t, n, c) })
	t.Run("curl and torsocks", func(t *testing.T) { programs(t, n, c) })
	t.Run("interrupted", func(t *testing.T) { interrupted(t, n, c) })
	t.Run("refusals", func(t *testing.T) { refusals(t, n, c) })
	t.Run("NATS observer", func(t *testing.T) { observer(t, n, c, credential) })
	t.Run("guard killed", func(t *testing.T) { guardKilled(t, n, c) })
}

func download(t *testing.T, n *testnet.Network, c *client) {
	const size = 20 << 20
	want := direct(t, resource(n, size))
	sum, got, err := c.get(t.Context(), "", resource(n, size))
	if err != nil || got != size || sum != want {
		t.Fatalf("got %d bytes, hash %s, err %v; want %d, %s", got, sum, err, size, want)
	}
	hops := c.count(func(e *chivev1.Envelope) bool {
		l := e.GetCircuitLaunched()
		return l.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL && l.GetHops() == 3
	})
	if hops == 0 {
		t.Error("no three-hop circuit in the log")
	}
	// Each of C tor's relays offers congestion control: no circuit may do without.
	if n := c.count(func(e *chivev1.Envelope) bool {
		return e.GetCircuitOpened().GetHops() == 3 && !e.GetCircuitOpened().GetCongestionControl()
	}); n != 0 {
		t.Errorf("%d circuits fell back to fixed windows", n)
	}
}

// isolated: 100 users at once, each on a circuit of its own.
func isolated(t *testing.T, n *testnet.Network, c *client) {
	const users, size = 100, 200_000
	want := direct(t, resource(n, size))
	before := c.count(func(e *chivev1.Envelope) bool { return e.GetCircuitDirtied() != nil })
	var wg sync.WaitGroup
	for i := range users {
		wg.Go(func() {
			sum, got, err := c.get(t.Context(), fmt.Sprintf("user%d", i), resource(n, size))
			if err != nil || sum != want {
				t.Errorf("user %d: %d bytes, err %v", i, got, err)
			}
		})
	}
	wg.Wait()
	dirtied := c.count(func(e *chivev1.Envelope) bool { return e.GetCircuitDirtied() != nil }) - before
	if dirtied < users {
		t.Errorf("%d circuits for %d isolated users", dirtied, users)
	}
}

// dialEcho opens a stream to the echo port by hand, byte by byte.
func (c *client) dial(t *testing.T, target netip.AddrPort) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", c.socks)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	a4, port := target.Addr().As4(), target.Port()
	request := append([]byte{5, 1, 0, 5, 1, 0, 1}, a4[:]...)
	request = append(request, byte(port>>8), byte(port))
	for _, b := range request {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	var reply [12]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil || reply[1] != 0 || reply[3] != 0 {
		t.Fatalf("SOCKS replies %v, err %v", reply, err)
	}
	return conn.(*net.TCPConn)
}

func halfClose(t *testing.T, n *testnet.Network, c *client) {
	conn := c.dial(t, netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)))
	defer conn.Close()
	sent := bytes.Repeat([]byte("chive grows in clumps. "), 50_000)
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		if err == nil {
			err = conn.CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(conn)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("echoed %d of %d bytes, err %v", len(got), len(sent), err)
	}
}

func programs(t *testing.T, n *testnet.Network, c *client) {
	const size = 1_000_000
	want := direct(t, resource(n, size))
	host, port, err := net.SplitHostPort(c.socks)
	if err != nil {
		t.Fatal(err)
	}
	curl := exec.CommandContext(t.Context(), "curl", "-sS", "--max-time", "150", "--socks5-hostname", c.socks, resource(n, size))
	out, err := curl.Output()
	sum := sha256.Sum256(out)
	if err != nil || hex.EncodeToString(sum[:]) != want {
		t.Errorf("curl: %d bytes, err %v", len(out), err)
	}
	// torsocks asks for names with RESOLVE.
	getent := exec.CommandContext(t.Context(), "torsocks", "-i", "-a", host, "-P", port, "getent", "ahostsv4", "target.test")
	out, err = getent.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), n.Target().IP.String()) {
		t.Errorf("torsocks getent: %q, err %v; want %v", out, err, n.Target().IP)
	}
	torsocks(t, host, port)
}

// outside is an address that torsocks takes for one of the Internet (RFC 5737); for
// the time of the test it is the loopback interface's.
const outside = "198.51.100.77"

// torsocks has curl download under torsocks, which lets no program connect to
// 127.0.0.0/8.
func torsocks(t *testing.T, host, port string) {
	if out, err := exec.CommandContext(t.Context(), "ip", "address", "replace", outside+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Logf("no download under torsocks: only root may give the loopback interface an address (%s)", bytes.TrimSpace(out))
		return
	}
	defer func() {
		if out, err := exec.Command("ip", "address", "del", outside+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Errorf("%s: %s", err, out)
		}
	}()
	l, err := net.Listen("tcp", outside+":0")
	if err != nil {
		t.Fatal(err)
	}
	const size = 3 << 20
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body := make([]byte, size)
		target.Fill(body, 0)
		_, _ = w.Write(body) // curl sees what is missing
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	curl := exec.CommandContext(ctx, "torsocks", "-i", "-a", host, "-P", port, "curl", "-sS", "--max-time", "150", "http://"+l.Addr().String()+"/")
	out, err := curl.Output()
	if err != nil || len(out) != size || sha256.Sum256(out) != target.Sum(size) {
		t.Errorf("curl under torsocks: %d bytes, err %v", len(out), err)
	}
}

func refusals(t *testing.T, n *testnet.Network, c *client) {
	for what, target := range map[string]string{
		"closed port":   fmt.Sprintf("http://%s:9/", n.Target().IP),
		"onion service": "http://" + strings.Repeat("a", 56) + ".onion/",
	} {
		if _, _, err := c.get(t.Context(), "", target); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// observer: an ordinary NATS client with the credential file.
func observer(t *testing.T, n *testnet.Network, c *client, credential string) {
	opt, err := nats.NkeyOptionFromSeed(credential)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(c.Status().NatsURL, opt, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	seen := make(chan *chivev1.Envelope, 1024)
	_, err = nc.Subscribe("chive.v1.*.*.evt.circuit.>", func(m *nats.Msg) {
		if e, err := messages.Decode(m.Data); err == nil {
			select {
			case seen <- e:
			default:
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.get(t.Context(), "observed", resource(n, 1000)); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-seen:
		if e.GetKind() != chivev1.Kind_KIND_CIRCUIT || len(e.GetCircuitLaunched().GetPath()) != 0 {
			t.Errorf("received %v: not a redacted circuit event", e)
		}
	case <-time.After(patience):
		t.Fatalf("no circuit event after %v", patience)
	}
	if _, err := nats.Connect(c.Status().NatsURL, nats.MaxReconnects(0)); err == nil {
		t.Error("connected without a credential")
	}
}

// guardKilled: in the middle of a download the guard's process dies; that
// download fails, later requests succeed on their own.
func guardKilled(t *testing.T, n *testnet.Network, c *client) {
	failed := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.until(t, "no stream is left", func() bool { return c.lastCarrier() == "" })
	go func() {
		_, _, err := c.get(ctx, "victim", resource(n, 1<<30))
		failed <- err
	}()
	c.until(t, "the download has begun", func() bool { return c.lastCarrier() != "" })
	carrier := c.lastCarrier()
	c.guardDies(t, n)
	if err := <-failed; err == nil {
		// A set lives by its other leg if nothing was on its way over the one that it lost.
		if sets, _ := c.sets(); sets[carrier] == nil || sets[carrier].closed != nil {
			t.Error("a download whose guard died ended without an error")
		}
	}
	for i := range 5 {
		if _, _, err := c.get(t.Context(), fmt.Sprintf("after%d", i), resource(n, 50_000)); err != nil {
			t.Errorf("request %d after the guard died: %v", i, err)
		}
	}
}
