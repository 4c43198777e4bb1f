package directory

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

// mirrors are directories that give what is asked for, and nothing else; lacks says
// what one of them does not have.
type mirrors struct {
	docs   *netdoctest.Network
	byName map[string]*netdoctest.Relay
	lacks  func(who netdoc.Digest, d netdoc.MDDigest) bool
	mu     sync.Mutex
	most   int // microdescriptors in one request
	now    int // requests that run
	peak   int
	asked  map[netdoc.Digest]int // microdescriptors, by directory
	hold   chan struct{}         // if set, answers wait for it
}

func newMirrors(n *netdoctest.Network) *mirrors {
	byName := map[string]*netdoctest.Relay{}
	for _, r := range n.Relays {
		byName[r.MD.String()] = r
	}
	return &mirrors{docs: n, byName: byName, lacks: func(netdoc.Digest, netdoc.MDDigest) bool { return false }, asked: map[netdoc.Digest]int{}}
}

// DialDir implements Dialer.
func (m *mirrors) DialDir(ctx context.Context, t Target) (net.Conn, error) {
	n := &network{docs: m.docs}
	n.change = func(path string, answer []byte) []byte {
		list, ok := strings.CutPrefix(path, "/tor/micro/d/")
		if !ok {
			return answer
		}
		names := strings.Split(list, "-")
		m.mu.Lock()
		m.asked[t.Identity] += len(names)
		m.most = max(m.most, len(names))
		m.now++
		m.peak = max(m.peak, m.now)
		m.mu.Unlock()
		if m.hold != nil {
			<-m.hold
		}
		var b bytes.Buffer
		b.WriteString("HTTP/1.0 200 OK\r\n\r\n")
		for _, name := range names {
			if r := m.byName[name]; r != nil && !m.lacks(t.Identity, r.MD) {
				b.Write(r.Microdesc)
			}
		}
		m.mu.Lock()
		m.now--
		m.mu.Unlock()
		return b.Bytes()
	}
	return n.DialDir(ctx, t)
}

func (m *mirrors) bench(t *testing.T, n int) *bench {
	b := newBench(t, &network{docs: m.docs}, t.TempDir(), duringValidity(m.docs))
	b.o.Dialer = m
	var guards []Target
	for i := range n {
		guards = append(guards, Target{Identity: netdoc.Digest{10 + byte(i)}})
	}
	b.o.Guards = func() []Target { // all of them are in use
		b.o.Rand.Shuffle(len(guards), func(i, j int) { guards[i], guards[j] = guards[j], guards[i] })
		return guards
	}
	return b
}

// "After choosing mirrors, the client divides the descriptors among them": batches are
// bounded, and so is how many of them are asked for at once.
func TestMicrodescriptorsInParallel(t *testing.T) {
	m := newMirrors(netdoctest.New(netdoctest.Options{Relays: 700, Seed: 5}))
	m.hold = make(chan struct{})
	b := m.bench(t, 3)
	done := make(chan error)
	go func() { done <- b.once(t) }()
	for range (700 + 91) / 92 {
		m.hold <- struct{}{}
	}
	if err := <-done; err != nil || !b.enough() || len(b.missing()) != 0 {
		t.Fatalf("%v, enough %v", err, b.enough())
	}
	if m.most > 92 || m.peak > parallel || len(m.asked) < 2 {
		t.Errorf("%d in one request, %d requests at once, of %d directories", m.most, m.peak, len(m.asked))
	}
}

// What one directory lacks, the next is asked for, and the first is asked for the rest.
func TestWhatOneLacksAnotherHas(t *testing.T) {
	m := newMirrors(netdoctest.New(netdoctest.Options{Relays: 200, Seed: 5}))
	m.lacks = func(who netdoc.Digest, d netdoc.MDDigest) bool { return who[0] == 10 && d[0]%4 == 0 }
	b := m.bench(t, 2)
	if err := b.once(t); err != nil || len(b.missing()) != 0 {
		t.Fatalf("%v, %d missing", err, len(b.missing()))
	}
	if len(b.shunned) != 0 || len(b.misses) != 0 || len(b.rejected()) != 0 {
		t.Errorf("shunned %v, misses %v, rejected %v", b.shunned, b.misses, b.rejected())
	}
}

