package e2e

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
	"chive/tor/socks"
)

// eventually waits for what the log says. patience only bounds a test that fails.
func (c *client) eventually(t *testing.T, what string, patience time.Duration, done func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for !done() {
		select {
		case <-c.grown:
		case <-end.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// publications counts the periods that were published everywhere.
func (c *client) publications() int {
	return c.count(func(e *chivev1.Envelope) bool { return e.GetHostingPublished() != nil })
}

// addressOf is the name of the service in a folder.
func addressOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "hostname"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// ctor is a C tor client.
func ctor(t *testing.T, n *testnet.Network, name string, torrc ...string) *client {
	t.Helper()
	tc, err := n.StartClient(t.Context(), name, torrc...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tc.Close(); err != nil {
			t.Error(err)
		}
	})
	return &client{t: t, socks: tc.SocksAddr}
}

// unixEcho echoes what comes to a unix socket.
func unixEcho(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "echo")
	serving(t, "unix", path, func(conn net.Conn) { _, _ = io.Copy(conn, conn) }) // ends when the client does
	return path
}

// serving has whoever connects served, until the test ends.
func serving(t *testing.T, network, address string, serve func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr()
}

// hostingLab is a private network without services of C tor, and what chive is to host.
type hostingLab struct {
	*testnet.Network
	http string // address:port of the target
}

func startHostingLab(t *testing.T) *hostingLab {
	t.Helper()
	return startHostingLabOf(t, testnet.Options{Onions: -1})
}

func startHostingLabOf(t *testing.T, o testnet.Options) *hostingLab {
	t.Helper()
	n, err := testnet.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			n.DumpLogs(&b, 10)
			t.Log(b.String())
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return &hostingLab{n, fmt.Sprintf("%v:%d", n.Target().IP, n.Target().HTTPPort)}
}

// TestHosting: services that chive hosts, over relays of C tor, for clients of C tor and of
// chive.
func TestHosting(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir, data := filepath.Join(t.TempDir(), "open"), t.TempDir()
	lines := append(l.ClientTorrc(), "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http,
		"HiddenServicePort 7 unix:"+unixEcho(t), fmt.Sprintf("HiddenServicePort 9 %v:1", l.Target().IP))
	c := hosts(t, data, 2, lines...)
	address := addressOf(t, dir)
	tor := ctor(t, l.Network, "visitor")

	t.Run("download", func(t *testing.T) { tor.fetchOnion(t, "", address, 5<<20) })
	t.Run("upload", func(t *testing.T) { tor.uploadOnion(t, address, 3<<20) })
	t.Run("many streams", func(t *testing.T) { c.manyServed(t, tor, address) })
	t.Run("unix socket", func(t *testing.T) { unixEchoes(t, tor, address) })
	t.Run("ports that are not there", func(t *testing.T) { c.portsNotThere(t, tor, address) })
	t.Run("client of chive", func(t *testing.T) {
		start(t, l.Network).fetchOnion(t, "", address, 2<<20)
	})
	t.Run("many services", func(t *testing.T) { manyServices(t, l, tor, address) })
	t.Run("restart", func(t *testing.T) { c.restarted(t, tor, address, data, lines) })
}

// hosts starts a node and waits until its services are published for both periods.
func hosts(t *testing.T, data string, publications int, lines ...string) *client {
	t.Helper()
	c, err := launch(t, data, nil, lines...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	c.eventually(t, "the services are published", patience, func() bool { return c.publications() >= publications })
	return c
}

// manyServed: streams of one client share a circuit, and each gets its own bytes.
func (c *client) manyServed(t *testing.T, tor *client, address string) {
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() { tor.fetchOnion(t, "many", address, 300_000) })
	}
	wg.Wait()
	if n := c.count(func(e *chivev1.Envelope) bool {
		return e.GetHostingMet() != nil && !e.GetHostingMet().GetCongestionControl()
	}); n != 0 {
		t.Errorf("%d clients of C tor are met without congestion control", n)
	}
}

// connect asks SOCKS for a stream to a service, and gives the reply.
func (c *client) connect(t *testing.T, host string, port uint16) (net.Conn, byte) {
	t.Helper()
	conn, err := net.Dial("tcp", c.socks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	say := "\x05\x01\x00\x05\x01\x00\x03" + string([]byte{byte(len(host))}) + host + string([]byte{byte(port >> 8), byte(port)})
	var got [12]byte
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got[:]); err != nil {
		t.Fatalf("SOCKS says % x, %v", got, err)
	}
	return conn, got[3]
}

