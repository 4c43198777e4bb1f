package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chive/actors/configuration"
	"chive/config"
	"chive/messages/chivev1"
)

// What a client says first, and what tells that the protocol is spoken.
const (
	socksGreeting = "\x05\x01\x00"
	socksAnswer   = "\x05\x00"
	httpAsks      = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"
)

// mx is a question that every DNSPort answers at once: it does not know the type.
var mx = "\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + "\x01a\x04test\x00" + "\x00\x0f\x00\x01"

// dialog sends and reads an answer of n bytes; "" if the other side closes before.
func dialog(t *testing.T, network, at, send string, n int) string {
	t.Helper()
	c, err := net.Dial(network, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	patience := time.Minute
	if network == "udp" {
		patience = time.Second // it may be lost, and is asked again
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		return ""
	}
	return string(got)
}

// speaks says what is spoken at an address.
func speaks(t *testing.T, option, network, at string) {
	t.Helper()
	tcp := func(text string) string { return string(binary.BigEndian.AppendUint16(nil, uint16(len(text)))) + text }
	switch option {
	case "MetricsPort":
		if got := dialog(t, network, at, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 15); got != "HTTP/1.1 200 OK" {
			t.Fatalf("no metrics: %q", got)
		}
	case "SocksPort":
		if got := dialog(t, network, at, socksGreeting, 2); got != socksAnswer {
			t.Fatalf("no SOCKS: %q", got)
		}
	case "HTTPTunnelPort":
		if got := dialog(t, network, at, httpAsks, 12); got != "HTTP/1.0 200" {
			t.Fatalf("no HTTP: %q", got)
		}
		if got := dialog(t, network, at, socksGreeting, 2); got != "" {
			t.Fatalf("SOCKS on an HTTPTunnelPort: %q", got)
		}
	case "DNSPort":
		for network, ask := range map[string]string{"tcp": tcp(mx), "udp": mx} {
			soon(t, "DNS over "+network, func() bool { // a datagram may meet a socket that is on its way out
				got := dialog(t, network, at, ask, len(ask))
				return got != "" && got[len(got)-len(mx)+3]&15 == 4
			})
		}
	}
	if network != "tcp" {
		return
	}
	soon(t, fmt.Sprintf("%s: UDP is bound: %v", option, option == "DNSPort"), func() bool {
		udp, err := net.ListenPacket("udp", at)
		if err == nil {
			_ = udp.Close()
		}
		return errors.Is(err, syscall.EADDRINUSE) == (option == "DNSPort")
	})
}

// soon waits for what becomes so: a socket is closed when its listener has ended, after the
// change is in force.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// only says which listener there is to be; the other kinds have none.
func only(option, at string) []string {
	out := []string{option + " " + at, "MetricsPortPolicy accept 127.0.0.1"}
	for _, other := range []string{"SocksPort", "HTTPTunnelPort", "DNSPort", "MetricsPort"} {
		if other != option {
			out = append(out, other+" 0")
		}
	}
	return out
}

// One address goes from each kind of listener to each other in one change. Its socket is
// never closed: whoever connects meanwhile is answered in one of the two protocols, and
// who is in the middle of a dialogue finishes it.
func TestListenerBecomesAnother(t *testing.T) {
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var mu sync.Mutex
	var told, groups []string
	at := free(t)
	n := runs(t, at, func(e *chivev1.Envelope) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.GetListenerOpened() != nil:
			told = append(told, "opened "+e.GetListenerOpened().GetProtocol()+" "+e.GetActorId())
		case e.GetListenerClosed() != nil:
			told = append(told, "closed "+e.GetActorId())
		case e.GetStreamRequested().GetTarget() == "localhost:80":
			groups = append(groups, e.GetStreamRequested().GetIsolation())
		}
	})
	<-n.Listening()
	var dials, lost atomic.Int64
	stop := make(chan struct{})
	var hammer sync.WaitGroup
	for range 4 {
		hammer.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", at)
				if err != nil {
					lost.Add(1)
					continue
				}
				dials.Add(1)
				_ = c.Close()
			}
		})
	}
	kinds := []string{"SocksPort", "HTTPTunnelPort", "SocksPort", "DNSPort", "HTTPTunnelPort", "MetricsPort", "DNSPort", "MetricsPort", "SocksPort", "MetricsPort", "HTTPTunnelPort", "SocksPort"}
	for i, kind := range kinds {
		if i > 0 {
			var began net.Conn
			if kinds[i-1] == "SocksPort" {
				began = greeted(t, at)
			}
			must(t, n, only(kind, at)...)
			if began != nil {
				finishes(t, began)
			}
		}
		speaks(t, kind, "tcp", at)
		if kind == "SocksPort" {
			dialog(t, "tcp", at, socksGreeting+"\x05\x01\x00\x03\x09localhost\x00\x50", 12)
		}
	}
	close(stop)
	hammer.Wait()
	if lost.Load() > 0 || dials.Load() == 0 {
		t.Errorf("%d of %d clients found nobody", lost.Load(), lost.Load()+dials.Load())
	}
	mu.Lock()
	ids := map[string]bool{}
	for i, text := range told {
		words := strings.Fields(text)
		if words[0] == "opened" != (i%2 == 0) || words[0] == "opened" && ids[words[2]] {
			t.Errorf("told %q", told)
			break
		}
		ids[words[len(words)-1]] = true
	}
	if len(groups) != 4 || groups[0] == groups[1] || groups[1] == groups[2] || groups[2] == groups[3] {
		t.Errorf("what came before another protocol was spoken here may share circuits with what comes after: %q", groups)
	}
	if len(told) != 2*len(kinds)-1 {
		t.Errorf("told %q", told)
	}
	mu.Unlock()

	// The same for a unix socket, whose file stays as well.
	path := filepath.Join(dir, "s")
	must(t, n, only("SocksPort", "unix:"+path)...)
	speaks(t, "SocksPort", "unix", path)
	must(t, n, only("HTTPTunnelPort", "unix:"+path+" WorldWritable")...)
	speaks(t, "HTTPTunnelPort", "unix", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v %v", info, err)
	}
	// A client of a listener that closes for good finishes what it began, too.
	one, two := free(t), free(t)
	must(t, n, only("SocksPort", one)...)
	began := greeted(t, one)
	must(t, n, only("SocksPort", two)...)
	if reachable("tcp", one) {
		t.Error("the listener is still open")
	}
	finishes(t, began)
	// And two change places.
	must(t, n, "SocksPort "+one, "HTTPTunnelPort "+two, "DNSPort 0")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a listener that is gone: %v", err)
	}
	must(t, n, "SocksPort "+two, "HTTPTunnelPort "+one)
	speaks(t, "SocksPort", "tcp", two)
	speaks(t, "HTTPTunnelPort", "tcp", one)
}

