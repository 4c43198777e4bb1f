package hosting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/onions"
	"chive/config"
	"chive/internal/invariant"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/heal"
	"chive/tor/onion/keyfile"
	"chive/tor/onion/relaymsg"
)

// world is a network that the test plays whole: its relays keep descriptors, introduce, and
// join rendezvous. Service and visits are the real ones, with real keys.
type world struct {
	t       *testing.T
	system  *actor.ActorSystem
	relays  *actor.PID
	hosting *actor.PID
	dirs    []string
	signals Signals

	mu      sync.Mutex // protects what follows
	offline bool
	dead    map[[32]byte]bool // relays
	silent  map[[32]byte]bool // relays to which circuits are built for ever
	slow    time.Duration     // what directories take
	forgets bool              // relays that are introduction points pass nothing on
	limited bool              // introduction points have passed on as much as they may, and say no
	flooded bool              // so many introductions come that all others are thrown away here, unread
	deaf    map[[32]byte]bool // relays that pass nothing on, and say that they did
	mean    map[[32]byte]bool // directories that take descriptors and give none
	astray  int               // of so many circuits of visits one ends on its way; 0: none
	ends    map[string]*playedCircuit
	texts   map[[32]byte][][]byte // descriptors, by directory, the newest last
	intros  map[[32]byte]*playedCircuit
	waiting map[relaymsg.Cookie]*playedCircuit
	luck    *rand.Rand
	line    *line // of circuits; nil: none waits for another
	opened  int
	asked   []time.Time         // for circuits that nobody waits for
	log     []*chivev1.Envelope // since it was looked at
	told    []*chivev1.Envelope
}

// playedCircuit is a circuit as its last hop sees it.
type playedCircuit struct {
	open    *circuits.Open
	at      [32]byte // its last hop
	counter *atomic.Int64
	dropped *atomic.Uint64
}

func (p *playedCircuit) key() string { return fmt.Sprint(p.open.Owner.Id, p.open.Token) }

var errPlayed = errors.New("the network of the test says no")

// inWorld runs a test in virtual time with so many services.
func inWorld(t *testing.T, services int, period time.Duration, change func(*config.OnionService), test func(*world)) {
	var all []config.OnionService
	for range services {
		s := config.OnionService{Dir: filepath.Join(t.TempDir(), "hs"), IntroductionPoints: 3, Ports: []config.OnionPort{{Port: 80}}}
		if change != nil {
			change(&s)
		}
		all = append(all, s)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, system: kernel.NewSystem(nil), dead: map[[32]byte]bool{}, deaf: map[[32]byte]bool{}, ends: map[string]*playedCircuit{}, texts: map[[32]byte][][]byte{},
			intros: map[[32]byte]*playedCircuit{}, waiting: map[relaymsg.Cookie]*playedCircuit{}, luck: rand.New(rand.NewPCG(1, 9)),
		}
		for _, s := range all {
			w.dirs = append(w.dirs, s.Dir)
		}
		recorder := messages.NewRecorder("test", time.Now, 1<<16)
		cancel := recorder.Observe(func(e *chivev1.Envelope) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.log = append(w.log, e)
			w.told = append(w.told, e)
		})
		w.relays = w.system.Root.Spawn(kernel.Func(w.play))
		var seed atomic.Uint64
		w.hosting = w.system.Root.Spawn(Props(Options{
			Circuits: w.relays, Recorder: recorder, Log: slog.New(slog.DiscardHandler), Now: time.Now, Testing: true, Services: all,
			Rand:    func() *rand.Rand { return rand.New(rand.NewPCG(seed.Add(1), 1)) },
			Publish: w.publish, Fetch: w.fetch, Signals: &w.signals, VerifyPeriod: period,
		}))
		w.system.Root.Send(w.hosting, hostingNetwork(30))
		test(w)
		for _, pid := range []*actor.PID{w.hosting, w.relays} {
			if err := kernel.StopAndWait(w.system, pid, time.Minute); err != nil {
				t.Error(err)
			}
		}
		cancel()
		kernel.Shutdown(w.system)
		for _, v := range invariant.Check(w.told) {
			if strings.Contains(v.Event, "hosting-") {
				t.Error(v)
			}
		}
	})
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// play does what the circuits' actor and relays do.
func (w *world) play(ctx actor.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m := ctx.Message().(type) {
	case *circuits.Open:
		p := &playedCircuit{open: m, at: [32]byte{99}}
		last := torcircuit.Hop{RSA: [20]byte{99}, Ed25519: p.at, NtorKey: [32]byte{99, 5}, IPv4: netip.MustParseAddrPort("20.99.0.1:9001")}
		if m.Target != nil {
			p.at, last = m.Target.Ed25519, *m.Target
		}
		if short := w.offline || w.astray > 0 && m.Visit && w.luck.IntN(w.astray) == 0; short || w.dead[p.at] {
			kernel.After(ctx.ActorSystem(), m.Owner, 100*time.Millisecond, &circuits.Over{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_DESTROYED, ToLast: !short})
			return
		}
		takes := w.takes(ctx, m)
		if m.Purpose == chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION || m.Purpose == chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY {
			w.asked = append(w.asked, time.Now())
		}
		if w.silent[p.at] {
			return
		}
		w.opened++
		w.ends[p.key()] = p
		pid := ctx.Spawn(kernel.Func(func(ctx actor.Context) { w.hop(ctx, p) }))
		kernel.After(ctx.ActorSystem(), m.Owner, takes, &circuits.Ready{Token: m.Token, ID: "c", PID: pid, Last: last, Limit: time.Second})
	case *circuits.Shut:
		delete(w.ends, fmt.Sprint(m.Owner.Id, m.Token))
	}
}

