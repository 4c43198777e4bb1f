package sharing

import (
	"bytes"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/hosting"
	"chive/actors/kernel"
	"chive/config/logging"
	"chive/internal/invariant"
	"chive/internal/leak"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/onion"
	"chive/tor/onion/host"
	"chive/tor/onion/share"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	leak.Main(m, goleak.IgnoreTopFunction("chive/actors/kernel.(*pool).work"))
}

// store is what a fleet stores, for nodes that can be cut off from it.
type store struct {
	mu      sync.Mutex // protects the fields below
	number  uint64
	entries map[string]messages.ShareEntry
	nodes   []*port
}

// port is one node's way to it. It implements messages.SharePort.
type port struct {
	*store
	cut      bool
	full     bool // it is read, and stores nothing
	form     byte // of what this node writes and reads, as another version does
	watchers map[int]func(messages.ShareEntry)
	prefix   string
}

var errCut = errors.New("cut off")

// formed is a value as a node of another version has it.
func (p *port) formed(e messages.ShareEntry) messages.ShareEntry {
	if e.Value = bytes.Clone(e.Value); len(e.Value) > 0 {
		e.Value[0] ^= p.form
	}
	return e
}

func (p *port) put(key string, value []byte) uint64 {
	p.number++
	e := p.formed(messages.ShareEntry{Key: key, Value: value, Number: p.number})
	p.entries[key] = e
	e.Number = 0
	for _, n := range p.nodes {
		for _, see := range n.watchers {
			if !n.cut && strings.HasPrefix(key, n.prefix+".") {
				see(n.formed(e))
			}
		}
	}
	return p.number
}

func (p *port) ShareWrite(key string, value []byte, expect uint64, done func(uint64, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.cut, p.full:
		done(0, errCut)
	case p.entries[key].Number != expect:
		done(0, messages.ErrShareConflict)
	default:
		done(p.put(key, value), nil)
	}
}

func (p *port) SharePut(key string, value []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut && !p.full {
		p.put(key, value)
	}
}

func (p *port) ShareRead(key string, done func(messages.ShareEntry, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		done(messages.ShareEntry{}, errCut)
		return
	}
	done(p.formed(p.entries[key]), nil)
}

func (p *port) ShareList(prefix string, done func([]messages.ShareEntry, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		done(nil, errCut)
		return
	}
	var all []messages.ShareEntry
	for key, e := range p.entries {
		if strings.HasPrefix(key, prefix+".") {
			all = append(all, p.formed(e))
		}
	}
	done(all, nil)
}

func (p *port) ShareWatch(prefix string, see func(messages.ShareEntry)) (func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prefix = prefix
	id := len(p.watchers)
	p.watchers[id] = see
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watchers, id)
	}, nil
}

// scene is nodes of a fleet, each with a service's actor that the test plays.
type scene struct {
	t      *testing.T
	system *actor.ActorSystem
	store  *store
	key    *onion.SecretKey
	nodes  []*node
}

type node struct {
	*port
	name string
	pid  *actor.PID

	mu   sync.Mutex // protects the fields below
	role *hosting.Role
	ends int // it may end, so often
	log  []*chivev1.Envelope
	said bytes.Buffer // of its actor alone
}

func (n *node) parted() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ends
}

func onScene(t *testing.T, names []string, test func(*scene)) {
	synctest.Test(t, func(t *testing.T) {
		key, err := onion.GenerateSecretKey(crand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s := &scene{t: t, system: kernel.NewSystem(nil), key: key, store: &store{entries: map[string]messages.ShareEntry{}}}
		var others []*actor.PID
		for i, name := range names {
			n := &node{port: &port{store: s.store, watchers: map[int]func(messages.ShareEntry){}}, name: name}
			s.store.mu.Lock()
			s.store.nodes = append(s.store.nodes, n.port)
			s.store.mu.Unlock()
			host := s.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
				n.mu.Lock()
				defer n.mu.Unlock()
				switch m := ctx.Message().(type) {
				case *hosting.Role:
					n.role = m
				case *hosting.Parted:
					n.ends++
				}
			}))
			others = append(others, host)
			recorder := messages.NewRecorder(name, time.Now, 64)
			cancel := recorder.Observe(func(e *chivev1.Envelope) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.log = append(n.log, e)
			})
			defer cancel()
			n.pid = s.system.Root.Spawn(Props(Options{
				Fleet: "f", Node: name, Port: n.port, Hosting: host, Recorder: recorder, Log: slog.New(slog.NewTextHandler(&n.said, &slog.HandlerOptions{Level: logging.LevelNotice})),
				Now: time.Now, Rand: crand.Reader, Timing: share.Standard,
			}))
			s.nodes = append(s.nodes, n)
			s.shared(i, 0)
		}
		test(s)
		for _, n := range s.nodes {
			others = append(others, n.pid)
		}
		for _, pid := range others {
			if err := kernel.StopAndWait(s.system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
		kernel.Shutdown(s.system)
		var logs [][]*chivev1.Envelope
		for _, n := range s.nodes {
			logs = append(logs, n.log)
		}
		for _, v := range invariant.Publishers(logs...) {
			t.Error(v)
		}
	})
}

