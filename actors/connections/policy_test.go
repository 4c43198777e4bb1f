package connections

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"chive/internal/freeport"
	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
)

func TestMain(m *testing.M) { leak.Main(m) }

// desk is the actor's state with a clock of its own and what it told.
type desk struct {
	*connections
	t    *testing.T
	now  time.Time
	told []*chivev1.Envelope
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return d.now }
	recorder := messages.NewRecorder("test", clock, 4096)
	t.Cleanup(recorder.Observe(func(e *chivev1.Envelope) { d.told = append(d.told, e) }))
	d.connections = newConnections(Options{Recorder: recorder, Now: clock, Rand: rand.New(rand.NewPCG(1, 2))})
	return d
}

func (d *desk) relay(n byte) *entry {
	key := [20]byte{n}
	if d.relays[key] == nil {
		d.relays[key] = d.newEntry(key)
	}
	return d.relays[key]
}

// dial is one attempt that ends at once.
func (d *desk) dial(e *entry, out chivev1.Outcome) error {
	permit, _, err := d.admit(e, chivev1.Purpose_PURPOSE_GENERAL)
	if err != nil {
		return err
	}
	e.id = messages.RandomID()
	if out == chivev1.Outcome_OUTCOME_OK {
		d.healthy(e, permit)
	} else {
		d.failed(e, permit, out)
	}
	return nil
}

// names lists the events told since the last call.
func (d *desk) names() []string {
	var out []string
	for _, e := range d.told {
		name := messages.Name(e)
		if s := e.GetSupervisorStateChanged(); s != nil {
			name = s.GetState()
		}
		out = append(out, name)
	}
	d.told = nil
	return out
}

const refused = chivev1.Outcome_OUTCOME_CONNECT_REFUSED

func TestBreakerOfARelayIsToldByEvents(t *testing.T) {
	d := newDesk(t)
	e := d.relay(1)
	for range 5 {
		if err := d.dial(e, refused); err != nil {
			t.Fatal(err)
		}
		if err := d.dial(e, refused); !errors.Is(err, ErrBackoff) {
			t.Fatalf("dialled again at once: %v", err)
		}
		d.now = d.now.Add(strategy.Max / 10)
	}
	if got, want := d.names(), []string{"backoff", "backoff", "backoff", "backoff", "breaker-opened", "backoff"}; !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
	if err := d.dial(e, chivev1.Outcome_OUTCOME_OK); err != nil {
		t.Fatal(err)
	}
	if got, want := d.names(), []string{"breaker-half-opened", "breaker-closed"}; !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
}

func TestBreakerEventNamesTheRelayInTheForensicTierOnly(t *testing.T) {
	d := newDesk(t)
	e := d.relay(7)
	for range 5 {
		_ = d.dial(e, refused)
		d.now = d.now.Add(time.Minute)
	}
	for _, env := range d.told {
		b := env.GetBreakerOpened()
		if b == nil {
			continue
		}
		if b.GetRelay()[0] != 7 || b.GetInARow() != 5 || b.GetOutcome() != refused || b.GetRetryAfter().AsDuration() != 30*time.Second {
			t.Fatalf("%v", b)
		}
		if open := messages.Redact(env, chivev1.Tier_TIER_LIFECYCLE); len(open.GetBreakerOpened().GetRelay()) > 0 {
			t.Fatal("the relay is told beyond the forensic tier")
		}
		if env.GetActorId() != e.name || b.GetChild() != "connection/"+e.id {
			t.Fatalf("%v", env)
		}
		return
	}
	t.Fatal("the breaker did not open")
}

func TestCancelledDialsCountForNothing(t *testing.T) {
	d := newDesk(t)
	e := d.relay(1)
	for range 50 {
		if err := d.dial(e, chivev1.Outcome_OUTCOME_CANCELLED); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.told) > 0 || e.failures > 0 {
		t.Fatalf("told %q, %d failures", d.names(), e.failures)
	}
}

