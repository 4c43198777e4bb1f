package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chive/actors/block"
	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// lab is the node under test with what the network offers.
type lab struct {
	*reloadable
	n    *testnet.Network
	http string
	echo netip.AddrPort
	base []string // lines of every change
	user int
}

// newLab starts a node with these lines, which every later change keeps.
func newLab(t *testing.T, n *testnet.Network, base ...string) *lab {
	t.Helper()
	return &lab{
		reloadable: startReloadable(t, n, nil, base...), n: n, base: base,
		http: resource(n, 1000), echo: netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)),
	}
}

func (l *lab) set(t *testing.T, lines ...string) {
	t.Helper()
	l.must(t, append(l.base[:len(l.base):len(l.base)], lines...)...)
}

func (l *lab) get(t *testing.T, user string) func() error {
	return func() error {
		_, _, err := l.client.get(t.Context(), user, l.http)
		return err
	}
}

// once has a stream of a user who was not there before.
func (l *lab) once(t *testing.T) {
	t.Helper()
	l.user++
	if err := l.get(t, fmt.Sprintf("once%d", l.user))(); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) ping(user string) func() error {
	return func() error {
		e, err := l.reloadable.echo(user, l.echo)
		if err != nil {
			return err
		}
		defer e.Close()
		return e.roundTrip(0)
	}
}

// resolve asks for an address, as torsocks does.
func (l *lab) resolve(user string) func() error {
	return func() error {
		c, err := net.Dial("tcp", l.socks)
		if err != nil {
			return err
		}
		defer c.Close()
		return socksRequest(c, user, 0xf0, "target.test", 0)
	}
}

// same: do two requests go over one circuit?
func (l *lab) same(t *testing.T, one, two func() error) bool {
	t.Helper()
	return l.carrier(t, one) == l.carrier(t, two)
}

