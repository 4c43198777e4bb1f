package e2e

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"chive"
	"chive/internal/testnet/target"
	"chive/messages/chivev1"
)

// eventually waits for what the log of the API's node says; patience bounds a test that
// fails.
func (a *api) eventually(t *testing.T, what string, done func(log []*chivev1.Envelope) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	events := a.Events(ctx, chive.Lifecycle)
	look := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return done(a.log)
	}
	if look() {
		return
	}
	for range events {
		if look() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// listen makes the program an onion service that clients find.
func (a *api) listen(t *testing.T, s chive.Service) (*chive.Listener, string) {
	t.Helper()
	l, err := a.Listen(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.Published(ctx); err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return l, host
}

// dial reaches a service, however long that takes.
func (a *api) dial(t *testing.T, address string) *chive.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := a.DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*chive.Conn)
}

// accept takes the next connection.
func accept(t *testing.T, l net.Listener) *chive.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*chive.Conn)
}

// pair is both ends of a connection to a Listener.
func pair(t *testing.T, from *api, l net.Listener) (client, server *chive.Conn) {
	t.Helper()
	client = from.dial(t, l.Addr().String())
	return client, accept(t, l)
}

// web serves what the target of the test network serves: /bytes/N and /upload.
func web() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil {
			http.Error(w, "no number", http.StatusBadRequest)
			return
		}
		b := make([]byte, n)
		target.Fill(b, 0)
		w.Header().Set("X-From", r.RemoteAddr)
		_, _ = w.Write(b) // the client misses what is missing
	})
	m.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			return // likewise
		}
		fmt.Fprintf(w, "%x", h.Sum(nil))
	})
	return m
}

// TestListen: onion services that are this program, over relays of C tor, for clients of C tor
// and of chive.
func TestListen(t *testing.T) {
	t.Parallel()
	n := startHostingLab(t).Network
	torrc := filepath.Join(t.TempDir(), "torrc")
	if err := os.WriteFile(torrc, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host := startAPIWith(t, n, chive.WithTorrc(torrc))
	// A short build timeout has the waits for services that are gone be short.
	visitor := startAPI(t, n, "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 4 seconds")
	tor := ctor(t, n, "visitor")

	t.Run("http", func(t *testing.T) { listenHTTP(t, host, visitor, tor) })
	t.Run("folder", func(t *testing.T) { listenFolder(t, host, tor) })
	t.Run("the same key again", func(t *testing.T) { listenAgain(t, host, tor) })
	t.Run("half-close", func(t *testing.T) { listenHalfClose(t, host, visitor) })
	t.Run("backlog", func(t *testing.T) { listenBacklog(t, host, visitor) })
	t.Run("slow reader", func(t *testing.T) { listenSlow(t, host, visitor) })
	t.Run("close", func(t *testing.T) { listenClose(t, host, visitor) })
	t.Run("reload", func(t *testing.T) { listenReload(t, host, tor, torrc) })
	t.Run("authorised clients", func(t *testing.T) {
		listenRestricted(t, host, tor, func(name, address, key string) *client {
			return ctor(t, n, name, "ClientOnionAuthDir "+keyDir(t, auth(address, key)))
		})
	})
	t.Run("the end of the client", func(t *testing.T) { listenEnd(t, host, visitor) })
}

// listenHTTP: net/http on a key that is in memory alone, 1 MB both ways.
func listenHTTP(t *testing.T, host, visitor *api, tor *client) {
	l, address := host.listen(t, chive.Service{})
	s := &http.Server{Handler: web()}
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	defer served.Wait()
	defer s.Close()
	const size = 1 << 20
	tor.fetchOnion(t, "", address, size)
	tor.uploadOnion(t, address, size)

	want := fmt.Sprintf("%x", target.Sum(size))
	transport := &http.Transport{DialContext: visitor.DialContext}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport, Timeout: patience}
	res, err := web.Get(bytesOf(address, size))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if n, err := io.Copy(h, res.Body); err != nil || fmt.Sprintf("%x", h.Sum(nil)) != want {
		t.Errorf("%d bytes, hash %x, %v", n, h.Sum(nil), err)
	}
	_ = res.Body.Close()
	// The client's circuit is all that is known of him, and it is one that was met.
	id, _, _ := strings.Cut(res.Header.Get("X-From"), ":0")
	host.eventually(t, "the circuit "+id, func(log []*chivev1.Envelope) bool {
		for _, e := range log {
			if id != "" && e.GetHostingMet().GetCircuitId() == id {
				return true
			}
		}
		return false
	})
	body := make([]byte, size)
	target.Fill(body, 0)
	res, err = web.Post("http://"+address+"/upload", "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || string(said) != want {
		t.Errorf("uploaded %s, %v; want %s", said, err, want)
	}
	// 24 streams of one client at a time.
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() { tor.fetchOnion(t, "many", address, 200_000) })
	}
	wg.Wait()
}