// greeted is a client that has had the first answer of a SOCKS dialogue.
func greeted(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len(socksAnswer))
	if _, err := io.WriteString(c, socksGreeting); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != socksAnswer {
		t.Fatalf("%q, %v", got, err)
	}
	return c
}

// finishes goes on with a SOCKS dialogue that began before the change: BIND is a command
// that is refused.
func finishes(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	got := make([]byte, 2)
	if _, err := io.WriteString(c, "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x05\x07" {
		t.Fatalf("a dialogue that began before the change: %q, %v", got, err)
	}
}

// What a change let go is free when it is made: the next one may take it again at once.
func TestAddressesAreFreeAfterAChange(t *testing.T) {
	one, two := free(t), free(t)
	n := runs(t, one, nil)
	<-n.Listening()
	for i := range 40 {
		at, other := one, two
		if i%2 == 0 {
			at, other = two, one
		}
		must(t, n, only([]string{"SocksPort", "DNSPort", "HTTPTunnelPort"}[i%3], at)...)
		if reachable("tcp", other) {
			t.Fatalf("%d: the listener before is open still", i)
		}
	}
}

// All or nothing: if any part of the change cannot be made, the listener speaks what it
// spoke; and what was made is taken back.
func TestListenerThatCannotBecomeAnother(t *testing.T) {
	at := free(t)
	n := runs(t, at, nil)
	<-n.Listening()
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	if r := set(t, n, only("DNSPort", at)...); r.Applied || !strings.Contains(r.Reason, "DNSPort") || !strings.Contains(r.Reason, "address already in use") {
		t.Fatalf("%+v", r)
	}
	_ = udp.Close()
	speaks(t, "SocksPort", "tcp", at)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, kind := range []string{"HTTPTunnelPort", "DNSPort"} {
		other := map[string]string{"HTTPTunnelPort": "DNSPort", "DNSPort": "HTTPTunnelPort"}[kind]
		if r := set(t, n, "SocksPort 0", kind+" "+at, other+" "+taken.Addr().String()); r.Applied || !strings.Contains(r.Reason, "address already in use") {
			t.Fatalf("%+v", r)
		}
		speaks(t, "SocksPort", "tcp", at)
	}
	// Taken back after it was made, by another part's failure.
	for _, from := range []string{"SocksPort", "DNSPort"} {
		must(t, n, only(from, at)...)
		for _, to := range []string{"SocksPort", "HTTPTunnelPort", "DNSPort"} {
			if to == from {
				continue
			}
			back(t, n, to, at)
			speaks(t, from, "tcp", at)
		}
	}
}

// back makes a change and takes it back, as the configuration does when a later part
// fails.
func back(t *testing.T, n *Node, to, at string) {
	t.Helper()
	torrc := filepath.Join(t.TempDir(), "torrc")
	text := fmt.Sprintf("DataDirectory %s\n%s\n", t.TempDir(), strings.Join(only(to, at), "\n"))
	if err := os.WriteFile(torrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := config.Load(torrc, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := n.Config()
	step, err := (&actorParts{n}).Prepare(t.Context(), configuration.Change{Old: old, New: next})
	if err != nil {
		t.Fatal(err)
	}
	if err := step.Commit(); err != nil {
		t.Fatal(err)
	}
	if to != "DNSPort" {
		want := map[string]string{"SocksPort": socksAnswer, "HTTPTunnelPort": ""}[to]
		if got := dialog(t, "tcp", at, socksGreeting, 2); got != want {
			t.Errorf("before it is taken back, %s: %q", to, got)
		}
	}
	step.Undo()
}