// shared has a node's service say what it brings.
func (s *scene) shared(i int, published uint64) {
	s.system.Root.Send(s.nodes[i].pid, &hosting.Shared{
		Service: "/site", ID: "id", Address: s.key.Address(), Secret: s.key.Common().Derive, Points: s.points(i), Published: published, Stored: published,
	})
}

// points are two introduction points of a node. Each has a key on the curve.
func (s *scene) points(i int) (out []host.ForeignPoint) {
	for j := range 2 {
		k, err := onion.GenerateSecretKey(bytes.NewReader(bytes.Repeat([]byte{byte(10*i + j + 1)}, 64)))
		if err != nil {
			s.t.Fatal(err)
		}
		p := host.ForeignPoint{AuthKey: k.Address(), EncKey: [32]byte(bytes.Repeat([]byte{byte(j + 9)}, 32))}
		p.Relay.RSA, p.Relay.OnionKey = [20]byte{byte(i), byte(j), 1}, [32]byte(bytes.Repeat([]byte{byte(j + 50)}, 32))
		p.Relay.IPv4 = netip.MustParseAddrPort("198.51.1.1:443")
		out = append(out, p)
	}
	return out
}

// publishers are the nodes whose last role says that they publish now.
func (s *scene) publishers() (out []*node) {
	synctest.Wait()
	for _, n := range s.nodes {
		n.mu.Lock()
		if n.role != nil && n.role.Publish && time.Now().Before(n.role.Until) {
			out = append(out, n)
		}
		n.mu.Unlock()
	}
	return out
}

func (s *scene) publisher() *node {
	s.t.Helper()
	all := s.publishers()
	if len(all) != 1 {
		s.t.Fatalf("%d nodes publish", len(all))
	}
	return all[0]
}

func (n *node) has() hosting.Role {
	n.mu.Lock()
	defer n.mu.Unlock()
	return *n.role
}

// One node publishes, the points of all. When it is cut off another takes its place, and
// lists the points of those that are there.
func TestOnePublishes(t *testing.T) {
	onScene(t, []string{"a", "b", "c"}, func(s *scene) {
		time.Sleep(10 * time.Second)
		first := s.publisher()
		for _, n := range s.nodes {
			if r := n.has(); len(r.Others) != 4 || r.Publisher != first.name || r.Epoch == 0 || r.Service != "/site" {
				t.Errorf("%s: %+v", n.name, r)
			}
		}
		first.store.mu.Lock()
		first.cut = true
		first.store.mu.Unlock()
		began := time.Now()
		for len(s.publishers()) == 1 && s.publishers()[0] == first { // until its right ends
			time.Sleep(100 * time.Millisecond)
		}
		for len(s.publishers()) == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("nobody publishes for %v", took)
		}
		second := s.publisher()
		r := second.has()
		if second == first || len(r.Others) != 2 || r.Floor == 0 || r.Floor < uint64(began.Unix()) || r.Ceiling <= r.Floor {
			t.Errorf("%s: %+v", second.name, r)
		}
		first.store.mu.Lock()
		first.cut = false
		first.store.mu.Unlock()
		time.Sleep(time.Minute)
		if now := s.publisher(); now != second || len(now.has().Others) != 4 {
			t.Errorf("%s publishes: %+v", now.name, now.has())
		}
		if r := first.has(); r.Publisher != second.name || r.Epoch != second.has().Epoch {
			t.Errorf("%+v", r)
		}
	})
}