// listenFolder: keys in C tor's layout, and two ports.
func listenFolder(t *testing.T, host *api, tor *client) {
	dir := filepath.Join(t.TempDir(), "site")
	l, address := host.listen(t, chive.Service{Folder: dir, Ports: []uint16{80, 443}})
	if got := addressOf(t, dir); got != address {
		t.Errorf("hostname is %s, the address %s", got, address)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "hs_ed25519_secret_key")); err != nil || len(b) != 96 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for _, port := range []uint16{443, 80} {
		conn, code := tor.connect(t, address, port)
		if code != 0 {
			t.Fatalf("port %d: SOCKS replies %d", port, code)
		}
		c := accept(t, l)
		if want := net.JoinHostPort(address, strconv.Itoa(int(port))); c.LocalAddr().String() != want {
			t.Errorf("came to %v, not %s", c.LocalAddr(), want)
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(conn, "question") }() // what is missing is missed below
		got := make([]byte, 8)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "question" {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := io.WriteString(c, "answer"); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil { // C tor's client is told at once, after all that was sent
			t.Fatal(err)
		}
		if said, err := io.ReadAll(conn); err != nil || string(said) != "answer" {
			t.Errorf("%q, %v", said, err)
		}
	}
	if _, code := tor.connect(t, address, 22); code == 0 {
		t.Error("a port that the service does not have answers")
	}
}

// listenAgain: a key that is listened on again has the introduction points that it had.
func listenAgain(t *testing.T, host *api, tor *client) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	relays := func(from int) (map[string]bool, int) {
		host.mu.Lock()
		defer host.mu.Unlock()
		out := map[string]bool{}
		for _, e := range host.log[from:] {
			if up := e.GetHostingPointUp(); up != nil {
				out[string(up.GetRelay())] = true
			}
		}
		return out, len(host.log)
	}
	_, start := relays(0)
	l, address := host.listen(t, chive.Service{Key: key})
	go func() { _ = http.Serve(l, web()) }() // ends with the listener
	tor.fetchOnion(t, "", address, 10_000)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before, at := relays(start)
	again, now := host.listen(t, chive.Service{Key: key})
	if now != address {
		t.Errorf("%s was %s", now, address)
	}
	go func() { _ = http.Serve(again, web()) }()
	after, _ := relays(at)
	for relay := range after {
		if !before[relay] {
			t.Errorf("another introduction point than the %d before", len(before))
		}
	}
	tor.fetchOnion(t, "", address, 10_000)
}

