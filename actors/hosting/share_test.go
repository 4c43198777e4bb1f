package hosting

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/keystore"
	"chive/config"
	"chive/messages"
	torcircuit "chive/tor/circuit"
	"chive/tor/netdoc"
	"chive/tor/onion/host"
	"chive/tor/onion/relaymsg"
	"chive/tor/path"
)

// stage is hosting actors of several nodes with circuits that the test plays: every
// relay does what it is asked for.
type stage struct {
	t      *testing.T
	system *actor.ActorSystem
	all    []*actor.PID

	mu      sync.Mutex // protects what follows
	slow    bool       // directories do not answer
	cut     int        // uploads that were broken off
	sent    map[int]int
	heard   []any // what the coordinator is told
	sharing *actor.PID
	owner   *actor.PID // of the last circuit
	panics  bool       // the next time that a service asks what time it is
}

// onStage runs a test in virtual time.
func onStage(t *testing.T, test func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, system: kernel.NewSystem(nil), sent: map[int]int{}}
		s.sharing = s.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *Shared, *Unshared:
				s.mu.Lock()
				defer s.mu.Unlock()
				s.heard = append(s.heard, ctx.Message())
			}
		}))
		s.all = append(s.all, s.sharing)
		test(s)
		for _, pid := range slices.Backward(s.all) {
			if err := kernel.StopAndWait(s.system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
		kernel.Shutdown(s.system)
	})
}

// node starts one that hosts services.
func (s *stage) node(n int, services ...config.OnionService) *actor.PID {
	relays := s.system.Root.Spawn(kernel.Func(s.playCircuits))
	var seed atomic.Uint64
	seed.Store(uint64(n))
	pid := s.system.Root.Spawn(Props(Options{
		Circuits: relays, Recorder: messages.NewRecorder("test", time.Now, 64), Log: slog.New(slog.DiscardHandler), Now: s.now,
		Rand: func() *rand.Rand { return rand.New(rand.NewPCG(seed.Add(100), 1)) }, Testing: true, Services: services, Sharing: s.sharing, Signals: new(Signals),
		Publish: func(ctx context.Context, _ *actor.PID, _ uint64, _ []byte) (int, error) {
			s.mu.Lock()
			s.sent[n]++
			slow := s.slow
			s.mu.Unlock()
			if ctx.Err() != nil {
				s.t.Error("an upload begins after its time")
			}
			if slow {
				<-ctx.Done()
				s.mu.Lock()
				s.cut++
				s.mu.Unlock()
				return 0, ctx.Err()
			}
			return 200, nil
		},
	}))
	s.all = append(s.all, relays, pid)
	s.system.Root.Send(pid, hostingNetwork(30))
	synctest.Wait()
	return pid
}

// pass lets time go by, which costs none.
func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		s.panics = false
		panic("the clock stopped")
	}
	return time.Now()
}

// playCircuits opens every circuit, and has its last hop be an introduction point.
func (s *stage) playCircuits(ctx actor.Context) {
	m, ok := ctx.Message().(*circuits.Open)
	if !ok {
		return
	}
	s.mu.Lock()
	s.owner = m.Owner
	s.mu.Unlock()
	pid := ctx.Spawn(kernel.Func(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *circuit.Prove:
			ctx.Send(m.Owner, &circuit.Proof{Token: m.Token})
		case *circuit.EstablishIntro:
			ctx.Send(m.Owner, &circuit.Heard{Token: m.Token, What: torcircuit.IntroEstablished, Data: relaymsg.AppendIntroEstablished(nil)})
		}
	}))
	ctx.Send(m.Owner, &circuits.Ready{Token: m.Token, ID: "c", PID: pid})
}

// hostingNetwork has so many relays, each fit for everything.
func hostingNetwork(n int) *circuits.OnionNetwork { return hostingNetworkAt(n, time.Now()) }

func hostingNetworkAt(n int, now time.Time) *circuits.OnionNetwork {
	can, _ := netdoc.ParseProtocols("HSDir=2 HSIntro=4-5")
	c := &netdoc.Consensus{ValidAfter: now, FreshUntil: now.Add(time.Hour), ValidUntil: now.Add(3 * time.Hour), Params: netdoc.Params{}}
	for i := range n {
		c.Relays = append(c.Relays, netdoc.RouterStatus{
			Identity: netdoc.Digest{byte(i + 2)}, MD: netdoc.MDDigest{byte(i + 2)}, Protocols: can, Bandwidth: 1000,
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagHSDir | netdoc.FlagV2Dir,
		})
	}
	return circuits.NewOnionNetwork(c, path.NewIndex(c, func(m netdoc.MDDigest) *netdoc.Microdesc {
		return &netdoc.Microdesc{NtorKey: [32]byte{m[0], 5}, Ed25519: netdoc.Ed25519ID{m[0]}}
	}, path.Options{}))
}