func TestExhaustedRelayIsToldOnceAndTriedOn(t *testing.T) {
	d := newDesk(t)
	e := d.relay(1)
	told := 0
	for i := range 50 {
		if err := d.dial(e, refused); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
		for _, name := range d.names() {
			if name == "retries-exhausted" {
				told++
			}
		}
		if wait := e.until.Sub(d.now); wait > strategy.Max {
			t.Fatalf("waits %v", wait)
		}
		d.now = d.now.Add(strategy.Max)
	}
	if told != 1 {
		t.Fatalf("told %d times", told)
	}
}

// Many relays that fail do not make a storm of dials: beyond the first of each,
// the purpose's budget bounds them, and another purpose has its own.
func TestBudgetBoundsRetriesOfAPurpose(t *testing.T) {
	d := newDesk(t)
	for n := range byte(60) {
		if err := d.dial(d.relay(n), refused); err != nil {
			t.Fatalf("a relay's first dial is not a retry: %v", err)
		}
	}
	d.now = d.now.Add(2 * time.Second) // all waits are over
	retried, broke := 0, 0
	for n := range byte(60) {
		switch err := d.dial(d.relay(n), refused); {
		case err == nil:
			retried++
		case errors.Is(err, ErrBudget):
			broke++
		default:
			t.Fatal(err)
		}
	}
	if retried != 10 || broke != 50 {
		t.Fatalf("%d dialled again, %d out of budget", retried, broke)
	}
	if _, _, err := d.admit(d.relay(59), chivev1.Purpose_PURPOSE_DIRECTORY); err != nil {
		t.Fatalf("another purpose: %v", err)
	}
	d.forgive(nil, &Forgive{})
	for n := range byte(60) {
		if err := d.dial(d.relay(n), refused); err != nil {
			t.Fatalf("forgiven: %v", err)
		}
	}
}

// New breaker settings count what has failed before, and shorten an open
// breaker's wait.
func TestBreakersFollowTheSettings(t *testing.T) {
	d := newDesk(t)
	e := d.relay(1)
	for range 3 {
		_ = d.dial(e, refused)
		d.now = d.now.Add(5 * time.Second)
	}
	d.names()
	configure := func(failures int, openFor time.Duration) {
		d.o.Settings.BreakerFailures, d.o.Settings.BreakerOpenFor = failures, openFor
		d.newBreakers()
	}
	configure(4, time.Hour)
	if _ = d.dial(e, refused); !slices.Contains(d.names(), "breaker-opened") {
		t.Fatal("the fourth failure does not open it")
	}
	d.now = d.now.Add(20 * time.Second)
	if err := d.dial(e, chivev1.Outcome_OUTCOME_OK); !errors.Is(err, ErrBackoff) {
		t.Fatalf("dialled with an open breaker: %v", err)
	}
	configure(4, 10*time.Second)
	if err := d.dial(e, chivev1.Outcome_OUTCOME_OK); err != nil {
		t.Fatalf("open for 20 s already: %v", err)
	}
	if got, want := d.names(), []string{"breaker-half-opened", "breaker-closed"}; !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
}

func TestForgivingClosesTheBreaker(t *testing.T) {
	d := newDesk(t)
	e := d.relay(1)
	for range 5 {
		_ = d.dial(e, refused)
		d.now = d.now.Add(20 * time.Second)
	}
	d.now = d.now.Add(-15 * time.Second)
	if err := d.dial(e, refused); err == nil {
		t.Fatal("the breaker is not open")
	}
	d.names()
	d.forgive(nil, &Forgive{})
	if got := d.names(); !slices.Equal(got, []string{"breaker-closed"}) {
		t.Fatalf("told %q", got)
	}
	if err := d.dial(e, chivev1.Outcome_OUTCOME_OK); err != nil {
		t.Fatal(err)
	}
}

