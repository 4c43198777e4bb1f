package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"chive/actors/keystore"
	"chive/bridge"
	"chive/internal/invariant"
	"chive/messages"
	"chive/messages/chivev1"
)

// sharers are nodes, each a process of its own, that host one onion service together, and
// what the fleet hears of it.
type sharers struct {
	*hostingLab
	h       *hubs   // nil: the nodes' own servers are a cluster
	wires   []*wire // between a node and its NATS server; none with a cluster
	all     []*process
	address string
	grown   chan struct{}

	mu  sync.Mutex // protects log
	log []*chivev1.Envelope
}

// startSharers starts Debian's NATS server, relays of C tor, and three nodes that share a
// service with the same key in the folder of each.
func startSharers(t *testing.T) *sharers {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, built := building(t, dir)
	s := &sharers{hostingLab: startHostingLab(t), h: startHubs(t, 1, "256MB"), grown: make(chan struct{}, 1)}
	built()
	nc, _ := s.h.as(t, bridge.RoleObserve)
	s.follow(t, nc)
	var key []byte
	for i := range 3 {
		p := &process{name: s.h.node(i), binary: binary, socks: freePort(t)}
		p.data = filepath.Join(dir, p.name)
		service := filepath.Join(dir, "site-"+p.name)
		key = s.folder(t, service, key)
		w := startWire(t, strings.TrimPrefix(s.h.urls[0], "nats://"))
		s.wires = append(s.wires, w)
		var lines []string
		for _, line := range s.h.torrc(i) {
			lines = append(lines, strings.Replace(line, s.h.urls[0], "nats://"+w.listener.Addr().String(), 1))
		}
		lines = append(append(s.ClientTorrc(), lines...), "DataDirectory "+p.data, "SocksPort "+p.socks,
			"HiddenServiceDir "+service, "HiddenServicePort 80 "+s.http, "HiddenServiceShared 1")
		p.torrc = filepath.Join(dir, p.name+".torrc")
		if err := os.WriteFile(p.torrc, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.all = append(s.all, p)
	}
	t.Cleanup(func() {
		for _, p := range s.all {
			p.kill()
			if t.Failed() {
				t.Logf("%s:\n%s", p.name, p.said.String())
			}
		}
	})
	s.begin(t)
	return s
}

// startSharersOnCluster is the same for nodes whose embedded servers are one cluster: who
// is killed takes a server with it.
func startSharersOnCluster(t *testing.T) *sharers {
	t.Helper()
	s := &sharers{hostingLab: startHostingLab(t), grown: make(chan struct{}, 1)}
	s.all, _ = embedded(t, s.Network)
	var key []byte
	var urls []string
	for _, p := range s.all {
		service := p.data + "-site"
		key = s.folder(t, service, key)
		f, err := os.OpenFile(p.torrc, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = fmt.Fprintf(f, "HiddenServiceDir %s\nHiddenServicePort 80 %s\nHiddenServiceShared 1\n", service, s.http)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, "nats://"+p.nats)
	}
	s.begin(t)
	nc, _ := dialAs(t, strings.Join(urls, ","), filepath.Join(filepath.Dir(s.all[0].data), "observe"))
	eventually(t, "a server is there", func() error { return nc.FlushTimeout(time.Second) })
	s.follow(t, nc)
	return s
}

// begin starts the nodes.
func (s *sharers) begin(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			for _, e := range s.events() {
				t.Log(e.GetNode(), messages.Text(e))
			}
		}
	})
	for _, p := range s.all {
		p.start(t)
	}
}