func unixEchoes(t *testing.T, tor *client, address string) {
	conn, code := tor.connect(t, address, 7)
	if code != 0 {
		t.Fatalf("SOCKS replies %v", socks.ReplyCode(code))
	}
	sent := strings.Repeat("chive grows in clumps. ", 40_000)
	go func() { _, _ = io.WriteString(conn, sent) }() // what is missing is missed below
	got := make([]byte, len(sent))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != sent {
		t.Fatalf("echoed %d of %d bytes, %v", n, len(sent), err)
	}
}

// portsNotThere: one that the service does not have costs the client his circuit; one where
// nobody listens does not.
func (c *client) portsNotThere(t *testing.T, tor *client, address string) {
	refused := func() int {
		return c.count(func(e *chivev1.Envelope) bool {
			return e.GetCircuitClosed().GetOutcome() == chivev1.Outcome_OUTCOME_REFUSED
		})
	}
	before := refused()
	if _, code := tor.connect(t, address, 9); code == 0 || refused() != before {
		t.Errorf("a port where nobody listens: reply %v, %d circuits closed", socks.ReplyCode(code), refused()-before)
	}
	if _, code := tor.connect(t, address, 22); code == 0 {
		t.Error("a port that the service does not have answers")
	}
	c.eventually(t, "the circuit is closed", patience, func() bool { return refused() > before })
	tor.fetchOnion(t, "", address, 10_000)
}

// restarted: the service has its address, and its introduction points, when it comes back.
func (c *client) restarted(t *testing.T, tor *client, address, data string, lines []string) {
	points := func(c *client) map[string]bool {
		out := map[string]bool{}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range c.log {
			if up := e.GetHostingPointUp(); up != nil {
				out[string(up.GetRelay())] = true
			}
		}
		return out
	}
	before := points(c)
	c.stop()
	again := hosts(t, data, 2, lines...)
	for relay := range points(again) {
		if !before[relay] {
			t.Error("another introduction point after a restart in order")
		}
	}
	tor.fetchOnion(t, "after", address, 1<<20)
	if now := addressOf(t, strings.TrimPrefix(lines[len(lines)-4], "HiddenServiceDir ")); now != address {
		t.Errorf("the address is another: %s", now)
	}
}

// clientKey is a new client's, both halves in base32.
func clientKey(t *testing.T) (key, public string) {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return base32Key.EncodeToString(k.Bytes()), base32Key.EncodeToString(k.PublicKey().Bytes())
}

// letIn names a client in the folder of a service, which is made if it is not there.
func letIn(t *testing.T, service, name, public string) {
	t.Helper()
	clients := filepath.Join(service, "authorized_clients")
	if err := os.MkdirAll(clients, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(clients, name+".auth"), []byte("descriptor:x25519:"+public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHostingForAuthorisedClients: who has a key finds the service, others do not; one who
// loses it is cut off at once.
func TestHostingForAuthorisedClients(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	dir := filepath.Join(t.TempDir(), "private")
	keys := map[string]string{}
	for _, name := range []string{"alice", "bob"} {
		key, public := clientKey(t)
		keys[name] = key
		letIn(t, dir, name, public)
	}
	c := startReloadable(t, l.Network, nil, "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http)
	published := func(n int) func() bool {
		return func() bool {
			log, _ := c.events(0)
			for _, e := range log {
				if e.GetHostingPublished() != nil {
					n--
				}
			}
			return n <= 0
		}
	}
	c.until(t, patience, "the service is published", published(2))
	address := addressOf(t, dir)
	alice := ctor(t, l.Network, "alice", "ClientOnionAuthDir "+keyDir(t, auth(address, keys["alice"])))
	alice.fetchOnion(t, "", address, 100_000)
	stranger := ctor(t, l.Network, "stranger")
	if _, code := stranger.connect(t, address, 80); code == 0 {
		t.Error("a client without a key is let in")
	}
	bob := ctor(t, l.Network, "bob", "ClientOnionAuthDir "+keyDir(t, auth(address, keys["bob"])))
	bob.fetchOnion(t, "", address, 10_000)
	_, at := c.events(0)
	if err := os.Remove(filepath.Join(dir, "authorized_clients", "bob.auth")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.until(t, patience, "the service is published anew", func() bool {
		log, _ := c.events(at)
		n := 0
		for _, e := range log {
			if e.GetHostingPublished() != nil {
				n++
			}
		}
		return n >= 2
	})
	if _, code := bob.connect(t, address, 80); code == 0 {
		t.Error("a client who lost his key is let in")
	}
	alice.fetchOnion(t, "after", address, 100_000)
}