// Each option that is hot changes what the running node does, and the change back
// takes it back. One process, no restart; C tor's relays at the other end.
func TestEveryHotOptionChangesTheRunningNode(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Torrc: map[string][]string{
		"exit2": {"ExitPolicy reject *:7777"}, "exit3": {"ExitPolicy reject *:7777"}, // see predictedPorts
	}})
	socks := freePort(t)
	base := []string{
		"Log notice stderr", "SocksPort " + socks, "NewCircuitPeriod 1 day", "ConnectionPoolMaxIdle 1000",
		"ConfluxEnabled 0",           // single circuits are counted; see TestConflux
		"LearnCircuitBuildTimeout 0", // nor is any built to be measured, or twice as the first is late
	}
	l := newLab(t, n, base...)
	for _, test := range []struct {
		option string
		run    func(*testing.T, *lab)
	}{
		{"LogLevel", logLevel},
		{"IsolateDestinations", isolateDestinations},
		{"IsolateSOCKSAuth", isolateSOCKSAuth},
		{"IsolateClientPort", isolateClientPort},
		{"IsolateClientProtocol", isolateClientProtocol},
		{"EnableBufferPooling", bufferPooling},
		{"CircuitPoolMinSize and CircuitPoolMaxSize", poolSizes},
		{"EnableCircuitPrebuilding", prebuilding},
		{"PredictedPortsRelevanceTime", predictedPorts},
		{"NewCircuitPeriod", newCircuitPeriod},
		{"NumEntryGuards and NumPrimaryGuards", entryGuards},
		{"EnableConnectionPooling", connectionPooling},
		{"ConnectionPoolMaxLife", maxLife},
		{"CircuitBuildTimeout", buildTimeout},
		{"MaxCircuitDirtiness", dirtiness},
		{"ConnectionPoolMaxIdle", maxIdle},
		{"BandwidthRate", bandwidth},
		{"SocksRequestRate", requestRate},
		{"CircuitRate", circuitRate},
		{"MaxMemInQueues", memory},
		{"LongLivedPorts", rebuild},
		{"SocksPort", listeners},
	} {
		t.Run(test.option, func(t *testing.T) {
			test.run(t, l)
			if !t.Failed() {
				l.set(t)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// logLevel: what is too quiet to be logged is, after the change.
func logLevel(t *testing.T, l *lab) {
	refused := func() int {
		c, err := net.Dial("tcp", l.socks)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(c) // until it is refused: then it is logged
		return l.logged.Count("[info] request refused")
	}
	if n := refused(); n != 0 {
		t.Fatalf("%d lines at info", n)
	}
	l.set(t, "LogLevel info")
	if n := refused(); n != 1 {
		t.Fatalf("%d lines with LogLevel info", n)
	}
	l.set(t, "LogLevel err")
	if n := refused(); n != 1 {
		t.Fatalf("%d lines with LogLevel err", n)
	}
}

func isolateDestinations(t *testing.T, l *lab) {
	apart := func() bool { return !l.same(t, l.get(t, "dest"), l.ping("dest")) }
	if apart() {
		t.Fatal("two destinations on two circuits")
	}
	l.set(t, "IsolateDestinations 1")
	if !apart() {
		t.Fatal("two destinations on one circuit")
	}
	if !l.same(t, l.ping("dest"), l.ping("dest")) {
		t.Fatal("one destination on two circuits")
	}
}

func isolateSOCKSAuth(t *testing.T, l *lab) {
	apart := func(one, two string) bool { return !l.same(t, l.get(t, one), l.get(t, two)) }
	if !apart("alice", "bob") {
		t.Fatal("two users on one circuit")
	}
	l.set(t, "IsolateSOCKSAuth 0")
	if !apart("alice", "carol") {
		t.Fatal("a user is on a circuit whose streams were to be apart")
	}
	if apart("carol", "dave") {
		t.Fatal("two users on two circuits")
	}
	joint := l.carrier(t, l.get(t, "carol"))
	l.set(t)
	if !apart("carol", "dave") {
		t.Fatal("two users on one circuit again")
	}
	if l.carrier(t, l.get(t, "carol")) == joint {
		t.Fatal("an isolated stream is on the circuit that streams of others used")
	}
}

func isolateClientPort(t *testing.T, l *lab) {
	apart := func() bool { return !l.same(t, l.get(t, "port"), l.get(t, "port")) }
	if apart() {
		t.Fatal("two source ports on two circuits")
	}
	l.set(t, "IsolateClientPort 1")
	if !apart() {
		t.Fatal("two source ports on one circuit")
	}
}

func isolateClientProtocol(t *testing.T, l *lab) {
	apart := func() bool { return !l.same(t, l.get(t, "protocol"), l.resolve("protocol")) }
	if apart() {
		t.Fatal("CONNECT and RESOLVE on two circuits")
	}
	l.set(t, "IsolateClientProtocol 1")
	if !apart() {
		t.Fatal("CONNECT and RESOLVE on one circuit")
	}
}

// bufferPooling: without it every buffer is a new one. (Under the race detector
// a pool forgets some of its own accord.)
func bufferPooling(t *testing.T, l *lab) {
	reused := func() (reused, asked uint64) {
		asked0, made0 := block.Counts()
		if _, n, err := l.client.get(t.Context(), "buffers", resource(l.n, 4<<20)); err != nil || n != 4<<20 {
			t.Fatal(n, err)
		}
		asked1, made1 := block.Counts()
		return (asked1 - asked0) - (made1 - made0), asked1 - asked0
	}
	if again, asked := reused(); again < asked/4 {
		t.Fatalf("%d of %d buffers were used again", again, asked)
	}
	l.set(t, "EnableBufferPooling 0")
	if again, asked := reused(); again > 2 || asked < 20 { // one or two may be counted half
		t.Fatalf("without pooling %d of %d buffers were used again", again, asked)
	}
	l.set(t)
	if again, asked := reused(); again < asked/4 {
		t.Fatalf("%d of %d buffers were used again", again, asked)
	}
}

func poolSizes(t *testing.T, l *lab) {
	l.base[2] = "NewCircuitPeriod 1 second" // what was used before is soon no demand any more
	defer func() { l.base[2] = "NewCircuitPeriod 1 day" }()
	l.set(t, "CircuitPoolMaxSize 2")
	l.until(t, patience, "2 clean circuits", func() bool { return l.view().clean == 2 })
	l.set(t, "CircuitPoolMinSize 6", "CircuitPoolMaxSize 6")
	l.until(t, patience, "6 clean circuits", func() bool { return l.view().clean == 6 })
	l.set(t, "CircuitPoolMinSize 1", "CircuitPoolMaxSize 3")
	l.until(t, patience, "3 clean circuits", func() bool { return l.view().clean == 3 })
	if result := l.change(t, append(l.base, "CircuitPoolMinSize 5", "CircuitPoolMaxSize 3")...); result.Applied {
		t.Fatal("a minimum above the maximum was applied")
	}
}

func prebuilding(t *testing.T, l *lab) {
	l.set(t, "EnableCircuitPrebuilding 0")
	l.drained(t)
	_, from := l.events(0)
	l.once(t)
	if built := l.launched(from); len(built) != 1 || l.view().clean != 0 {
		t.Fatalf("for one stream %d circuits were built; %d are clean", len(built), l.view().clean)
	}
	l.set(t)
	l.until(t, patience, "2 clean circuits, with no stream asking", func() bool { return l.view().clean >= 2 })
}

// newCircuitPeriod: the number of circuits kept ready follows the demand, and falls again
// when a period without it has ended.
func newCircuitPeriod(t *testing.T, l *lab) {
	for range 14 {
		l.once(t)
	}
	l.until(t, patience, "as many clean circuits as were used", func() bool { return l.view().clean >= 14 })
	l.base[2] = "NewCircuitPeriod 1 second"
	l.set(t)
	l.until(t, patience, "no more clean circuits than are kept without demand", func() bool { return l.view().clean <= 10 })
	l.base[2] = "NewCircuitPeriod 1 day"
}

// afresh uses up clean circuits until n new ones were launched, and lists their
// connections.
func (l *lab) afresh(t *testing.T, n int) []string {
	t.Helper()
	_, from := l.events(0)
	for len(l.launched(from)) < n {
		l.once(t)
	}
	return l.launched(from)[:n]
}

func distinct(names []string) int {
	seen := map[string]bool{}
	for _, n := range names {
		seen[n] = true
	}
	return len(seen)
}

func connectionPooling(t *testing.T, l *lab) {
	if on := l.afresh(t, 6); distinct(on) > 3 { // one a guard
		t.Fatalf("6 circuits on %d connections", distinct(on))
	}
	l.settled(t)
	l.set(t, "EnableConnectionPooling 0")
	on := l.afresh(t, 6)
	if distinct(on) != 6 {
		t.Fatalf("6 circuits on %d connections, without sharing", distinct(on))
	}
	l.settled(t)
	l.set(t)
	before := map[string]bool{}
	for _, id := range on {
		before[id] = true
	}
	for _, id := range l.afresh(t, 6) {
		if before[id] {
			t.Fatal("a connection that was one circuit's has another")
		}
	}
}

// maxLife: a connection that is too old gets no new circuits, and keeps those it
// has.
func maxLife(t *testing.T, l *lab) {
	stays, err := l.reloadable.echo("maxlife", l.echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	l.settled(t)
	old := l.view().connected
	l.set(t, "ConnectionPoolMaxLife 1 msec")
	for _, id := range l.afresh(t, 4) {
		if old[id] {
			t.Fatal("a new circuit is on an old connection")
		}
	}
	if err := stays.roundTrip(1); err != nil {
		t.Fatalf("the stream on the old connection: %v", err)
	}
	l.settled(t) // each circuit that waits for a connection has one of its own
	l.set(t)
	kept := l.afresh(t, 6)
	if distinct(kept) > 3 {
		t.Fatalf("with the usual life 6 circuits on %d connections", distinct(kept))
	}
}

// buildTimeout: circuits that hang are given up earlier, those under way too.
func buildTimeout(t *testing.T, l *lab) {
	for _, x := range l.n.Nodes() {
		if x.Exit {
			if err := l.n.Stop(x.Name); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := l.n.Cont(x.Name); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	from := 0
	failed := func() (n int) {
		log, _ := l.events(from)
		young := map[string]bool{} // what was under way before had another time to open in
		for _, e := range log {
			if e.GetCircuitLaunched() != nil {
				young[e.GetActorId()] = true
			}
			if young[e.GetActorId()] && e.GetCircuitFailed().GetOutcome() == chivev1.Outcome_OUTCOME_TIMEOUT {
				n++
			}
		}
		return n
	}
	// More than are waited for: others may have opened since, and a guard that answers late
	// is not given many at a time.
	const some = 2
	pool := []string{"CircuitPoolMaxSize 64", fmt.Sprintf("CircuitPoolMinSize %d", l.view().clean+8)}
	_, from = l.events(0)
	l.set(t, pool...)
	l.until(t, patience, "circuits are being built", func() bool { return len(l.launched(from)) >= some })
	if n := failed(); n != 0 {
		t.Fatalf("%d timed out within the minute they have", n)
	}
	l.set(t, append(pool, "CircuitBuildTimeout 1 second")...)
	l.until(t, patience, "circuits time out", func() bool { return failed() >= some })
}

// dirtiness: circuits older than the new value end with their last stream.
func dirtiness(t *testing.T, l *lab) {
	used := l.carrier(t, l.get(t, "dirt"))
	if l.carrier(t, l.get(t, "dirt")) != used {
		t.Fatal("the second stream is on another circuit at once")
	}
	l.set(t, "MaxCircuitDirtiness 10 seconds")
	l.until(t, patience, "the used circuit is closed", func() bool {
		log, _ := l.events(0)
		for _, e := range log {
			if e.GetActorId() == used && e.GetCircuitClosed() != nil {
				return true
			}
		}
		return false
	})
	if l.carrier(t, l.get(t, "dirt")) == used {
		t.Fatal("a closed circuit carries a stream")
	}
}

// maxIdle: connections beyond the number are closed. Without circuits of its own
// making (they follow other rules and are not built again) the node has idle ones.
func maxIdle(t *testing.T, l *lab) {
	before := l.base
	l.base = append(before[:len(before):len(before)], "EnableCircuitPrebuilding 0", "LongLivedPorts 1,2")
	defer func() { l.base = before }()
	l.set(t)
	l.until(t, patience, "a connection without circuits", func() bool { return l.view().idle() > 0 })
	l.base[3] = "ConnectionPoolMaxIdle 0"
	l.set(t)
	l.until(t, patience, "no connection without circuits", func() bool { return l.view().idle() == 0 })
}

// rebuild: circuits built by other rules take no new streams, and keep those they
// have.
func rebuild(t *testing.T, l *lab) {
	stays, err := l.reloadable.echo("rebuild", l.echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	used := l.carrier(t, l.ping("rebuild"))
	l.set(t, "LongLivedPorts 1,2,3")
	l.until(t, patience, "new streams go elsewhere", func() bool {
		return l.carrier(t, l.ping("rebuild")) != used
	})
	if err := stays.roundTrip(1); err != nil {
		t.Fatalf("the stream on the old circuit: %v", err)
	}
}

// listeners: one opens, one closes, its streams go on; with a port that is taken
// nothing changes at all; and a file that is put into place is noticed.
func listeners(t *testing.T, l *lab) {
	stays, err := l.reloadable.echo("listeners", l.echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	old, fresh := l.socks, freePort(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	before := l.Config()
	result := l.change(t, l.base[0], "SocksPort "+fresh, "SocksPort "+taken.Addr().String(), "LogLevel debug", "MaxCircuitDirtiness 33 seconds")
	if result.Applied || !strings.Contains(result.Reason, "address already in use") {
		t.Fatalf("with a port that is taken: %+v", result)
	}
	if l.Config() != before {
		t.Fatal("something has changed all the same")
	}
	if c, err := net.Dial("tcp", fresh); err == nil {
		c.Close()
		t.Fatal("the listener that could be opened is open")
	}

	applied := func() (n int) {
		log, _ := l.events(0)
		for _, e := range log {
			if a := e.GetConfigApplied(); a.GetMouth() == "file" && strings.Contains(a.GetOptions(), "SocksPort") {
				n++
			}
		}
		return n
	}
	seen := applied()
	text := strings.Join(append(l.common[:len(l.common):len(l.common)], l.base[0], "SocksPort "+fresh), "\n") + "\n"
	aside := filepath.Join(l.dir, "aside")
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	longAgo := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(aside, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, l.torrc); err != nil {
		t.Fatal(err)
	}
	l.until(t, patience, "the file is noticed", func() bool { return applied() > seen })
	within(t, patience, "the old listener is closed", func() bool { // with its actor, a moment later
		c, err := net.Dial("tcp", old)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := stays.roundTrip(1); err != nil {
		t.Fatalf("the stream of the closed listener: %v", err)
	}
	l.socks = fresh
	if err := l.ping("listeners")(); err != nil {
		t.Fatalf("over the new listener: %v", err)
	}
	l.base[1] = "SocksPort " + fresh
}