// folder makes one node's folder of the service; the first makes the key.
func (s *sharers) folder(t *testing.T, dir string, key []byte) []byte {
	t.Helper()
	const name = "hs_ed25519_secret_key"
	if key != nil {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keystore.OpenService(dir, false, rand.Reader); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	s.address = addressOf(t, dir)
	return key
}

// follow keeps what the nodes tell of onion services.
func (s *sharers) follow(t *testing.T, nc *nats.Conn) {
	t.Helper()
	_, err := nc.Subscribe(messages.Version+".f.*.evt.hosting.>", func(m *nats.Msg) {
		e, err := messages.Decode(m.Data)
		if err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		s.log = append(s.log, e)
		s.mu.Unlock()
		select {
		case s.grown <- struct{}{}:
		default:
		}
	})
	if err == nil {
		err = nc.FlushTimeout(patience)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *sharers) events() []*chivev1.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// next waits for the first event from position from on that is wanted, and gives it with
// the position behind it. patience only bounds a test that fails.
func (s *sharers) next(t *testing.T, from int, patience time.Duration, what string, wanted func(*chivev1.Envelope) bool) (*chivev1.Envelope, int) {
	t.Helper()
	late := time.After(patience)
	for at := from; ; {
		all := s.events()
		for ; at < len(all); at++ {
			if wanted(all[at]) {
				return all[at], at + 1
			}
		}
		select {
		case <-s.grown:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// publisher is the node that took the lease last.
func (s *sharers) publisher() (name string, epoch uint64) {
	for _, e := range s.events() {
		if l := e.GetHostingLeaseTaken(); l != nil {
			name, epoch = e.GetNode(), l.GetEpoch()
		}
	}
	return name, epoch
}

func (s *sharers) named(name string) *process {
	return s.all[slices.IndexFunc(s.all, func(p *process) bool { return p.name == name })]
}

// complete waits until one node publishes, everywhere, the points of so many nodes.
func (s *sharers) complete(t *testing.T, from int, nodes uint32) int {
	t.Helper()
	described, at := s.next(t, from, patience, fmt.Sprintf("a descriptor with the points of %d nodes", nodes), func(e *chivev1.Envelope) bool {
		return e.GetHostingDescribed().GetPoints() == 3*nodes
	})
	_, at = s.next(t, at, patience, "it is published", func(e *chivev1.Envelope) bool {
		return e.GetNode() == described.GetNode() && e.GetHostingPublished() != nil
	})
	return at
}

// failover kills the publisher, and measures from then on.
type failover struct{ taken, stored, everywhere time.Duration }

func (s *sharers) failover(t *testing.T, visitor *client) (out failover) {
	t.Helper()
	dead, _ := s.publisher()
	at := len(s.events())
	began := time.Now()
	s.named(dead).kill()
	_, out = s.succeeds(t, at, dead, began, patience)
	visitor.fetchOnion(t, "", s.address, 100_000)
	return out
}

// succeeds waits until another node publishes for a service whose publisher is no more: from
// its first descriptor on without that one's introduction points. taken is that it takes the lease.
func (s *sharers) succeeds(t *testing.T, at int, former string, began time.Time, within time.Duration) (taken *chivev1.Envelope, out failover) {
	t.Helper()
	since := func(e *chivev1.Envelope) time.Duration { return e.GetTime().AsTime().Sub(began) }
	taken, at = s.next(t, at, within, "another node takes the lease", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseTaken() != nil && e.GetNode() != former
	})
	out.taken = since(taken)
	made, at := s.next(t, at, within, "a new descriptor", func(e *chivev1.Envelope) bool {
		return e.GetNode() == taken.GetNode() && e.GetHostingDescribed() != nil
	})
	if n := made.GetHostingDescribed().GetPoints(); n != 6 {
		t.Errorf("the first descriptor of the new publisher lists %d introduction points, want those of the two other nodes: 6", n)
	}
	stored, at := s.next(t, at, within, "a directory has it", func(e *chivev1.Envelope) bool {
		return e.GetNode() == taken.GetNode() && e.GetHostingStored().GetOutcome() == chivev1.Outcome_OUTCOME_OK
	})
	out.stored = since(stored)
	everywhere, _ := s.next(t, at, within, "every directory has it", func(e *chivev1.Envelope) bool {
		return e.GetNode() == taken.GetNode() && e.GetHostingPublished() != nil
	})
	out.everywhere = since(everywhere)
	return taken, out
}

// alone: at no time did two of the nodes publish.
func (s *sharers) alone(t *testing.T) {
	t.Helper()
	for _, v := range invariant.Publishers(s.events()) {
		t.Error(v)
	}
}

// TestHostingOnAFleet: three nodes host one service. Its publisher is killed, cut off from
// NATS, and stopped for longer than its lease.
func TestHostingOnAFleet(t *testing.T) {
	t.Parallel()
	s := startSharers(t)
	visitors := []*client{ctor(t, s.Network, "first"), ctor(t, s.Network, "second")}
	s.complete(t, 0, 3)
	visitors[0].fetchOnion(t, "", s.address, 100_000)
	s.views(t)
	f := s.failover(t, visitors[1])
	t.Logf("lease taken %v after kill -9, first directory has the new descriptor after %v, all after %v", f.taken, f.stored, f.everywhere)
	s.stopped(t)
	s.alone(t)
}

// views: what each node tells of the service says whose view it is, and who publishes.
func (s *sharers) views(t *testing.T) {
	t.Helper()
	holder, _ := s.publisher()
	for _, p := range s.all {
		if st := p.why(t, s.address[:16]); st.Node != p.name || !st.Shared || st.Publisher != holder {
			t.Errorf("%s tells what node %q saw, shared %v, published by %q: it is %q", p.name, st.Node, st.Shared, st.Publisher, holder)
		}
		out, err := p.ask(t, "onion", "why", s.address[:16])
		if err != nil || !strings.Contains(out, "\nseveral nodes host it; this is the view of node "+p.name+": ") {
			t.Errorf("%s: %v\n%s", p.name, err, out)
		}
	}
}

// TestHostingFailovers measures how long a service is without a publisher when that one is
// killed, as often as CHIVE_SHARED_FAILOVERS says, and then cuts the publisher off and stops
// it. It is none of make test.
func TestHostingFailovers(t *testing.T) {
	times, err := strconv.Atoi(os.Getenv("CHIVE_SHARED_FAILOVERS"))
	if err != nil {
		t.Skip("CHIVE_SHARED_FAILOVERS says how often a publisher is killed")
	}
	t.Run("servers of their own", func(t *testing.T) {
		s := startSharers(t)
		s.failovers(t, times)
		s.memberDies(t)
		s.cutOff(t)
		s.stoppedFor(t, 40*time.Second)
		s.alone(t)
	})
	t.Run("embedded servers", func(t *testing.T) {
		s := startSharersOnCluster(t)
		s.failovers(t, times)
		s.alone(t)
	})
}

// failovers kills the publisher so often, and starts it again each time.
func (s *sharers) failovers(t *testing.T, times int) {
	t.Helper()
	s.complete(t, 0, 3)
	var taken, stored, everywhere []time.Duration
	for i := range times {
		visitor := ctor(t, s.Network, fmt.Sprint("visitor", i))
		dead, _ := s.publisher()
		f := s.failover(t, visitor)
		taken, stored, everywhere = append(taken, f.taken), append(stored, f.stored), append(everywhere, f.everywhere)
		at := len(s.events())
		s.named(dead).start(t)
		s.complete(t, at, 3)
	}
	for what, all := range map[string][]time.Duration{"lease taken": taken, "new descriptor at a directory": stored, "new descriptor everywhere": everywhere} {
		slices.Sort(all)
		t.Logf("%d times kill -9, %s: p50 %v, p90 %v, max %v", times, what, all[len(all)/2].Round(time.Millisecond), all[(len(all)*9+9)/10-1].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
	}
}

// memberDies kills one that does not publish: the publisher lists its points no more.
func (s *sharers) memberDies(t *testing.T) {
	t.Helper()
	holder, _ := s.publisher()
	dead := s.all[slices.IndexFunc(s.all, func(p *process) bool { return p.name != holder })]
	at := len(s.events())
	began := time.Now()
	dead.kill()
	made, _ := s.next(t, at, patience, "a descriptor without the points of the dead node", func(e *chivev1.Envelope) bool {
		return e.GetNode() == holder && e.GetHostingDescribed().GetPoints() == 6
	})
	t.Logf("kill -9 of another node: its introduction points are left out after %v", made.GetTime().AsTime().Sub(began).Round(time.Millisecond))
	at = len(s.events())
	dead.start(t)
	s.complete(t, at, 3)
}

// cutOff has nothing pass between the publisher and its NATS server, until another node
// publishes.
func (s *sharers) cutOff(t *testing.T) {
	t.Helper()
	holder, epoch := s.publisher()
	i := slices.Index(s.all, s.named(holder))
	at := len(s.events())
	s.wires[i].set(silent)
	other, at := s.next(t, at, patience, "another node takes the lease", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseTaken() != nil && e.GetNode() != holder
	})
	_, at = s.next(t, at, patience, "it publishes", func(e *chivev1.Envelope) bool {
		return e.GetNode() == other.GetNode() && e.GetHostingPublished() != nil
	})
	s.wires[i].set(passing)
	// What it told meanwhile comes now.
	s.next(t, at, patience, "the node that was cut off has ended its part", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseLost().GetEpoch() == epoch && e.GetNode() == holder
	})
	at = len(s.events())
	s.next(t, at, patience, "it knows who publishes", func(e *chivev1.Envelope) bool {
		return e.GetHostingPublisherChanged() != nil && e.GetNode() == holder
	})
}

// stopped has the publisher stopped by a signal until another publishes, and go on.
func (s *sharers) stopped(t *testing.T) { s.stoppedFor(t, 0) }

// stoppedFor is the same, for so long at least.
func (s *sharers) stoppedFor(t *testing.T, least time.Duration) {
	t.Helper()
	over := time.NewTimer(least)
	defer over.Stop()
	holder, epoch := s.publisher()
	p, at := s.named(holder), len(s.events())
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now() // what it did before may be told later
	other, at := s.next(t, at, patience, "another node takes the lease", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseTaken() != nil && e.GetNode() != holder
	})
	_, at = s.next(t, at, patience, "it publishes", func(e *chivev1.Envelope) bool {
		return e.GetNode() == other.GetNode() && e.GetHostingPublished() != nil
	})
	<-over.C
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lost, _ := s.next(t, at, patience, "the node that was stopped knows that its lease is over", func(e *chivev1.Envelope) bool {
		return e.GetHostingLeaseLost() != nil && e.GetNode() == holder
	})
	if l := lost.GetHostingLeaseLost(); l.GetEpoch() != epoch || l.GetReason() != "not-renewed" {
		t.Errorf("%s", messages.Text(lost))
	}
	for _, e := range s.events()[at:] {
		if e.GetNode() == holder && e.GetTime().AsTime().After(stopped) && (e.GetHostingStored() != nil || e.GetHostingDescribed() != nil) {
			t.Errorf("it publishes after it was stopped: %s", messages.Text(e))
		}
	}
}