// Servers that lost most of their number are read and store nothing. Then nobody publishes, and
// no node says that another did; when they store again one does.
func TestServersThatStoreNothing(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		time.Sleep(10 * time.Second)
		s.publisher()
		store := func(full bool) {
			s.store.mu.Lock()
			defer s.store.mu.Unlock()
			for _, n := range s.nodes {
				n.full = full
			}
		}
		store(true)
		time.Sleep(2 * time.Minute)
		if n := len(s.publishers()); n != 0 {
			t.Errorf("%d publish", n)
		}
		for _, n := range s.nodes {
			if r := n.has(); r.Publisher != "" {
				t.Errorf("%s says that %s publishes", n.name, r.Publisher)
			}
		}
		store(false)
		time.Sleep(2 * time.Minute)
		now, told := s.publisher(), false
		s.told(unstored, "store again what is said")
		for _, n := range s.nodes {
			if r := n.has(); r.Publisher != now.name {
				t.Errorf("%s says that %q publishes", n.name, r.Publisher)
			}
			n.mu.Lock()
			unknown := 0
			for _, e := range n.log {
				if c := e.GetHostingPublisherChanged(); c != nil && c.GetPublisher() == "" {
					unknown++
				}
			}
			n.mu.Unlock()
			if unknown > 1 {
				t.Errorf("%s told %d times that nobody is known to publish", n.name, unknown)
			}
			told = told || unknown == 1
		}
		if !told {
			t.Error("no node's history has it that nobody published")
		}
	})
}

// Servers that are away say nobody's name, and are said to be back.
func TestServersThatAreAway(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		for range 2 { // within the time in which the same is told once
			time.Sleep(10 * time.Second)
			s.publisher()
			s.cut(true)
			time.Sleep(time.Minute)
			s.cut(false)
			time.Sleep(time.Minute)
			s.told(unsaid, "says again who publishes")
		}
	})
}

func (s *scene) cut(cut bool) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for _, n := range s.nodes {
		n.cut = cut
	}
}

// told looks whether somebody was warned, and everybody who was then told that it is over.
func (s *scene) told(warned, over string) {
	s.t.Helper()
	synctest.Wait()
	all := 0
	for _, n := range s.nodes {
		said := n.said.String()
		n.said.Reset()
		warnings := strings.Count(said, warned)
		if all += warnings; warnings > 1 || strings.Count(said, over) != warnings || strings.LastIndex(said, over) < strings.LastIndex(said, warned) {
			s.t.Errorf("%s: %s", n.name, said)
		}
	}
	if all == 0 {
		s.t.Error("nobody was warned")
	}
}

// What a node's history has of who publishes is so: the node that takes the lease when servers
// store again forgets that nobody was known to, and tells it anew the next time; one that is
// behind names nobody who does not.
func TestWhoPublishesIsTold(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		store := func(full bool, nodes ...*node) {
			s.store.mu.Lock()
			defer s.store.mu.Unlock()
			for _, n := range nodes {
				n.full = full
			}
		}
		read := map[*node]int{}
		told := func(n *node) (all []string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, e := range n.log[read[n]:] {
				switch body := e.GetEvent().(type) {
				case *chivev1.Envelope_HostingLeaseTaken:
					all = append(all, n.name)
				case *chivev1.Envelope_HostingPublisherChanged:
					all = append(all, body.HostingPublisherChanged.GetPublisher())
				}
			}
			read[n] = len(n.log)
			return all
		}
		time.Sleep(10 * time.Second)
		first := s.publisher()
		other := s.nodes[0]
		if other == first {
			other = s.nodes[1]
		}
		for round := range 3 {
			told(first)
			told(other)
			store(true, s.nodes...)
			time.Sleep(2 * time.Minute)
			for _, n := range s.nodes {
				// Who published is told that it has not renewed, so knows nobody from then on.
				if got := told(n); n == other && !slices.Equal(got, []string{""}) || n == first && len(got) != 0 {
					t.Errorf("round %d: %s tells %q when nobody publishes", round, n.name, got)
				}
			}
			store(false, other) // the other is behind
			time.Sleep(2 * time.Minute)
			if s.publisher() != other {
				t.Fatal("who cannot store publishes")
			}
			for _, n := range s.nodes {
				if got := told(n); !slices.Equal(got, []string{other.name}) || n.has().Publisher != other.name {
					t.Errorf("round %d: %s tells %q, and says that %q publishes", round, n.name, got, n.has().Publisher)
				}
			}
			store(false, first)
			first, other = other, first
		}
	})
}

