package circuits

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/isolation"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/path"
	"chive/tor/predict"
)

const general = chivev1.Purpose_PURPOSE_GENERAL

// desk is the actor with circuits that only listen, at a time that the test sets.
type desk struct {
	*circuits
	ctx actor.Context
	now time.Time
	all []*record
	on  map[*stream.Spec]*record // where each stream is

	quiet *actor.PID // hears everything and does nothing
}

// exits is an index of relays that are exits for anything.
func exits(n int) *path.Index {
	all, _ := netdoc.ParsePortPolicy("accept 1-65535")
	c, mds := &netdoc.Consensus{}, map[netdoc.MDDigest]*netdoc.Microdesc{}
	for i := range n {
		b := byte(i + 1)
		c.Relays = append(c.Relays, netdoc.RouterStatus{
			Identity: netdoc.Digest{b}, MD: netdoc.MDDigest{b}, IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, b, 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagExit,
		})
		mds[netdoc.MDDigest{b}] = &netdoc.Microdesc{NtorKey: [32]byte{b}, Ed25519: netdoc.Ed25519ID{b}, Policy4: all}
	}
	return path.NewIndex(c, func(d netdoc.MDDigest) *netdoc.Microdesc { return mds[d] }, path.Options{})
}

// reporter is a testing.TB or a rapid.T.
type reporter interface{ Error(args ...any) }

// atDesk runs a test in the actor's turn, with so many clean circuits, each to an exit of
// its own.
func atDesk(t reporter, clean int, test func(*desk)) {
	system := kernel.NewSystem(nil)
	defer kernel.Shutdown(system)
	done := make(chan struct{})
	pid := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); !ok {
			return
		}
		defer func() {
			if why := recover(); why != nil { // the actor system would keep it to itself
				t.Error(fmt.Errorf("%v\n%s", why, debug.Stack()))
			}
			close(done)
		}()
		d := &desk{ctx: ctx, now: time.Unix(1_000_000, 0), on: map[*stream.Spec]*record{}}
		d.circuits = &circuits{
			o: Options{
				Guards: noGuards{}, Vanguards: noVanguards{}, Now: func() time.Time { return d.now }, Rand: rand.New(rand.NewPCG(1, 2)),
				Recorder: messages.NewRecorder("test", time.Now, 8), Settings: Settings{Dirtiness: 10 * time.Minute},
			},
			records: map[string]*record{}, places: newPlaces(), identities: newIdentities(), paces: map[netdoc.Digest]*guardPace{},
			meetings: map[string]*meeting{}, met: map[onion.Address][]*record{},
			dir: Netdir{Index: exits(clean), Enough: true}, progress: chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE,
		}
		d.ports, d.o.Bias = predict.New(d.now), noBias{}
		d.recall()
		quiet := ctx.Spawn(kernel.Func(func(actor.Context) {}))
		d.quiet, d.o.Onions, d.o.Connections = quiet, quiet, quiet
		for i := range clean {
			exit, _ := d.dir.Index.ByIdentity(netdoc.Digest{byte(i + 1)})
			r := &record{id: fmt.Sprint(i), pid: quiet, purpose: general, exit: exit, open: true, launched: d.now.Add(time.Duration(i))}
			d.records[r.id] = r
			d.places.clean[r] = struct{}{}
			d.all = append(d.all, r)
		}
		test(d)
		if d.holdOff != nil {
			d.holdOff.Stop()
		}
	}))
	<-done
	if err := kernel.StopAndWait(system, pid, 30*time.Second); err != nil {
		t.Error(err)
	}
}

// follow notes on which circuit a stream went in f; nil: on none.
func (d *desk) follow(spec *stream.Spec, f func()) *record {
	before := map[*record]int{}
	for _, r := range d.all {
		before[r] = r.streams
	}
	f()
	delete(d.on, spec)
	for _, r := range d.all {
		if r.streams > before[r] {
			d.on[spec] = r
		}
	}
	return d.on[spec]
}

func (d *desk) ask(spec *stream.Spec) *record {
	spec.Purpose, spec.Port, spec.Requested = general, 443, d.now
	return d.follow(spec, func() { d.request(d.ctx, &Request{Spec: spec}) })
}

func (d *desk) back(spec *stream.Spec) *record {
	from := d.on[spec]
	return d.follow(spec, func() { d.streamBack(d.ctx, &circuit.StreamBack{ID: from.id, Spec: spec}) })
}

func (d *desk) leave(spec *stream.Spec) {
	d.streamOff(d.ctx, d.on[spec].id, spec)
	delete(d.on, spec)
}

func values(v uint64) (t isolation.Token) {
	for f := range t.Values {
		t.Values[f] = v
	}
	return t
}

