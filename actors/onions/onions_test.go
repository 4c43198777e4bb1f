package onions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
	torcircuit "chive/tor/circuit"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/path"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("chive/actors/kernel.(*pool).work"))
}

// desk is the actor with circuits that the test plays.
type desk struct {
	t        *testing.T
	system   *actor.ActorSystem
	circuits *actor.PID
	onions   *actor.PID
	log      []*chivev1.Envelope

	mu      sync.Mutex // protects the fields below
	heard   []any      // what the circuits are told
	answer  func(ctx actor.Context, m any)
	fetches int
	fetch   func(n int) ([]byte, error)
	now     func() time.Time
}

// atDesk runs a test in virtual time.
func atDesk(t *testing.T, test func(*desk)) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, system: kernel.NewSystem(nil), fetch: func(int) ([]byte, error) { return nil, ErrNone }, now: time.Now}
		recorder := messages.NewRecorder("test", time.Now, 64)
		cancel := recorder.Observe(func(e *chivev1.Envelope) { d.log = append(d.log, e) })
		d.circuits = d.system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
			d.mu.Lock()
			defer d.mu.Unlock()
			switch m := ctx.Message().(type) {
			case *circuits.Open, *circuits.Shut, *circuits.Orphaned, *circuits.Met, *circuits.NotMet:
				d.heard = append(d.heard, m)
				if d.answer != nil {
					d.answer(ctx, m)
				}
			}
		}))
		var seed uint64
		d.onions = d.system.Root.Spawn(Props(Options{
			Circuits: d.circuits, Recorder: recorder, Settings: Settings{Testing: true, AllowPrivate: true},
			Now: func() time.Time {
				d.mu.Lock()
				now := d.now
				d.mu.Unlock()
				return now()
			},
			Rand: func() *rand.Rand { seed++; return rand.New(rand.NewPCG(seed, 1)) },
			Fetch: func(context.Context, *actor.PID, uint64, onion.BlindedKey, netip.AddrPort) ([]byte, error) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.fetches++
				return d.fetch(d.fetches)
			},
		}))
		test(d)
		if err := kernel.StopAndWait(d.system, d.onions, time.Minute); err != nil {
			t.Error(err)
		}
		cancel()
		kernel.Shutdown(d.system)
	})
}

func (d *desk) send(m any) {
	d.system.Root.Send(d.onions, m)
	synctest.Wait()
}

// take gives what the circuits were told since the last call.
func (d *desk) take() []any {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.heard
	d.heard = nil
	return out
}

