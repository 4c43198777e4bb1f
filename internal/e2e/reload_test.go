package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/actors/node"
	"chive/config"
	"chive/config/logging"
	"chive/internal/diary"
	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// reloadable is a node that reads its torrc again, as chive run makes it.
type reloadable struct {
	*client
	torrc   string
	common  []string
	logged  *diary.Log
	stirred chan struct{} // capacity 1: something happened
	opened  chan string   // addresses of listeners, as they open
}

// startReloadable runs a node whose torrc is the network's, the lines that stay
// and those that each change replaces.
func startReloadable(t *testing.T, n *testnet.Network, stay []string, change ...string) *reloadable {
	t.Helper()
	return startReloadableBy(t, n, nil, stay, change...)
}

// startReloadableBy gives it a clock.
func startReloadableBy(t *testing.T, n *testnet.Network, clock *machineClock, stay []string, change ...string) *reloadable {
	t.Helper()
	c := &client{t: t, dir: t.TempDir(), ready: make(chan struct{})}
	r := &reloadable{client: c, torrc: filepath.Join(c.dir, "torrc"), logged: &diary.Log{}, stirred: make(chan struct{}, 1), opened: make(chan string, 4096)}
	r.common = append(append(n.ClientTorrc(), "DataDirectory "+c.dir+"/data"), stay...)
	if !slices.ContainsFunc(slices.Concat(stay, change), func(l string) bool { return strings.HasPrefix(l, "SocksPort ") }) {
		r.common = append(r.common, "SocksPort 127.0.0.1:auto") // two tests cannot have the default's port
	}
	r.write(change...)
	source := &config.Source{File: r.torrc}
	loaded, err := source.Load()
	if err != nil {
		t.Fatal(err)
	}
	log, err := logging.New(loaded.Config, logging.Standard{Out: r.logged, Err: r.logged})
	if err != nil {
		t.Fatal(err)
	}
	c.Node, err = node.Start(t.Context(), node.Options{
		Config: loaded.Config, Source: source, Log: log.Logger, Logs: log, Version: "test", Now: clock.now(), Boot: clock.boot(),
		OnEvent: func(e *chivev1.Envelope) {
			c.see(e)
			select {
			case r.stirred <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Log(r.logged.String())
		}
	})
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	go func() {
		for {
			select {
			case a := <-c.Listening():
				r.opened <- a.String()
			case <-ended:
				return
			}
		}
	}()
	c.socks = r.listening("127.0.0.1:")
	select {
	case <-c.ready:
	case <-time.After(patience):
		t.Fatalf("not bootstrapped after %v: %+v", patience, c.Status())
	}
	return r
}

// listening is the next listener at an address that begins so.
func (r *reloadable) listening(prefix string) string {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case a := <-r.opened:
			if strings.HasPrefix(a, prefix) {
				return a
			}
		case <-deadline:
			r.t.Fatalf("no listener at %s after %v", prefix, patience)
		}
	}
}

// write replaces the torrc as a whole.
func (r *reloadable) write(change ...string) {
	r.t.Helper()
	stay := slices.DeleteFunc(slices.Clone(r.common), func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		return name == "OutboundBindAddress" && slices.ContainsFunc(change, func(l string) bool { return strings.HasPrefix(l, name+" ") })
	})
	text := strings.Join(append(stay, change...), "\n") + "\n"
	if err := os.WriteFile(r.torrc+".new", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.torrc+".new", r.torrc); err != nil {
		r.t.Fatal(err)
	}
}