// TROVE-2026-034: a cache that withholds makes no relay unusable. Its relays are asked
// for elsewhere, again and again, but not all the time.
func TestWithheldMicrodescriptors(t *testing.T) {
	docs := netdoctest.New(netdoctest.Options{Relays: 200, Seed: 5})
	withheld := docs.Relays[7].MD
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrors(docs)
		b := m.bench(t, 2)
		b.o.CacheDir, b.store.dir = dir, dir
		begin := time.Now()
		b.o.Now = func() time.Time { return duringValidity(docs).Add(time.Since(begin)) }
		m.lacks = func(_ netdoc.Digest, d netdoc.MDDigest) bool { return d == withheld }
		if err := b.once(t); err != nil || !b.enough() || len(b.missing()) != 1 {
			t.Fatalf("%v, enough %v, %d missing", err, b.enough(), len(b.missing()))
		}
		var waits []time.Duration
		for range 5 {
			wait := b.nextMicrodescs().Sub(b.o.Now())
			waits = append(waits, wait)
			pause(t.Context(), wait)
			_ = b.fetchMicrodescs(t.Context()) // it is withheld again
		}
		if got := fmt.Sprint(waits); got != "[1m0s 5m0s 10m0s 1h0m0s 1h0m0s]" {
			t.Errorf("asked again after %s", got)
		}
		m.lacks = func(netdoc.Digest, netdoc.MDDigest) bool { return false }
		pause(t.Context(), time.Hour)
		if err := b.fetchMicrodescs(t.Context()); err != nil || len(b.missing()) != 0 || len(b.misses) != 0 {
			t.Errorf("once somebody has it: %v, %d missing", err, len(b.missing()))
		}
	})
}

// Directories that drip headers are given up when their time is over (TROVE-2026-046).
func TestHeadersThatDrip(t *testing.T) {
	docs := documents()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &network{docs: docs}, dir, duringValidity(docs))
		b.o.Dialer = drip{}
		begin := time.Now()
		err := b.once(t)
		synctest.Wait()
		if err == nil {
			t.Fatal("accepted")
		}
		if took := time.Since(begin); took != fetchTime {
			t.Errorf("given up after %v, want %v", took, fetchTime)
		}
		if got := fmt.Sprint(b.rejected()); got != "[timeout]" {
			t.Errorf("rejected %s", got)
		}
	})
}

type drip struct{}

// DialDir implements Dialer.
func (drip) DialDir(ctx context.Context, _ Target) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := theirs.Read(make([]byte, 4096)); err != nil {
			return
		}
		for _, err := theirs.Write([]byte("HTTP/1.0 200 OK\r\n")); err == nil && pause(ctx, 7*time.Second); {
			_, err = theirs.Write([]byte("X: y\r\n"))
		}
	}()
	return ours, nil
}

// A client without a protocol that the authorities require uses the network no more, and
// does again when they don't.
func TestRequiredProtocols(t *testing.T) {
	docs := netdoctest.New(netdoctest.Options{Relays: 30, Seed: 7, Required: "Link=4 Relay=2,62"})
	n := &network{docs: docs}
	b := newBench(t, n, t.TempDir(), duringValidity(docs))
	if err := b.once(t); err != nil || b.enough() || !b.updates[len(b.updates)-1].Unusable {
		t.Fatalf("%v, enough %v", err, b.enough())
	}
	for _, path := range n.asked {
		if strings.HasPrefix(path, "/tor/micro/") {
			t.Errorf("asked for %s", path)
		}
	}
	n.docs = following(docs)
	n.docs.Body = bytes.Replace(n.docs.Body, []byte("Relay=2,62"), []byte("Relay=2"), 1)
	n.docs.Consensus = netdoctest.Sign(n.docs.Body, "sha256", docs.Authorities...)
	b.o.Now = func() time.Time { return duringValidity(docs).Add(time.Hour) }
	now := b.o.Now()
	if err := b.step(t.Context(), &now); err != nil || !b.enough() {
		t.Fatalf("%v, enough %v", err, b.enough())
	}
	var told []string
	for _, e := range b.events {
		if m, ok := e.GetEvent().(*chivev1.Envelope_ProtocolsMissing); ok {
			told = append(told, m.ProtocolsMissing.GetRequired())
		}
	}
	if got := fmt.Sprintf("%q", told); got != `["Relay=62" ""]` {
		t.Errorf("told %s", got)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