// hop is the last of a circuit.
func (w *world) hop(ctx actor.Context, p *playedCircuit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell := func(to *playedCircuit, what torcircuit.EventKind, data []byte) {
		ctx.Send(to.open.Owner, &circuit.Heard{Token: to.open.Token, What: what, Data: data})
	}
	switch m := ctx.Message().(type) {
	case *circuit.Prove:
		ctx.Send(p.open.Owner, &circuit.Proof{Token: p.open.Token})
	case *circuit.EstablishIntro:
		e, err := relaymsg.ParseEstablishIntro(m.Message, [20]byte{})
		if err != nil {
			w.t.Error(err)
			return
		}
		p.counter, p.dropped = m.Waiting, m.Dropped
		w.intros[e.AuthKey] = p
		tell(p, torcircuit.IntroEstablished, relaymsg.AppendIntroEstablished(nil))
	case *circuit.Establish:
		w.waiting[m.Cookie] = p
		tell(p, torcircuit.RendezvousEstablished, nil)
	case *circuit.Introduce:
		i, err := relaymsg.ParseIntroduce2(m.Message)
		if err != nil {
			w.t.Error(err)
			return
		}
		to := w.intros[i.AuthKey]
		if to == nil || to.at != p.at || w.ends[to.key()] == nil || w.forgets || w.limited {
			tell(p, torcircuit.IntroduceAck, relaymsg.AppendIntroduceAck(nil, relaymsg.AckUnknownID))
			return
		}
		if w.flooded {
			to.dropped.Add(1)
		} else if !w.deaf[p.at] {
			to.counter.Add(1)
			tell(to, torcircuit.Introduce2, m.Message)
		}
		tell(p, torcircuit.IntroduceAck, relaymsg.AppendIntroduceAck(nil, relaymsg.AckSuccess))
	case *circuit.Meet:
		cookie, info, err := relaymsg.ParseRendezvous1(m.Message)
		if err != nil {
			w.t.Error(err)
			return
		}
		if to := w.waiting[cookie]; to != nil && w.ends[to.key()] != nil {
			tell(to, torcircuit.Rendezvous, info)
		}
		ctx.Send(p.open.Owner, &circuit.Joined{Token: p.open.Token})
	}
}