// Guards that are to be tried again are, at once, and no other relay; what failed counts
// on towards their breakers.
func TestForgivingSomeRelays(t *testing.T) {
	d := newDesk(t)
	one, other := d.relay(1), d.relay(2)
	relay := [20]byte([]byte(one.key))
	for n := range 4 {
		if err := d.dial(one, refused); err != nil {
			t.Fatalf("dial %d: %v", n, err)
		}
		d.forgive(nil, &Forgive{Relays: [][20]byte{relay}})
	}
	_ = d.dial(other, refused)
	d.forgive(nil, &Forgive{Relays: [][20]byte{relay}})
	if err := d.dial(other, refused); !errors.Is(err, ErrBackoff) {
		t.Errorf("another relay: %v", err)
	}
	d.names()
	if err := d.dial(one, refused); err != nil || !slices.Contains(d.names(), "breaker-opened") {
		t.Errorf("the fifth failure does not open the breaker: %v", err)
	}
	d.forgive(nil, &Forgive{Relays: [][20]byte{relay}})
	if err := d.dial(one, chivev1.Outcome_OUTCOME_OK); err != nil {
		t.Errorf("with an open breaker: %v", err)
	}
}

// A relay whose bytes crash our connections is left alone for a while; nobody
// else is.
func TestRelayThatCrashesConnectionsIsSetAside(t *testing.T) {
	d := newDesk(t)
	e := d.relay(1)
	for range 3 {
		d.quarantine.Crashed("relay", e.key, "connection/x")
	}
	if got := d.names(); !slices.Equal(got, []string{"input-quarantined"}) {
		t.Fatalf("told %q", got)
	}
	if _, out, err := d.admit(e, chivev1.Purpose_PURPOSE_GENERAL); out != chivev1.Outcome_OUTCOME_QUARANTINED || !errors.Is(err, supervisor.ErrPoison) {
		t.Fatalf("%v, %v", out, err)
	}
	if err := d.dial(d.relay(2), chivev1.Outcome_OUTCOME_OK); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(setAsideFor)
	if err := d.dial(e, chivev1.Outcome_OUTCOME_OK); err != nil {
		t.Fatal(err)
	}
}

func TestRelaysWithNothingToRememberAreForgotten(t *testing.T) {
	d := newDesk(t)
	_ = d.dial(d.relay(1), chivev1.Outcome_OUTCOME_OK)
	for range 5 {
		_ = d.dial(d.relay(2), refused)
		d.now = d.now.Add(time.Minute)
	}
	d.now = d.now.Add(10 * time.Minute)
	if !d.relay(1).forgettable(d.now) || d.relay(2).forgettable(d.now) {
		t.Fatal("failures are to be remembered for longer")
	}
	d.now = d.now.Add(2 * time.Hour)
	if !d.relay(2).forgettable(d.now) {
		t.Fatal("for ever")
	}
}

// The actor itself, against a port of this machine where nobody listens.
func TestWantOfADeadRelay(t *testing.T) {
	free, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(free)
	system := kernel.NewSystem(nil)
	defer kernel.Shutdown(system)
	events := make(chan *chivev1.Envelope, 64)
	recorder := messages.NewRecorder("test", time.Now, 64)
	defer recorder.Observe(func(e *chivev1.Envelope) { events <- e })()
	target := connection.Target{RSA: [20]byte{1}, IPv4: addr}
	answers := make(chan *Failed)
	var conns *actor.PID
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			conns = ctx.Spawn(Props(Options{Recorder: recorder, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 2))}))
			ctx.Send(conns, &Want{Target: target, Reply: ctx.Self(), Token: 1})
		case *Failed:
			answers <- m
			if m.Token == 1 {
				ctx.Send(conns, &Want{Target: target, Reply: ctx.Self(), Token: 2})
			}
		}
	}))
	first, second := <-answers, <-answers
	if first.Outcome != refused || !first.Dialled {
		t.Errorf("first: %+v", first)
	}
	if second.Outcome != chivev1.Outcome_OUTCOME_BACKOFF || second.Dialled {
		t.Errorf("second: %+v: a dial that was not made must not count against a guard", second)
	}
	if err := kernel.StopAndWait(system, pid, time.Minute); err != nil {
		t.Error(err)
	}
	close(events)
	backoffs := 0
	for e := range events {
		if e.GetSupervisorStateChanged().GetState() == "backoff" {
			backoffs++
		}
	}
	if backoffs != 1 {
		t.Errorf("%d backoffs told", backoffs)
	}
}
