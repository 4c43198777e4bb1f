package host

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"

	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

const day = 24 * time.Hour

// A service of a network without faults is found at every moment, by each
// directory that a client may ask, through days of periods, shared random values
// and worn out introduction points.
func TestAlwaysReachable(t *testing.T) {
	m := newSim(t, 1, 40, Config{Points: 3})
	m.run(2 * time.Minute)
	m.covered()
	const days = 2.0
	for range int(days * 24 * 6) {
		m.run(10 * time.Minute)
		m.reachable()
		m.covered()
	}
	if float64(m.described) < 2*days*24/2 {
		t.Errorf("%d descriptors in days: each lives two hours at the most", m.described)
	}
	worn := m.gone(Aged)
	if worn < 3 || worn > 3*3 {
		t.Errorf("%d introduction points aged in days, each lives 18 to 24 hours", worn)
	}
}

// rend-spec-v3 2.2.4: a client whose consensus is some hours older or newer finds
// the descriptor too.
func TestClientsWithAnotherConsensus(t *testing.T) {
	m := newSim(t, 2, 40, Config{Points: 3})
	m.run(5 * time.Minute)
	for range 3 * 24 {
		m.run(time.Hour)
		for _, hours := range []time.Duration{-2, -1, 0} {
			was := m.network
			at := was.ValidAfter.Add(hours * time.Hour)
			if run := was.RunStart(at); run != was.RunStart(was.ValidAfter) {
				was.Current = was.Previous // of the run before; Previous is older than we know
				if was.ValidAfter = at; !was.NewPeriod() {
					continue
				}
			}
			was.ValidAfter = at
			now := m.network
			m.network = was
			m.reachable()
			m.network = now
			if len(m.bad) > 0 {
				t.Fatalf("consensus of %v ago: %s", -hours*time.Hour, m.bad[0])
			}
		}
	}
}

// Each sort of fault at a time and all of them: what must always be so is, and when
// the network is well again everything is in place.
func TestFaults(t *testing.T) {
	all := faults{circuit: 300, upload: 300, meeting: 300, lost: 50, breakEvery: time.Hour, unlist: 20}
	for name, f := range map[string]faults{
		"circuits": {circuit: 500}, "uploads": {upload: 600}, "breaks": {breakEvery: 20 * time.Minute},
		"lost": {lost: 200}, "unlisted": {unlist: 100}, "all": all,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(2) {
				m := newSim(t, 100+seed, 30, Config{Points: 3 + int(seed%3)})
				m.faults = f
				m.run(time.Duration(6+m.rng.IntN(8)) * time.Hour)
				if seed == 1 || name == "all" {
					m.restart(seed == 1)
					m.run(5 * time.Hour)
				}
				m.faults = faults{}
				for _, r := range m.relays {
					r.listed = true
				}
				m.run(2 * time.Hour)
				m.covered()
				m.run(8 * time.Hour)
				m.covered()
			}
		})
	}
}

// A network of few relays: each is used once, and what cannot be had is done
// without.
func TestSmallNetwork(t *testing.T) {
	m := newSim(t, 3, 2, Config{Points: 3})
	m.run(5 * time.Minute)
	if len(m.byAuth) != 2 || len(m.relays[0].holding) != 2 || len(m.relays[1].holding) != 2 {
		t.Fatalf("%d introduction points at two relays", len(m.byAuth))
	}
	for range 3 * 24 {
		m.run(time.Hour)
		m.reachable()
	}
	if n := m.gone(Aged); n < 2 {
		t.Errorf("%d rotations in three days", n)
	}
}