func (d *desk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// opens has every circuit be ready, or not.
func opens(ctx actor.Context, m any) {
	if m, ok := m.(*circuits.Open); ok {
		last := torcircuit.Hop{IPv4: netip.MustParseAddrPort("127.0.0.9:9001")}
		if m.Target != nil {
			last = *m.Target
		}
		ctx.Send(m.Owner, &circuits.Ready{Token: m.Token, ID: "c", PID: ctx.Self(), Last: last, Limit: time.Second})
	}
}

func fails(ctx actor.Context, m any) {
	if m, ok := m.(*circuits.Open); ok {
		ctx.Send(m.Owner, &circuits.Over{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
	}
}

// network has so many directories.
func testNetwork(directories int) *circuits.OnionNetwork {
	hsdir, _ := netdoc.ParseProtocols("HSDir=2")
	now := time.Now()
	c := &netdoc.Consensus{ValidAfter: now, FreshUntil: now.Add(time.Hour), ValidUntil: now.Add(3 * time.Hour), Params: netdoc.Params{}}
	for i := range directories {
		c.Relays = append(c.Relays, netdoc.RouterStatus{
			Identity: netdoc.Digest{byte(i + 1)}, MD: netdoc.MDDigest{byte(i + 1)}, Protocols: hsdir,
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagHSDir,
		})
	}
	x := path.NewIndex(c, func(m netdoc.MDDigest) *netdoc.Microdesc {
		return &netdoc.Microdesc{NtorKey: [32]byte{m[0]}, Ed25519: netdoc.Ed25519ID{m[0]}}
	}, path.Options{})
	return circuits.NewOnionNetwork(c, x)
}

func address(b byte) onion.Address { return onion.SecretKeyOfSeed([32]byte{b}).Address() }

// ended is how a meeting ended; it must have.
func (d *desk) ended(meeting string) (out chivev1.Outcome, before []any) {
	d.t.Helper()
	for _, m := range d.take() {
		if n, ok := m.(*circuits.NotMet); ok && n.Meeting == meeting {
			return n.Outcome, before
		}
		before = append(before, m)
	}
	d.t.Fatalf("meeting %s has no end", meeting)
	return 0, nil
}

// Each responsible directory is asked once, over a circuit of its own that is closed
// behind; then there is no descriptor.
func TestNotFound(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.answer = opens
		d.send(&circuits.Meet{Meeting: "m", Address: address(1)})
		if got := d.take(); len(got) != 0 {
			t.Fatalf("before the network is known: %T", got[0])
		}
		d.send(testNetwork(20))
		out, before := d.ended("m")
		asked, closed := map[[20]byte]bool{}, 0
		for _, m := range before {
			switch m := m.(type) {
			case *circuits.Open:
				if m.Purpose != chivev1.Purpose_PURPOSE_ONION_DIRECTORY || m.Target == nil || m.Target.NtorKey == [32]byte{} || asked[m.Target.RSA] {
					t.Errorf("%+v", m)
				}
				asked[m.Target.RSA] = true
			case *circuits.Shut:
				closed++
			}
		}
		if out != chivev1.Outcome_OUTCOME_ONION_NOT_FOUND || len(asked) != 6 || closed != 6 || d.fetches != 6 {
			t.Errorf("%v after %d directories, %d closed, %d fetches", out, len(asked), closed, d.fetches)
		}
		told := 0
		for _, e := range d.log {
			if f := e.GetServiceDescriptorFetched(); f != nil {
				told++
				if f.GetOutcome() != chivev1.Outcome_OUTCOME_ONION_NOT_FOUND || len(f.GetDirectory()) != 20 || f.GetAddress() != address(1).Host() {
					t.Errorf("told %v", f)
				}
			}
		}
		if told != 6 {
			t.Errorf("%d fetches are told", told)
		}
	})
}

// A directory that no circuit leads to is passed over, and so is one whose answer is
// nonsense or an error.
func TestDirectoriesThatFail(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(actor.Context, any)
		fetch  func(int) ([]byte, error)
		want   chivev1.Outcome
	}{
		"no circuit":   {fails, nil, chivev1.Outcome_OUTCOME_ONION_NOT_FOUND},
		"an error":     {opens, func(int) ([]byte, error) { return nil, errors.New("status 500") }, chivev1.Outcome_OUTCOME_ONION_NOT_FOUND},
		"one nonsense": {opens, func(n int) ([]byte, error) { return []byte("hello"), map[bool]error{false: ErrNone}[n == 1] }, chivev1.Outcome_OUTCOME_ONION_INVALID},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(d *desk) {
				d.answer = tt.answer
				if tt.fetch != nil {
					d.fetch = tt.fetch
				}
				d.send(testNetwork(20))
				d.send(&circuits.Meet{Meeting: "m", Address: address(1)})
				if out, _ := d.ended("m"); out != tt.want {
					t.Errorf("%v", out)
				}
			})
		})
	}
}

// Nobody waits any more: what was begun is given up.
func TestNoMeet(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.send(testNetwork(20))
		d.send(&circuits.Meet{Meeting: "m", Address: address(1)})
		open, ok := d.take()[0].(*circuits.Open)
		if !ok {
			t.Fatal("no circuit is asked for")
		}
		d.send(&circuits.NoMeet{Meeting: "m", Address: address(1)})
		got := d.take()
		if len(got) != 1 || got[0].(*circuits.Shut).Token != open.Token {
			t.Fatalf("%v", got)
		}
		// What comes for it later means nothing.
		d.system.Root.Send(open.Owner, &circuits.Ready{Token: open.Token, ID: "c", PID: d.circuits})
		d.system.Root.Send(open.Owner, &circuits.Over{Token: open.Token})
		d.send(&circuits.NoMeet{Meeting: "m", Address: address(1)})
		d.send(&circuits.NoMeet{Meeting: "other", Address: address(2)})
		if got := d.take(); len(got) != 0 {
			t.Errorf("%T", got[0])
		}
	})
}