// change writes the torrc and has the node take it over.
func (r *reloadable) change(t *testing.T, change ...string) messages.ConfigResult {
	t.Helper()
	r.write(change...)
	result, err := r.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// must is change that is to be applied.
func (r *reloadable) must(t *testing.T, change ...string) {
	t.Helper()
	if result := r.change(t, change...); !result.Applied {
		t.Fatalf("%q: %s", change, result.Reason)
	}
}

// until waits until something is so, looking again at each event; what looks may itself wait
// for events, so it looks now and then in any case.
func (r *reloadable) until(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for !so() {
		select {
		case <-r.stirred:
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// events gives the log from an index on, and where it ends.
func (r *reloadable) events(from int) ([]*chivev1.Envelope, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log[from:len(r.log):len(r.log)], len(r.log)
}

// echoed is an open stream to the echo port.
type echoed struct {
	net.Conn
	sent int
}

func (r *reloadable) echo(user string, target netip.AddrPort) (*echoed, error) {
	conn, err := net.Dial("tcp", r.socks)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return nil, err
	}
	if err := socksRequest(conn, user, 1, target.Addr().String(), target.Port()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &echoed{Conn: conn}, nil
}

// socksRequest asks for a host by name, with a user name.
func socksRequest(conn net.Conn, user string, command byte, host string, port uint16) error {
	request := []byte{5, 1, 2, 1, byte(len(user))}
	request = append(append(append(request, user...), 1, 'x', 5, command, 0, 3, byte(len(host))), host...)
	if _, err := conn.Write(append(request, byte(port>>8), byte(port))); err != nil {
		return err
	}
	var reply [14]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return err
	}
	if reply[1] != 2 || reply[3] != 0 || reply[5] != 0 {
		return fmt.Errorf("SOCKS replies %v", reply)
	}
	return nil
}

// roundTrip sends a line and reads it back.
func (e *echoed) roundTrip(id int) error {
	e.sent++
	text := fmt.Appendf(nil, "stream %d, message %d, and it still goes on\n", id, e.sent)
	if _, err := e.Write(text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(e, got); err != nil {
		return err
	}
	if !bytes.Equal(got, text) {
		return fmt.Errorf("%q came back for %q", got, text)
	}
	return nil
}

// loads are the changes of the test below: every kind, hot and rebuild, each
// differing from the one before it.
func loads(i int) []string {
	out := []string{
		fmt.Sprintf("MaxCircuitDirtiness %d seconds", 10+i%20),
		fmt.Sprintf("NewCircuitPeriod %d seconds", 1+i%5),
		fmt.Sprintf("CircuitBuildTimeout %d seconds", 20+i%40),
		fmt.Sprintf("CircuitPoolMinSize %d", i%4),
		fmt.Sprintf("CircuitPoolMaxSize %d", 4+i%8),
		fmt.Sprintf("EnableCircuitPrebuilding %d", i%2),
		fmt.Sprintf("ConnectionPoolMaxIdle %d", i%3),
		fmt.Sprintf("ConnectionPoolMaxLife %d seconds", []int{0, 1, 600}[i%3]),
		fmt.Sprintf("EnableConnectionPooling %d", (i/3)%2),
		fmt.Sprintf("EnableBufferPooling %d", (i/2)%2),
		fmt.Sprintf("IsolateDestinations %d", (i/4)%2),
		fmt.Sprintf("IsolateSOCKSAuth %d", (i/5)%2),
		fmt.Sprintf("IsolateClientPort %d", (i/6)%2),
		fmt.Sprintf("IsolateClientProtocol %d", (i/7)%2),
		"LogLevel " + []string{"debug", "info", "notice", "warn"}[i%4],
		fmt.Sprintf("LongLivedPorts %d", 1+i%2),
		fmt.Sprintf("SocksTimeout %d seconds", 60+i),
	}
	if i%10 == 5 { // and circuits built anew over another source address
		out = append(out, fmt.Sprintf("OutboundBindAddress 127.0.0.%d", 1+i%3))
	}
	switch i % 3 {
	case 0:
		out = append(out, "SocksPort 127.0.0.1:auto", "SocksPort 127.0.0.1:auto IsolateDestPort")
	case 1:
		out = append(out, "SocksPort 127.0.0.1:auto PreferIPv6")
	default:
		out = append(out, "SocksPort 127.0.0.2:auto")
	}
	return out
}

// 200 open streams carry data through 100 reloads of everything that is hot,
// listeners included; not one is dropped, and none loses a byte. Reloads that are
// not right are among them.
func TestStreamsSurviveReloads(t *testing.T) {
	const streams, reloads = 200, 100
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	r := startReloadable(t, n, []string{"Log notice stderr"}, "SocksPort 127.0.0.1:auto")
	target := netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort))

	open := make([]*echoed, streams)
	var opening sync.WaitGroup
	for i := range open {
		opening.Go(func() {
			var err error
			if open[i], err = r.echo(fmt.Sprintf("user%d", i%25), target); err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var trips, dropped atomic.Int64
	var running sync.WaitGroup
	for i, e := range open {
		running.Go(func() {
			defer e.Close()
			for last := false; ; last = ctx.Err() != nil {
				if err := e.roundTrip(i); err != nil {
					dropped.Add(1)
					t.Errorf("stream %d, after %d messages: %v", i, e.sent, err)
					return
				}
				trips.Add(1)
				if last {
					return
				}
			}
		})
	}
	applied := 0
	for i := range reloads {
		if i%7 == 3 {
			bad := r.change(t, append(loads(i), "CircuitPoolMaxSize many")...)
			if bad.Applied || !strings.Contains(bad.Reason, "CircuitPoolMaxSize") {
				t.Errorf("reload %d, with a mistake: %+v", i, bad)
			}
		}
		before := trips.Load()
		r.must(t, loads(i)...)
		applied++
		for trips.Load() < before+streams/4 && dropped.Load() == 0 { // every reload meets traffic
			select {
			case <-r.stirred:
			case <-time.After(time.Millisecond):
			}
		}
	}
	cancel()
	running.Wait()
	if dropped.Load() != 0 || applied != reloads {
		t.Errorf("%d of %d streams were dropped in %d reloads", dropped.Load(), streams, applied)
	}
	t.Logf("%d round trips on %d streams during %d reloads, revision %d", trips.Load(), streams, applied, revision(t, r))
	// And the node still serves what comes.
	r.must(t, "SocksPort 127.0.0.1:auto", "SocksPort 127.0.0.3:auto")
	r.socks = r.listening("127.0.0.3:")
	if _, size, err := r.get(t.Context(), "late", resource(n, 100_000)); err != nil || size != 100_000 {
		t.Errorf("afterwards: %d bytes, %v", size, err)
	}
}

func revision(t *testing.T, r *reloadable) uint64 {
	t.Helper()
	v, err := r.Control().ConfigView(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v.Revision
}