func (w *world) publish(_ context.Context, owner *actor.PID, token uint64, text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.ends[fmt.Sprint(owner.Id, token)]
	if p == nil {
		return 0, errPlayed
	}
	w.texts[p.at] = append(w.texts[p.at], text)
	return 200, nil
}

func (w *world) fetch(ctx context.Context, owner *actor.PID, token uint64, blinded onion.BlindedKey, _ netip.AddrPort) ([]byte, error) {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	if slow > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(slow):
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.ends[fmt.Sprint(owner.Id, token)]
	if p == nil {
		return nil, errPlayed
	}
	if w.mean[p.at] {
		return nil, onions.ErrNone
	}
	for _, text := range slices.Backward(w.texts[p.at]) {
		if _, err := descriptor.Open(text, blinded, time.Now()); err == nil {
			return text, nil
		}
	}
	return nil, onions.ErrNone
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// health is the first service's.
func (w *world) health() *Health { return w.status().Health }

func (w *world) status() Status { return w.all()[0] }

func (w *world) all() []Status {
	w.t.Helper()
	all, err := kernel.Ask(w.t.Context(), w.system, w.hosting, func(r kernel.Reply[[]Status]) any {
		return &List{Tell: func(all []Status) { r.Send(all) }}
	})
	if err != nil || len(all) == 0 {
		w.t.Fatalf("%d services, %v", len(all), err)
	}
	return all
}

// events are the health's, in short, since the last call.
func (w *world) events() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.log {
		switch {
		case e.GetHostingVerified() != nil:
			out = append(out, "verified")
		case e.GetHostingUnverified() != nil:
			out = append(out, "unverified "+messages.CauseName(e.GetHostingUnverified().GetCause()))
		case e.GetHostingBroken() != nil:
			out = append(out, "broken "+messages.CauseName(e.GetHostingBroken().GetCause()))
		case e.GetHostingHealing() != nil:
			out = append(out, messages.StepName(e.GetHostingHealing().GetStep()))
		case e.GetHostingHealed() != nil:
			out = append(out, "healed")
		}
	}
	w.log = nil
	return strings.Join(out, ", ")
}

func (w *world) probes() (out []*chivev1.HostingProbed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		if p := e.GetHostingProbed(); p != nil {
			out = append(out, p)
		}
	}
	return out
}

const verifyPeriod = 40 * time.Second

// A service is met by its host's visits, through every introduction point and directory, and
// they are no clients.
func TestVisits(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(15 * time.Second)
		h := w.health()
		if h.Verdict != "up" || h.Verified.IsZero() || h.By != "probe" || !h.Last.OK || len(h.Last.Stages) != 6 || h.Last.Point == 0 || h.Last.Directory == "" {
			t.Fatalf("%+v, %+v", h, h.Last)
		}
		w.run(10 * time.Minute)
		points, directories := map[uint64]int{}, map[string]int{}
		visits, looks := 0, 0
		for _, p := range w.probes() {
			directories[string(p.GetDirectory())]++
			switch ok := p.GetOutcome() == chivev1.Outcome_OUTCOME_OK; {
			case ok && p.GetStage() == chivev1.ProbeStage_PROBE_STAGE_MEETING && p.GetArrived():
				visits++
				points[p.GetPoint()]++
			case ok && p.GetStage() == chivev1.ProbeStage_PROBE_STAGE_DESCRIPTOR && p.GetReason() == "period":
				looks++
			default:
				t.Errorf("a visit failed: %v", p)
			}
		}
		if visits < 12 || visits > 21 || looks < 10 || looks > visits || len(points) != 3 || len(directories) != 6 {
			t.Errorf("%d visits, %d of descriptors alone, by %d introduction points and %d directories", visits, looks, len(points), len(directories))
		}
		if s := w.status(); s.Met != 0 || s.Introductions != 0 || s.Clients != 0 || s.State != "up" {
			t.Errorf("%+v", s)
		}
		if got := w.events(); got != "verified" {
			t.Errorf("told %q", got)
		}
		w.set(func() {
			for key, p := range w.ends {
				if p.open.Visit {
					t.Errorf("a circuit of a visit stays: %s", key)
				}
			}
		})
	})
}