// told is the last that the coordinator was told of a folder; nil: that it is not shared.
func (s *stage) told(dir string) (last *Shared) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.heard {
		switch m := m.(type) {
		case *Shared:
			if m.Service == dir {
				last = m
			}
		case *Unshared:
			if m.Service == dir {
				last = nil
			}
		}
	}
	return last
}

func (s *stage) uploads(n int) int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[n]
}

func (s *stage) statusOf(pid *actor.PID) Status {
	s.t.Helper()
	all, err := kernel.Ask(s.t.Context(), s.system, pid, func(r kernel.Reply[[]Status]) any {
		return &List{Tell: func(all []Status) { r.Send(all) }}
	})
	if err != nil || len(all) != 1 {
		s.t.Fatalf("%d services, %v", len(all), err)
	}
	return all[0]
}

// folders are of one service, for so many nodes.
func folders(t *testing.T, n int) (out []config.OnionService) {
	t.Helper()
	var key []byte
	for i := range n {
		dir := filepath.Join(t.TempDir(), "hs")
		name := filepath.Join(dir, "hs_ed25519_secret_key")
		if i > 0 {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := keystore.OpenService(dir, false, crand.Reader); err != nil {
			t.Fatal(err)
		}
		var err error
		if key, err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		out = append(out, config.OnionService{Dir: dir, IntroductionPoints: 2, Shared: true, Ports: []config.OnionPort{{Port: 80}}})
	}
	return out
}

// A node publishes in its turn alone, what it is told of the others with its own, and
// tells of its points and of how far it came.
func TestShare(t *testing.T) {
	services := folders(t, 2)
	onStage(t, func(s *stage) {
		a, b := s.node(1, services[0]), s.node(2, services[1])
		time.Sleep(time.Minute)
		one, two := s.told(services[0].Dir), s.told(services[1].Dir)
		if one == nil || two == nil || len(one.Points) != 2 || len(two.Points) != 2 || one.Address != two.Address {
			t.Fatalf("told: %+v, %+v", one, two)
		}
		if string(one.Secret("x", 16)) != string(two.Secret("x", 16)) || string(one.Secret("x", 16)) == string(one.Secret("y", 16)) {
			t.Error("they derive other secrets")
		}
		if s.uploads(1)+s.uploads(2) != 0 || s.statusOf(a).State != "standby" {
			t.Fatalf("%d uploads before anybody's turn, %s", s.uploads(1)+s.uploads(2), s.statusOf(a).State)
		}
		role := Role{Service: services[0].Dir, Publish: true, Epoch: 3, Until: time.Now().Add(time.Hour)}
		for _, p := range two.Points {
			role.Others = append(role.Others, SharedPoint{Node: "b", Point: p})
		}
		s.system.Root.Send(a, &role)
		time.Sleep(time.Minute)
		st := s.statusOf(a)
		if st.State != "published" || st.Shared == nil || !st.Shared.Publishes || st.Shared.Nodes != 1 || st.Shared.Points != 2 || st.Periods[0].Points != 4 {
			t.Errorf("%+v, %+v", st, st.Shared)
		}
		if s.uploads(1) == 0 || s.uploads(2) != 0 {
			t.Errorf("%d and %d uploads", s.uploads(1), s.uploads(2))
		}
		now := s.told(services[0].Dir)
		if now.Epoch != 3 || now.Published == 0 || now.Published > uint64(time.Now().Unix()) || now.Built.Unix() != int64(now.Published) {
			t.Errorf("%+v", now)
		}
		// The other's turn. What the first was told before means nothing any more.
		before, turn := s.uploads(1), time.Now()
		s.system.Root.Send(a, &Role{Service: services[0].Dir, Epoch: 4})
		s.system.Root.Send(b, &Role{Service: services[1].Dir, Publish: true, Epoch: 4, Floor: uint64(turn.Add(10 * time.Minute).Unix()), Until: time.Now().Add(time.Hour)})
		time.Sleep(time.Minute)
		if s.uploads(1) != before || s.uploads(2) == 0 || s.told(services[1].Dir).Published <= now.Published {
			t.Errorf("%d and %d uploads", s.uploads(1)-before, s.uploads(2))
		}
		// Its revision is of a time that is still to come; when it was made is told as it is.
		if next := s.told(services[1].Dir); next.Published <= uint64(time.Now().Unix()) || next.Built.Before(turn) || next.Built.After(time.Now()) {
			t.Errorf("published at %d, built %v", next.Published, next.Built)
		}
		if was := s.told(services[0].Dir); was.Epoch != 4 || !was.Built.Equal(now.Built) {
			t.Errorf("whose turn is over: built %v, was %v", was.Built, now.Built)
		}
		if st := s.statusOf(a); st.State != "standby" || st.Shared.Publishes {
			t.Errorf("%s", st.State)
		}
		// Not shared any more: it is told, and published by itself.
		alone := services[0]
		alone.Shared = false
		s.system.Root.Send(a, &Configure{Services: []config.OnionService{alone}})
		time.Sleep(time.Minute)
		if s.told(services[0].Dir) != nil || s.uploads(1) == before {
			t.Errorf("alone: %d uploads", s.uploads(1)-before)
		}
		s.system.Root.Send(b, &Configure{})
		time.Sleep(time.Second)
		if s.told(services[1].Dir) != nil {
			t.Error("nobody is told that it stopped")
		}
	})
}

// An upload that is under way when a node's turn is over is broken off at that moment,
// and goes on when the node is given more time.
func TestShareUploadsEndInTime(t *testing.T) {
	services := folders(t, 1)
	onStage(t, func(s *stage) {
		s.mu.Lock()
		s.slow = true
		s.mu.Unlock()
		a := s.node(1, services[0])
		time.Sleep(time.Minute)
		role := func(left time.Duration) {
			s.system.Root.Send(a, &Role{Service: services[0].Dir, Publish: true, Until: time.Now().Add(left)})
			synctest.Wait()
		}
		role(10 * time.Second)
		if s.uploads(1) == 0 {
			t.Fatal("nothing is sent")
		}
		broken := func() int {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.cut
		}
		time.Sleep(9 * time.Second)
		role(10 * time.Second)
		time.Sleep(9 * time.Second)
		if n := broken(); n != 0 {
			t.Errorf("%d uploads are broken off", n)
		}
		n := s.uploads(1)
		time.Sleep(2 * time.Second)
		if broken() != n {
			t.Errorf("%d of %d uploads are broken off", broken(), n)
		}
		time.Sleep(time.Hour)
		if s.uploads(1) != n {
			t.Errorf("%d uploads more", s.uploads(1)-n)
		}
		role(-time.Second)
		if s.uploads(1) != n {
			t.Error("an upload when its time was over before")
		}
	})
}

// The actor of a service that fails is told its role again.
func TestShareAfterFailure(t *testing.T) {
	services := folders(t, 1)
	onStage(t, func(s *stage) {
		a := s.node(1, services[0])
		s.system.Root.Send(a, &Role{Service: services[0].Dir, Publish: true, Epoch: 1, Until: time.Now().Add(24 * time.Hour)})
		time.Sleep(time.Minute)
		before := s.uploads(1)
		s.mu.Lock()
		s.panics = true
		owner := s.owner
		s.mu.Unlock()
		s.system.Root.Send(owner, &tick{})
		synctest.Wait()
		if before == 0 || s.told(services[0].Dir) != nil {
			t.Fatalf("%d uploads; it did not fail", before)
		}
		time.Sleep(2 * time.Minute)
		if m := s.told(services[0].Dir); m == nil || m.Epoch != 1 || s.uploads(1) <= before || s.statusOf(a).State != "published" {
			t.Errorf("%+v, %d uploads, %+v", m, s.uploads(1)-before, s.statusOf(a))
		}
	})
}

// In no fleet nobody says whose turn it is: nothing is published, and the status says so.
func TestShareWithNobody(t *testing.T) {
	services := folders(t, 1)
	onStage(t, func(s *stage) {
		s.sharing = nil
		a := s.node(1, services[0])
		time.Sleep(time.Hour)
		if st := s.statusOf(a); s.uploads(1) != 0 || st.State != "standby" || st.Problem == "" {
			t.Errorf("%d uploads, %+v", s.uploads(1), st)
		}
	})
}

// A service on standby knows what it offered and that another makes the descriptors, so that
// visits judge its points and nothing else. All nodes read a restricted descriptor.
func TestShareIsVisited(t *testing.T) {
	services := folders(t, 2)
	onStage(t, func(s *stage) {
		a := s.node(1, services[0])
		time.Sleep(time.Minute)
		st := s.statusOf(a)
		if st.Health == nil || st.Health.Verdict == "broken" {
			t.Errorf("%+v", st.Health)
		}
		var sh shares
		now := time.Now()
		if listed, soon := sh.offered(nil, now); listed || soon {
			t.Error("no points are offered")
		}
		if listed, soon := sh.offered([]host.PointID{1}, now); listed || !soon {
			t.Errorf("just now: %v, %v", listed, soon)
		}
		if listed, soon := sh.offered([]host.PointID{1}, now.Add(listedAfter)); !listed || soon {
			t.Errorf("some time ago: %v, %v", listed, soon)
		}
	})
	keys := map[[32]byte]bool{}
	for _, service := range services {
		store, err := keystore.OpenService(service.Dir, false, crand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		machine, err := host.New(store.Address, host.NewOnline(store.Key), crand.Reader, host.Config{Points: 1}, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a := &serviceActor{h: &hosting{o: Options{Log: slog.New(slog.DiscardHandler)}}, service: service, store: storeOf(store, store), machine: machine}
		if err := a.admit(time.Now()); err != nil {
			t.Fatal(err)
		}
		keys[a.health.key] = true
	}
	if len(keys) != 1 {
		t.Error("each node has a key of its own")
	}
}