// Keys of one introduction point outlive its circuit: whoever has the descriptor is
// served again.
func TestCircuitIsMadeAgain(t *testing.T) {
	m := newSim(t, 4, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	auth, described := m.anyPoint(), m.described
	id := m.byAuth[auth]
	m.points[id].up, m.points[id].closed = false, true
	m.s.PointFailed(id, errSim, false, m.now)
	m.run(time.Minute)
	if !m.points[id].up || m.described != described {
		t.Errorf("up: %v, %d descriptors were made for it", m.points[id].up, m.described-described)
	}
	// A relay that fails again and again is given up and left alone for a while.
	relay := m.points[id].relay
	relay.broken = true
	m.points[id].up, m.points[id].closed = false, true
	m.s.PointFailed(id, errSim, false, m.now)
	m.run(4 * time.Minute)
	if m.gone(Failing) != 1 || m.s.point(id) != nil {
		t.Errorf("given up: %d", m.gone(Failing))
	}
	m.covered()
}

// Circuits that are replaced here, however often, are made again at once.
func TestCircuitIsReplaced(t *testing.T) {
	m := newSim(t, 4, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	id := m.byAuth[m.anyPoint()]
	for range 20 {
		m.points[id].up, m.points[id].closed = false, true
		m.s.PointReplaced(id, errSim, m.now)
		m.obey()
		if p := m.s.point(id); p == nil || p.phase == waiting {
			t.Fatal("it is waited for")
		}
	}
	if m.run(time.Minute); !m.points[id].up {
		t.Error("it is not up")
	}
	m.covered()
}

// What is not the relay's fault does not use its tries up.
func TestWithoutNetwork(t *testing.T) {
	m := newSim(t, 5, 30, Config{Points: 3})
	m.run(2 * time.Minute)
	auth := m.anyPoint()
	id := m.byAuth[auth]
	for range 20 {
		m.points[id].up, m.points[id].closed = false, true
		m.s.PointFailed(id, errSim, true, m.now)
		m.obey()
		m.run(launchTimeout)
	}
	if m.s.point(id) == nil {
		t.Error("given up for what was ours")
	}
	m.run(2 * time.Hour)
	m.covered()
}

// Access: a new client reads the next descriptor at once; when one is taken away,
// everyone is cut off, old keys are dead, and the rest find the service again.
func TestAccess(t *testing.T) {
	m := newSim(t, 12, 30, Config{Points: 3, Restricted: true})
	m.run(10 * time.Minute)
	if m.described != 0 || len(m.launches) != 0 {
		t.Error("published without clients")
	}
	if !slices.ContainsFunc(m.events, func(e Event) bool {
		u, ok := e.(Unpublishable)
		return ok && errors.Is(u.Cause, ErrNoClients)
	}) {
		t.Error("not told")
	}
	configure := func(clients ...byte) {
		m.config.Clients = nil
		for _, c := range clients {
			m.config.Clients = append(m.config.Clients, clientPublic(c))
		}
		if err := m.s.Configure(m.config, m.now); err != nil {
			t.Fatal(err)
		}
		m.obey()
	}
	configure(0)
	m.run(2 * time.Minute)
	m.covered()
	auth := m.anyPoint()
	configure(0, 1)
	m.run(20 * time.Second)
	if last := m.events[len(m.events)-1]; !slices.ContainsFunc(m.events, func(e Event) bool { d, ok := e.(Described); return ok && d.Because == Access }) {
		t.Errorf("a new client is not told to directories at once: %+v", last)
	}
	if m.anyPoint() != auth || m.cut != 0 {
		t.Error("a client more costs the others their introduction points")
	}
	configure(0)
	if m.cut != 1 || m.s.point(m.byAuth[auth]) != nil || !m.points[m.byAuth[auth]].closed {
		t.Error("who lost access can still introduce himself")
	}
	m.run(2 * time.Minute)
	m.covered()
	// However often that happens in a row, the others find the service again at once.
	for range 6 {
		m.launches = nil // who shuts clients out has a budget of his own
		configure(0, 1)
		m.run(10 * time.Second)
		configure(0)
		m.run(20 * time.Second)
	}
	up := 0
	for _, p := range m.points {
		if p.up {
			up++
		}
	}
	if up < m.config.Points {
		t.Errorf("%d introduction points are up after clients came and went", up)
	}
	m.covered()
}

// Floors: revisions grow, be the clock set back and the service restarted.
func TestClockSetBack(t *testing.T) {
	m := newSim(t, 13, 30, Config{Points: 3})
	m.run(5 * time.Hour)
	before := slices.Clone(m.kept)
	m.queue.events = nil
	m.now = m.now.Add(-90 * time.Minute)
	for _, r := range m.relays {
		for k, v := range r.holding {
			v.until = m.now.Add(-time.Second)
			r.holding[k] = v
		}
	}
	m.restart(true)
	m.run(5 * time.Minute)
	m.covered()
	for _, f := range before {
		if now := m.kept.of(f.Period); now <= f.Revision {
			t.Errorf("revision %d after %d", now, f.Revision)
		}
	}
}

// A service stopped and started again is there for clients who know its points, and
// remembers what it answered.
func TestRestart(t *testing.T) {
	m := newSim(t, 14, 30, Config{Points: 3})
	m.run(5 * time.Minute)
	auth := m.anyPoint()
	sl, _ := m.network.Store()
	body, _ := m.introduction(auth, sl, nil)
	m.s.Introduce2(m.byAuth[auth], body, m.now)
	m.asks()
	m.restart(false)
	m.run(time.Minute)
	id, again := m.byAuth[auth]
	if !again || !m.points[id].up {
		t.Fatal("other introduction points after a restart")
	}
	m.s.Introduce2(id, body, m.now)
	m.refused(ErrReplay)
	fresh, _ := m.introduction(auth, sl, nil)
	m.s.Introduce2(id, fresh, m.now)
	if len(m.asks()) != 1 {
		t.Error("a new client is not met")
	}
	m.run(5 * time.Minute)
	m.covered()
	// Access that was taken back while the service was down.
	state, err := m.s.State()
	if err != nil {
		t.Fatal(err)
	}
	m.config.Restricted, m.config.Clients = true, [][32]byte{clientPublic(0)}
	m.start(state)
	if len(m.s.points) != 0 {
		t.Error("points that everyone knows are those of a restricted service")
	}
}

func TestStateThatIsNone(t *testing.T) {
	m := newSim(t, 15, 30, Config{Points: 3})
	m.run(5 * time.Minute)
	state, err := m.s.State()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "cut": state[:len(state)/2], "another version": bytes.Replace(state, []byte(`"version":1`), []byte(`"version":2`), 1),
		"no relay": bytes.Replace(state, []byte(`"auth":"`), []byte(`"auth":"AAAA`), 1), "long": make([]byte, MaxState+1),
	} {
		m.start(nil)
		if err := m.s.Restore(b, m.now); !errors.Is(err, ErrState) || len(m.s.points) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.start(nil)
	if err := m.s.Restore(state, m.now.Add(25*time.Hour)); err != nil || len(m.s.points) != 0 {
		t.Errorf("points that have expired: %v, %d", err, len(m.s.points))
	}
}

// The identity key is elsewhere: what was delegated is published, and what was not
// is told.
func TestOfflineKeys(t *testing.T) {
	m := newSim(t, 16, 30, Config{Points: 3})
	offline := Offline{}
	first, second := m.network.Store()
	k, err := Delegate(m.identity, m.random, first.Period, m.now.Add(descriptor.CertLifetime))
	if err != nil {
		t.Fatal(err)
	}
	offline[first.Period] = k
	m.keys = offline
	m.queue.events, m.described = nil, 0
	m.restart(true)
	m.run(10 * time.Minute)
	if m.revisions[first.Period] == 0 || m.revisions[second.Period] != 0 {
		t.Errorf("published: %v", m.revisions)
	}
	missing := 0
	for _, e := range m.events {
		if u, ok := e.(Unpublishable); ok && u.Period == second.Period && errors.Is(u.Cause, ErrNoKeys) {
			missing++
		}
	}
	if missing != 1 {
		t.Errorf("told %d times", missing)
	}
	if _, err := offline.Period(nil, first.Period, k.Expires); !errors.Is(err, ErrNoKeys) {
		t.Errorf("keys that have expired: %v", err)
	}
	// The same revisions as the host of the identity key would make.
	online, err := NewOnline(m.identity).Period(m.random, first.Period, m.now)
	if err != nil || online.Revision != k.Revision || online.Blinded != k.Blinded {
		t.Errorf("keys differ: %v", err)
	}
}

func TestSettings(t *testing.T) {
	m := newSim(t, 18, 40, Config{Points: 3})
	m.run(2 * time.Minute)
	m.config.Points = 6
	m.configure()
	m.run(3 * time.Minute)
	m.covered()
	m.config.Points = 2
	m.configure()
	m.run(3 * time.Minute)
	m.covered()
	m.config.DoS = &relaymsg.DoSParams{Rate: 25, Burst: 200}
	m.configure()
	m.run(3 * time.Minute)
	m.covered()
	for auth, id := range m.byAuth {
		p := m.points[id]
		if ours := m.s.point(id); ours == nil || ours.retired || !p.up {
			continue
		}
		if asked := p.body.DoS != nil; asked != p.relay.DoS {
			t.Errorf("point %x: asked to slow clients down: %v; can: %v", auth[:2], asked, p.relay.DoS)
		}
	}
	for _, bad := range []Config{
		{},
		{Points: 21},
		{Points: 3, DoS: &relaymsg.DoSParams{Rate: 9, Burst: 3}},
		{Points: 3, PoW: &PoW{Rate: 9, Burst: 3}},
		{Points: 3, PoW: &PoW{Period: -1}},
		{Points: 3, Clients: [][32]byte{{9}}},
	} {
		if err := m.s.Configure(bad, m.now); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	m.s.Stop()
	m.obey()
	for _, p := range m.points {
		if !p.closed {
			t.Error("a circuit outlives the service")
		}
	}
	if len(m.uploads) > 0 || !m.s.Next().IsZero() {
		t.Error("a stopped service is at work")
	}
}

func (m *sim) configure() {
	m.t.Helper()
	if err := m.s.Configure(m.config, m.now); err != nil {
		m.t.Fatal(err)
	}
	m.obey()
}

// A consensus that is too old: nothing is sent, until there is a new one.
func TestStaleConsensus(t *testing.T) {
	m := newSim(t, 19, 30, Config{Points: 3})
	m.run(5 * time.Minute)
	m.queue.events = slices.DeleteFunc(m.queue.events, func(e simEvent) bool { return e.at.Equal(epoch.Add(time.Hour)) })
	m.run(28 * time.Hour)
	described := m.described
	m.run(6 * time.Hour)
	if m.described != described {
		t.Error("published by an old consensus")
	}
	m.consensus()
	m.run(5 * time.Minute)
	m.covered()
}

func TestParams(t *testing.T) {
	if got, want := ParamsOf(nil), (Params{18 * time.Hour, 24 * time.Hour, 16384, 32768, 2, 3}); got != want {
		t.Errorf("%+v", got)
	}
	wild := ParamsOf(netdoc.Params{
		"hs_intro_min_lifetime": 1 << 30, "hs_intro_max_lifetime": 0, "hs_intro_min_introduce2": 0,
		"hs_intro_max_introduce2": 1 << 30, "hs_intro_num_extra": 128,
	})
	if wild.MinLifetime > wild.MaxLifetime || wild.MaxLifetime > mostLifetime || wild.MinIntroduce < 1 ||
		wild.MaxIntroduce > mostIntroduce || wild.Extra > mostExtra {
		t.Errorf("%+v", wild)
	}
}

func TestDelegateSigns(t *testing.T) {
	m := newSim(t, 20, 5, Config{Points: 1})
	p := onion.Period{Number: 20000, Minutes: 1440}
	k, err := Delegate(m.identity, m.random, p, m.now.Add(day))
	if err != nil || len(k.Signing) != ed25519.PrivateKeySize || k.Blinded != onion.BlindedKey(m.identity.Blind(p).PublicKey()) {
		t.Errorf("%v", err)
	}
}