// What breaks is found within a minute and repaired.
func TestHeals(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks func(*world)
		want   string
		within time.Duration // found
	}{
		"directories lost the descriptor": {
			func(w *world) { clear(w.texts) }, "broken not-stored, republish, verified, healed", time.Minute,
		},
		"introduction points forgot the service": {
			func(w *world) { clear(w.intros) }, "broken point-unreachable, new-circuits, verified, healed", time.Minute,
		},
		"slept": {
			func(w *world) {
				clear(w.intros)
				w.signals.Happened(heal.Slept, time.Now())
				w.system.Root.Send(w.hosting, &Shaken{Why: heal.Woken})
			}, "broken slept, new-circuits, verified, healed", 10 * time.Second,
		},
		"the clock was set": {
			func(w *world) {
				clear(w.texts)
				w.signals.Happened(heal.Clock, time.Now())
				w.system.Root.Send(w.hosting, &Shaken{Why: heal.ClockSet})
			}, "broken clock, republish, verified, healed", 10 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, verifyPeriod, nil, func(w *world) {
				w.run(40 * time.Second)
				w.events()
				began := time.Now()
				w.set(func() { tt.breaks(w) })
				w.run(3 * time.Minute)
				var found, healed time.Duration
				w.set(func() {
					for _, e := range w.log {
						if at := e.GetTime().AsTime().Sub(began); e.GetHostingBroken() != nil {
							found = at
						} else if e.GetHostingHealed() != nil {
							healed = at
						}
					}
				})
				t.Logf("found after %v, healed after %v", found, healed)
				if found == 0 || found > tt.within {
					t.Errorf("found after %v, want %v", found, tt.within)
				}
				if got := w.events(); got != tt.want {
					t.Errorf("told %q, want %q", got, tt.want)
				}
				if h := w.health(); h.Verdict != "up" {
					t.Errorf("%+v", h)
				}
			})
		})
	}
}

// A vanguard that is away ends one circuit in four: that is not the service's, nor any
// introduction point's.
func TestVanguardAway(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(40 * time.Second)
		w.events()
		w.set(func() { w.astray = 4 })
		failed, doubts := 0, 0
		for range 60 {
			w.run(time.Minute)
			for _, p := range w.probes() {
				if p.GetOutcome() != chivev1.Outcome_OUTCOME_OK {
					failed++
				}
				if c := p.GetCause(); c != 0 && c != chivev1.HealthCause_HEALTH_CAUSE_CONNECTIONS {
					t.Errorf("blamed: %v", p)
				}
			}
			if got := w.events(); strings.Contains(got, "unverified") {
				doubts++
			} else if got != "" {
				t.Errorf("told %q", got)
			}
		}
		t.Logf("of the visits of an hour %d failed; unverified in %d minutes", failed, doubts)
		if failed < 10 || doubts > 2 {
			t.Error("too few failed, or they were taken for more than they are")
		}
	})
}

// Relays that take introductions and pass none on are found, and are introduction points no
// more.
func TestHealsDeafPoints(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(40 * time.Second)
		w.events()
		w.set(func() {
			for _, p := range w.intros {
				w.deaf[p.at] = w.ends[p.key()] != nil // others were too many, and may be chosen later
			}
		})
		w.run(10 * time.Minute)
		if got := w.events(); got != "broken point-unreachable, new-circuits, republish, rotate, verified, healed" {
			t.Errorf("told %q", got)
		}
	})
}

// Without a network nothing is said and nothing done.
func TestNoNetwork(t *testing.T) {
	inWorld(t, 1, verifyPeriod, nil, func(w *world) {
		w.run(40 * time.Second)
		w.events()
		w.set(func() { w.offline = true })
		w.run(5 * time.Minute)
		if got := w.events(); got != "unverified connections" {
			t.Errorf("told %q", got)
		}
		if s := w.status(); s.State != "unverified" || s.Health.Cause != "connections" {
			t.Errorf("%s, %+v", s.State, s.Health)
		}
		w.set(func() { w.offline = false })
		w.run(2 * time.Minute)
		if got := w.events(); got != "verified" {
			t.Errorf("told %q", got)
		}
	})
}