// listenHalfClose: who has no more to send reads on, on either side.
func listenHalfClose(t *testing.T, host, visitor *api) {
	l, _ := host.listen(t, chive.Service{Lines: []string{"HiddenServiceMaxStreams 100"}})
	for _, first := range []string{"server", "client"} {
		client, server := pair(t, visitor, l)
		a, b := server, client
		if first == "client" {
			a, b = client, server
		}
		for _, c := range []*chive.Conn{a, b} {
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(a, "question"); err != nil {
			t.Fatal(err)
		}
		if err := a.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8)
		if _, err := io.ReadFull(b, got); err != nil || string(got) != "question" {
			t.Fatalf("%s: %q, %v", first, got, err)
		}
		if _, err := io.WriteString(b, "answer"); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if _, err := io.ReadFull(a, got[:6]); err != nil || string(got[:6]) != "answer" {
			t.Errorf("%s: %q, %v", first, got[:6], err)
		}
		// The other side is told at last, be it by silence or by Close.
		if first == "server" {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.Read(got); err != io.EOF {
			t.Errorf("%s: %v after the end", first, err)
		}
	}
}

// TestListenConn: both ends are net.Conns as x/net has them. It gives a thousand round trips a
// minute, which no other test is to take up.
func TestListenConn(t *testing.T) {
	n := startHostingLab(t).Network
	host, visitor := startAPI(t, n), startAPI(t, n)
	l, _ := host.listen(t, chive.Service{})
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		client, server := pair(t, visitor, l)
		return client, server, func() { _, _ = client.Close(), server.Close() }, nil
	})
}