// A service that is shared no more gives way to another at once, and its points are kept until
// directories have a descriptor without them.
func TestUnshared(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		time.Sleep(10 * time.Second)
		first := s.publisher()
		heir := s.nodes[0]
		if heir == first {
			heir = s.nodes[1]
		}
		ceiling := first.has().Ceiling
		s.system.Root.Send(first.pid, &hosting.Unshared{Service: "/site"})
		synctest.Wait()
		if r := first.has(); r.Publish {
			t.Errorf("%+v", r)
		}
		if len(heir.has().Others) != 0 {
			t.Errorf("%s lists %+v", heir.name, heir.has().Others)
		}
		time.Sleep(time.Second)
		if s.publisher() != heir {
			t.Error("it publishes still")
		}
		if r := heir.has(); r.Floor < ceiling {
			t.Errorf("what was published before may be newer: %+v", r)
		}
		if first.parted() != 0 {
			t.Error("its introduction points end before they are out of the descriptor")
		}
		for i, n := range s.nodes {
			if n == heir {
				s.shared(i, heir.has().Floor+1)
			}
		}
		synctest.Wait()
		if first.parted() != 1 {
			t.Error("they never end")
		}
	})
}

// A node that comes back before it has left takes part again.
func TestSharedAgain(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		time.Sleep(10 * time.Second)
		first := s.publisher()
		s.system.Root.Send(first.pid, &hosting.Unshared{Service: "/site"})
		time.Sleep(time.Second)
		for i, n := range s.nodes {
			if n == first {
				s.shared(i, 0)
			}
		}
		time.Sleep(3 * time.Second)
		if n := s.publisher(); n == first || len(n.has().Others) != 2 || first.parted() != 0 {
			t.Errorf("%s publishes, and lists %d points of the other", n.name, len(n.has().Others))
		}
	})
}

// What a node used is known before the next one begins, though its clock be an hour ahead.
func TestUsedTimesAreKnown(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		time.Sleep(10 * time.Second)
		first := s.publisher()
		used := uint64(time.Now().Add(time.Hour).Unix())
		for i, n := range s.nodes {
			if n == first {
				s.shared(i, used)
			}
		}
		time.Sleep(3 * time.Second)
		if r := first.has(); r.Ceiling < used {
			t.Errorf("%+v: it may not publish", r)
		}
		first.store.mu.Lock()
		first.cut = true
		first.store.mu.Unlock()
		time.Sleep(15 * time.Second)
		if r := s.publisher().has(); r.Floor < used {
			t.Errorf("%+v: what the other published is newer", r)
		}
	})
}

// Who has not the key learns no address and no relay, and can do nothing but take away.
func TestWithoutTheKey(t *testing.T) {
	onScene(t, []string{"a", "b"}, func(s *scene) {
		time.Sleep(10 * time.Second)
		epoch := s.publisher().has().Epoch
		s.store.mu.Lock()
		if len(s.store.entries) != 3 {
			t.Errorf("%d entries", len(s.store.entries))
		}
		address := s.key.Address()
		point := s.points(0)[0]
		for key, e := range s.store.entries {
			all := append([]byte(key), e.Value...)
			for _, secret := range [][]byte{[]byte(address.Host()[:16]), address[:], point.AuthKey[:], point.EncKey[:], point.Relay.RSA[:8], []byte("/site")} {
				if bytes.Contains(bytes.ToLower(all), bytes.ToLower(secret)) {
					t.Errorf("%s tells %q", key, secret)
				}
			}
		}
		// Everything is stored again, as it was.
		for key, e := range s.store.entries {
			s.store.nodes[0].put(key, e.Value)
		}
		s.store.nodes[0].put(s.store.nodes[0].prefix+".node.z", []byte("rubbish"))
		s.store.nodes[0].put(s.store.nodes[0].prefix+".other", []byte("rubbish"))
		s.store.mu.Unlock()
		time.Sleep(20 * time.Second)
		if n := s.publisher(); len(n.has().Others) != 2 || n.has().Epoch <= epoch {
			t.Errorf("%s: %+v", n.name, n.has())
		}
		s.store.mu.Lock()
		for key := range s.store.entries {
			s.store.nodes[0].put(key, nil)
		}
		s.store.mu.Unlock()
		time.Sleep(20 * time.Second)
		if n := s.publisher(); len(n.has().Others) != 2 {
			t.Errorf("%s: %+v", n.name, n.has())
		}
	})
}