// An actor that fails ends its meetings and its circuits, and the next meeting finds
// another one.
func TestServiceThatFails(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.send(testNetwork(20))
		d.send(&circuits.Meet{Meeting: "m", Address: address(1)})
		owner := d.take()[0].(*circuits.Open).Owner
		d.send(&circuits.Meet{Meeting: "other", Address: address(2)})
		d.take()
		d.set(func() {
			clock := time.Now
			once := false
			d.now = func() time.Time {
				if !once {
					once = true
					panic("the clock stopped")
				}
				return clock()
			}
		})
		d.system.Root.Send(owner, &tick{})
		var orphaned, failed bool
		for _, m := range d.take() {
			switch m := m.(type) {
			case *circuits.Orphaned:
				orphaned = m.Owner.Equal(owner)
			case *circuits.NotMet:
				failed = m.Meeting == "m" && m.Outcome == chivev1.Outcome_OUTCOME_INTERNAL
			}
		}
		if !orphaned || !failed {
			t.Fatalf("orphaned: %v, the meeting is told to have failed: %v", orphaned, failed)
		}
		d.send(&circuits.Meet{Meeting: "soon", Address: address(1)})
		if out, _ := d.ended("soon"); out != chivev1.Outcome_OUTCOME_BACKOFF {
			t.Errorf("while it waits for its restart: %v", out)
		}
		time.Sleep(time.Second)
		d.set(func() { d.answer = opens })
		d.send(&circuits.Meet{Meeting: "later", Address: address(1)})
		if out, _ := d.ended("later"); out != chivev1.Outcome_OUTCOME_ONION_NOT_FOUND {
			t.Errorf("after its restart: %v", out)
		}
	})
}

// What nobody wants and of which nothing is remembered costs nothing: its actor ends.
func TestServiceIsForgotten(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.answer = opens
		d.send(testNetwork(20))
		d.send(&circuits.Meet{Meeting: "m", Address: address(1)})
		_, before := d.ended("m")
		owner := before[0].(*circuits.Open).Owner
		if _, there := d.system.ProcessRegistry.GetLocal(owner.Id); !there {
			t.Fatal("gone though it remembers which directories were asked")
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if _, there := d.system.ProcessRegistry.GetLocal(owner.Id); there {
			t.Error("it is kept though there is nothing to remember")
		}
		d.send(&circuits.Meet{Meeting: "again", Address: address(1)})
		if out, _ := d.ended("again"); out != chivev1.Outcome_OUTCOME_ONION_NOT_FOUND || d.fetches != 12 {
			t.Errorf("%v after %d fetches", out, d.fetches)
		}
	})
}

// What was learned of a service is as good as a mark that it left here: when all is renewed it
// is asked for anew.
func TestForget(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.answer = opens
		d.send(testNetwork(20))
		for i, want := range []int{6, 6, 12} {
			if i == 2 {
				d.send(&Forget{})
			}
			id := fmt.Sprint(i)
			d.send(&circuits.Meet{Meeting: id, Address: address(1)})
			if out, _ := d.ended(id); out != chivev1.Outcome_OUTCOME_ONION_NOT_FOUND || d.fetches != want {
				t.Errorf("%s: %v after %d fetches, want %d", id, out, d.fetches, want)
			}
		}
	})
}

// An actor that ends with circuits leaves none behind: it may not have heard that they are
// wanted no more.
func TestServiceEndsWithCircuits(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.send(testNetwork(20))
		d.send(&circuits.Meet{Meeting: "m", Address: address(1)})
		owner := d.take()[0].(*circuits.Open).Owner
		d.system.Root.Stop(owner)
		for _, m := range d.take() {
			if o, ok := m.(*circuits.Orphaned); ok && o.Owner.Equal(owner) {
				return
			}
		}
		t.Error("its circuits stay")
	})
}

// So many services are remembered, and no more: those that nobody wants make room.
func TestManyServices(t *testing.T) {
	atDesk(t, func(d *desk) {
		d.answer = opens
		d.send(testNetwork(3))
		for i := range maxServices + 10 {
			d.system.Root.Send(d.onions, &circuits.Meet{Meeting: "m", Address: onion.Address{byte(i), byte(i >> 8), 1}})
			if i%64 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		for _, m := range d.take() {
			if n, ok := m.(*circuits.NotMet); ok && n.Outcome == chivev1.Outcome_OUTCOME_OVERLOADED {
				t.Fatal("refused though others can be forgotten")
			}
		}
	})
}