// listenBacklog: what is over the backlog is refused, and what was accepted late is whole.
func listenBacklog(t *testing.T, host, visitor *api) {
	l, _ := host.listen(t, chive.Service{Backlog: 2})
	var waiting []*chive.Conn
	for i := range 2 {
		c := visitor.dial(t, l.Addr().String())
		if _, err := io.WriteString(c, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	if _, err := visitor.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, chive.ErrRefused) {
		t.Errorf("one too many: %v", err)
	}
	c := accept(t, l)
	got := make([]byte, 1)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "0" {
		t.Errorf("%q, %v", got, err)
	}
	visitor.dial(t, l.Addr().String()) // there is room again
	// Those that nobody accepted are cut off.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := waiting[1].SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := waiting[1].Read(got); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one that waited reads: %v", err)
	}
	// And the one that was goes on.
	if err := errors.Join(c.SetDeadline(time.Now().Add(patience)), waiting[0].SetDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "!"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(waiting[0], got); err != nil || string(got) != "!" {
		t.Errorf("%q, %v", got, err)
	}
}

// listenSlow: a client has to wait for a program that does not read, and nothing is lost.
func listenSlow(t *testing.T, host, visitor *api) {
	l, _ := host.listen(t, chive.Service{})
	client, server := pair(t, visitor, l)
	if err := client.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const most = 64 << 20
	block, sent := make([]byte, 64<<10), 0
	want := sha256.New()
	for sent < most {
		target.Fill(block, int64(sent))
		n, err := client.Write(block)
		want.Write(block[:n])
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent > 8<<20 {
		t.Errorf("%d bytes are on their way to who does not read", sent)
	}
	t.Logf("%d bytes until the client had to wait", sent)
	if err := errors.Join(client.SetWriteDeadline(time.Time{}), client.CloseWrite(), server.SetDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	got := sha256.New()
	if n, err := io.Copy(got, server); err != nil || n != int64(sent) || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d of %d bytes, %v", n, sent, err)
	}
}

// listenClose: the service is gone, and the connection that was accepted is not.
func listenClose(t *testing.T, host, visitor *api) {
	l, _ := host.listen(t, chive.Service{})
	client, server := pair(t, visitor, l)
	circuit, _, _ := strings.Cut(server.RemoteAddr().String(), ":")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var onion *chive.OnionError
	if _, err := visitor.Isolated("late").DialContext(t.Context(), "tcp", l.Addr().String()); !errors.As(err, &onion) {
		t.Errorf("a service that was closed: %v", err)
	}
	if _, err := visitor.DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		t.Error("a client who was there gets another connection")
	}
	for _, c := range []*chive.Conn{client, server} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	body := make([]byte, 500_000)
	target.Fill(body, 0)
	go func() { _, _ = client.Write(body) }() // what is missing is missed below
	got := make([]byte, len(body))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, body) {
		t.Errorf("after the end of the service: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Read(got); err != io.EOF {
		t.Errorf("%v at the end", err)
	}
	host.eventually(t, "the client's circuit ends with his last stream", func(log []*chivev1.Envelope) bool {
		for _, e := range log {
			if e.GetActorId() == circuit && e.GetCircuitClosed() != nil {
				return true
			}
		}
		return false
	})
}

// listenReload: a change of the configuration leaves what the program hosts alone.
func listenReload(t *testing.T, host *api, tor *client, torrc string) {
	l, address := host.listen(t, chive.Service{})
	go func() { _ = http.Serve(l, web()) }() // ends with the listener
	host.mu.Lock()
	at := len(host.log)
	host.mu.Unlock()
	other := filepath.Join(t.TempDir(), "other")
	lines := "MaxCircuitDirtiness 7 minutes\nHiddenServiceDir " + other + "\nHiddenServicePort 80 127.0.0.1:1\n"
	if err := os.WriteFile(torrc, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	started := func(log []*chivev1.Envelope) (n int) {
		for _, e := range log[at:] {
			if e.GetHostingStarted() != nil {
				n++
			}
		}
		return n
	}
	host.eventually(t, "the service of the configuration", func(log []*chivev1.Envelope) bool { return started(log) == 1 })
	if err := os.WriteFile(torrc, []byte("MaxCircuitDirtiness 7 minutes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host.eventually(t, "it is gone", func(log []*chivev1.Envelope) bool {
		n := 0
		for _, e := range log[at:] {
			if e.GetHostingStopped() != nil {
				n++
			}
		}
		return n == 1
	})
	tor.fetchOnion(t, "", address, 100_000)
}

// listenRestricted: who has a key finds the service, others do not; one who loses it is cut
// off at once.
func listenRestricted(t *testing.T, host *api, stranger *client, authorised func(name, address, key string) *client) {
	var public []*ecdh.PublicKey
	var private []string
	for range 2 {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, private = append(public, key.PublicKey()), append(private, base32Key.EncodeToString(key.Bytes()))
	}
	l, address := host.listen(t, chive.Service{Clients: public[:1]})
	go func() { _ = http.Serve(l, web()) }() // ends with the listener
	alice := authorised("alice", address, private[0])
	alice.fetchOnion(t, "", address, 100_000)
	if _, code := stranger.connect(t, address, 80); code == 0 {
		t.Error("a client without a key is let in")
	}
	host.mu.Lock()
	at := len(host.log)
	host.mu.Unlock()
	if err := l.Allow(public[1:]); err != nil {
		t.Fatal(err)
	}
	host.eventually(t, "the service is published anew", func(log []*chivev1.Envelope) bool {
		n := 0
		for _, e := range log[at:] {
			if e.GetHostingPublished() != nil {
				n++
			}
		}
		return n >= 2
	})
	authorised("bob", address, private[1]).fetchOnion(t, "", address, 100_000)
	if _, code := alice.connect(t, address, 80); code == 0 {
		t.Error("a client who lost his key is let in")
	}
}

// listenEnd: Drain lets what was accepted end, and takes nothing new; Close ends the rest.
// When the other end hears of that is up to the relays in between.
func listenEnd(t *testing.T, host, visitor *api) {
	l, _ := host.listen(t, chive.Service{})
	client, server := pair(t, visitor, l)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := host.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained while a connection is open: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept while draining: %v", err)
	}
	for _, c := range []*chive.Conn{client, server} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 5)
	if _, err := io.WriteString(client, "still"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "still" {
		t.Errorf("%q, %v", got, err)
	}
	long, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := host.Close(long); err != nil {
		t.Error(err)
	}
	if _, err := server.Read(got); !errors.Is(err, chive.ErrReset) {
		t.Errorf("a connection of a client that was closed: %v", err)
	}
}