// Whatever comes, goes, comes back and is renewed: no circuit carries two streams that
// must be apart, or two of an identity that was renewed between them.
func TestCircuitsKeepApart(t *testing.T) {
	t.Parallel()
	type carried struct {
		token isolation.Token
		users []string
		at    int // how many renewals there had been of each kind
	}
	rapid.Check(t, func(t *rapid.T) {
		atDesk(t, 60, func(d *desk) {
			log := map[*record][]carried{}
			var live []*stream.Spec
			asked := map[*stream.Spec]carried{}
			var renewed []string
			note := func(spec *stream.Spec, r *record) {
				if r == nil {
					return // no circuit is left: it waits
				}
				live = append(live, spec)
				log[r] = append(log[r], asked[spec])
			}
			for range rapid.IntRange(1, 50).Draw(t, "steps") {
				switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
				case step == 0:
					who := rapid.SampledFrom([]string{"", "alice", "bob"}).Draw(t, "renewed")
					renewed = append(renewed, who)
					d.renew(d.ctx, who)
				case step <= 2 && len(live) > 0:
					i := rapid.IntRange(0, len(live)-1).Draw(t, "left")
					spec := live[i]
					live = append(live[:i:i], live[i+1:]...)
					if step == 1 {
						d.leave(spec)
					} else {
						spec.Avoid = nil
						note(spec, d.back(spec))
					}
				default:
					tok := isolation.Token{Flags: isolation.Flags(rapid.SampledFrom([]int{0, 4, 8, 16, 64, 255}).Draw(t, "flags"))}
					for f := range tok.Values {
						tok.Values[f] = uint64(rapid.IntRange(1, 2).Draw(t, "value"))
					}
					tok.Values[isolation.Epoch] = 0 // compared below
					spec := &stream.Spec{ID: fmt.Sprint(len(asked)), Isolation: tok}
					if who := rapid.SampledFrom([]string{"", "alice", "bob"}).Draw(t, "who"); who != "" {
						spec.Identities = []string{who}
					}
					asked[spec] = carried{tok, spec.Identities, len(renewed)}
					note(spec, d.ask(spec))
				}
			}
			for _, all := range log {
				for i, a := range all {
					for _, b := range all[:i] {
						if !a.token.Compatible(&b.token) {
							t.Fatalf("%+v beside %+v", a, b)
						}
						for n := min(a.at, b.at); n < max(a.at, b.at); n++ {
							who := renewed[n]
							if who == "" || slices.Contains(a.users, who) && slices.Contains(b.users, who) {
								t.Fatalf("%+v beside %+v, between which %q was renewed", a, b, who)
							}
						}
					}
				}
			}
		})
	})
}

// A stream that was asked for before a renewal, and comes back after it, shares no circuit
// with what was asked for since.
func TestStreamBackStaysInItsEpoch(t *testing.T) {
	atDesk(t, 5, func(d *desk) {
		old := &stream.Spec{Isolation: values(1), Identities: []string{"alice"}}
		first := d.ask(old)
		if n := d.renew(d.ctx, "alice"); n != 1 || !first.tired {
			t.Errorf("%d circuits were renewed", n)
		}
		fresh := d.ask(&stream.Spec{Isolation: values(1), Identities: []string{"alice"}})
		again := d.back(old)
		if again == nil || again == fresh || again == first {
			t.Error("it is on the circuit of what came after the renewal, or on none")
		}
		after := d.ask(&stream.Spec{Isolation: values(1), Identities: []string{"alice"}})
		if after != fresh {
			t.Error("a later stream is not with those of its epoch")
		}
		if d.ask(&stream.Spec{Isolation: values(1), Identities: []string{"bob"}}) == again {
			t.Error("a circuit of the old epoch takes new streams")
		}
	})
}

// A circuit is used while it is younger than MaxCircuitDirtiness; with
// KeepAliveIsolateSOCKSAuth its age counts from when a stream came or left.
func TestKeepAlive(t *testing.T) {
	const most = 10 * time.Minute
	for _, keep := range []bool{false, true} {
		atDesk(t, 5, func(d *desk) {
			ask := func() (*stream.Spec, *record) {
				spec := &stream.Spec{Isolation: values(1), KeepAlive: keep}
				return spec, d.ask(spec)
			}
			spec, first := ask()
			d.now = d.now.Add(most - 1)
			second, r := ask()
			if r != first {
				t.Fatal("the circuit is not used while it is young")
			}
			d.leave(spec)
			d.now = d.now.Add(most - 1) // since the second came and the first left
			third, r := ask()
			if (r == first) != keep {
				t.Errorf("keep %v: on the first circuit: %v", keep, r == first)
			}
			d.now = d.now.Add(2 * most)
			d.leave(second)
			d.leave(third)
			if _, r := ask(); (r == first) != keep {
				t.Errorf("keep %v, just left: on the first circuit: %v", keep, r == first)
			}
			d.now = d.now.Add(most)
			if _, r := ask(); r == first {
				t.Errorf("keep %v: an old circuit takes streams", keep)
			}
		})
	}
}

// Among used circuits a stream takes the one that it mixes least.
func TestMixesLeast(t *testing.T) {
	atDesk(t, 5, func(d *desk) {
		stream1, stream2 := values(1), values(1)
		stream2.Values[isolation.DestAddr] = 2
		stream2.Flags = stream2.Flags.With(isolation.DestAddr, true)
		one, two := d.ask(&stream.Spec{Isolation: stream1}), d.ask(&stream.Spec{Isolation: stream2})
		if one == two {
			t.Fatal("a stream that isolates by address shares")
		}
		stream2.Flags = 0
		if got := d.ask(&stream.Spec{Isolation: stream2}); got != two {
			t.Error("a stream mixes what it need not")
		}
	})
}

// Renewals of more identities than are remembered are renewals of all.
func TestManyRenewals(t *testing.T) {
	var r struct{ renewals }
	renew := func(id string) {
		r.renew(id, func() func(string) bool { return func(id string) bool { return id != "gone" } })
	}
	renew("gone")
	for i := range mostRenewed {
		renew(fmt.Sprint(i))
	}
	if r.epoch([]string{"other"}) != 0 || r.epoch([]string{"0"}) != 2 || r.ones["gone"] != 0 {
		t.Fatal("others are in a new epoch")
	}
	renew("0") // it is one of them
	if r.epoch(nil) != 0 || r.epoch([]string{"1", "0"}) != mostRenewed+2 {
		t.Fatal("others are in a new epoch")
	}
	renew("one more")
	if r.epoch(nil) != mostRenewed+3 || len(r.ones) != 0 {
		t.Error("not all are in a new epoch")
	}
}