// The node reads the descriptor of a service for authorised clients.
func TestVisitsRestricted(t *testing.T) {
	inWorld(t, 1, verifyPeriod, func(s *config.OnionService) {
		folder := filepath.Join(s.Dir, keyfile.ClientsDir)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		key := "descriptor:x25519:" + strings.Repeat("AB", 26) + "\n"
		if err := os.WriteFile(filepath.Join(folder, "alice.auth"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}, func(w *world) {
		w.run(20 * time.Second)
		if s := w.status(); !s.Restricted || s.State != "up" {
			t.Errorf("%+v, %+v", s, s.Health)
		}
	})
}

// verify has a service visited now.
func (w *world) verify(id string) (Verification, error) {
	type answer struct {
		v   Verification
		err error
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	a, err := kernel.Ask(ctx, w.system, w.hosting, func(r kernel.Reply[answer]) any {
		return &Verify{Service: id, Tell: func(v Verification, err error) { r.Send(answer{v, err}) }}
	})
	return a.v, errors.Join(err, a.err)
}

// The operator is told what a visit found, whatever the period.
func TestVerify(t *testing.T) {
	inWorld(t, 1, 0, nil, func(w *world) {
		w.run(time.Hour)
		if n := len(w.probes()); n > 0 {
			t.Errorf("%d visits that nobody asked for", n)
		}
		id := w.status().ID
		v, err := w.verify(id)
		if err != nil || !v.OK || v.Reason != "asked" || v.Took == 0 || !v.Arrived {
			t.Errorf("%+v, %v", v, err)
		}
		w.set(func() { w.forgets = true })
		v, err = w.verify(id)
		if err != nil || v.OK || v.Stage != "introduce" || v.Outcome != "onion-introduction" || v.Relay == "" || v.Cause != "point-unreachable" {
			t.Errorf("%+v, %v", v, err)
		}
		if got := w.events(); got != "" {
			t.Errorf("told %q, though nothing is judged", got)
		}
		if _, err := w.verify("nobody"); !errors.Is(err, ErrNotHosted) {
			t.Errorf("%v", err)
		}
		// From now on it is.
		w.set(func() { w.forgets = false })
		w.system.Root.Send(w.hosting, &Configure{Services: []config.OnionService{{Dir: w.dirs[0], IntroductionPoints: 3, Ports: []config.OnionPort{{Port: 80}}}}, VerifyPeriod: verifyPeriod})
		w.run(2 * time.Minute)
		if h := w.health(); h.Verdict != "up" || h.Every != verifyPeriod {
			t.Errorf("%+v", h)
		}
	})
}

// Many services are visited in turn, at a rate that all share; what is found broken does
// not wait.
func TestManyAreStaggered(t *testing.T) {
	const services = 30
	inWorld(t, services, verifyPeriod, nil, func(w *world) {
		w.run(3 * time.Minute)
		w.events()
		w.run(4 * time.Minute)
		visits, looks := 0, 0
		for _, p := range w.probes() {
			if p.GetStage() == chivev1.ProbeStage_PROBE_STAGE_MEETING {
				visits++
			} else {
				looks++
			}
		}
		if visits < 96 || visits > 136 || looks > visits/2 {
			t.Errorf("%d visits in four minutes, want one in two seconds; %d of descriptors alone, for which there is no time", visits, looks)
		}
		w.set(func() { w.log = nil; clear(w.texts) })
		w.run(3 * time.Minute)
		found, healed := map[string]bool{}, map[string]bool{}
		w.set(func() {
			for _, e := range w.log {
				if e.GetHostingBroken() != nil {
					found[e.GetActorId()] = true
				}
				if e.GetHostingHealed() != nil {
					healed[e.GetActorId()] = true
				}
			}
		})
		if len(found) < services*8/10 || len(healed) < len(found)*9/10 {
			t.Errorf("%d of %d are found, %d healed", len(found), services, len(healed))
		}
	})
}
