package circuits

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages/chivev1"
	"chive/tor/conflux"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/predict"
)

// these are guards, best first.
type these struct {
	noGuards
	list []netdoc.Digest
}

func (g these) Candidates(time.Time) []netdoc.Digest { return g.list }

// setNet is a network of 4 guards, 8 other relays and 6 exits, of which so many have conflux.
func setNet(able int) (x *path.Index, guards []netdoc.Digest) {
	all, _ := netdoc.ParsePortPolicy("accept 1-65535")
	with, _ := netdoc.ParseProtocols("Conflux=1 FlowCtrl=1-2 Relay=2-4")
	without, _ := netdoc.ParseProtocols("FlowCtrl=1-2 Relay=2-4")
	c, mds := &netdoc.Consensus{}, map[netdoc.MDDigest]*netdoc.Microdesc{}
	for i := range 18 {
		b := byte(i + 1)
		rs := netdoc.RouterStatus{
			Identity: netdoc.Digest{b}, MD: netdoc.MDDigest{b}, IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, b, 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir, Protocols: without, Bandwidth: 1,
		}
		md := &netdoc.Microdesc{NtorKey: [32]byte{b}, Ed25519: netdoc.Ed25519ID{b}}
		switch {
		case i < 4:
			rs.Flags |= netdoc.FlagGuard
			guards = append(guards, rs.Identity)
		case i >= 12:
			rs.Flags |= netdoc.FlagExit
			md.Policy4 = all
			if i < 12+able {
				rs.Protocols = with
			}
		}
		c.Relays = append(c.Relays, rs)
		mds[rs.MD] = md
	}
	return path.NewIndex(c, func(d netdoc.MDDigest) *netdoc.Microdesc { return mds[d] }, path.Options{}), guards
}

// atSets is a desk where sets may be built.
func atSets(t *testing.T, able int, test func(*desk)) {
	atDesk(t, 0, func(d *desk) {
		x, guards := setNet(able)
		d.dir.Index = x
		d.o.Guards, d.o.Connections, d.o.Bias = these{list: guards}, d.quiet, noBias{}
		d.network = networkOf(nil)
		d.sets.able, d.sets.all = x.ConfluxExits()
		d.ports = predict.New(d.now)
		d.o.Settings = Settings{
			Dirtiness: 10 * time.Minute, CleanLife: time.Hour, Prebuild: true, PoolMin: 2, PoolMax: 10, Relevance: time.Hour,
		}
		d.retime(d.ctx)
		test(d)
		for _, r := range d.records { // they would wait for connections
			if r.set == nil && r.pid != d.quiet {
				if err := kernel.StopAndWait(d.ctx.ActorSystem(), r.pid, 30*time.Second); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// sets are those that are there.
func (d *desk) theSets() (out []*record) {
	for _, r := range d.records {
		if r.isSet {
			out = append(out, r)
		}
	}
	return out
}

// How many sets are kept ready follows the consensus, the pool and the user.
func TestSetsAreKeptReady(t *testing.T) {
	for name, tt := range map[string]struct {
		able   int // of 6 exits
		change func(*desk)
		want   int
	}{
		"most exits":         {6, func(*desk) {}, 3},
		"the threshold":      {4, func(*desk) {}, 3},
		"few exits":          {3, func(*desk) {}, 1},
		"no exit":            {0, func(*desk) {}, 0},
		"consensus says no":  {6, func(d *desk) { d.network.conflux.Enabled = false }, 0},
		"and the user yes":   {6, func(d *desk) { d.network.conflux.Enabled, d.o.Settings.Conflux = false, On }, 3},
		"the user says no":   {6, func(d *desk) { d.o.Settings.Conflux = Off }, 0},
		"a small pool":       {6, func(d *desk) { d.o.Settings.PoolMax = 2 }, 2},
		"at most so many":    {6, func(d *desk) { d.network.conflux.MaxSets = 1 }, 1},
		"nothing predicted":  {6, func(d *desk) { d.o.Settings.Relevance = 0 }, 0},
		"no prebuilding":     {6, func(d *desk) { d.o.Settings.Prebuild = false }, 0},
		"not ready yet":      {6, func(d *desk) { d.progress-- }, 0},
		"one guard":          {6, func(d *desk) { d.o.Guards = these{list: d.o.Guards.Candidates(d.now)[:1]} }, 0},
		"one set was linked": {6, func(d *desk) { d.linkedSet("old"); d.records["old"].dirtied = d.now }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			atSets(t, tt.able, func(d *desk) {
				tt.change(d)
				for range 3 {
					d.prepareSets(d.ctx)
				}
				if n := len(d.theSets()); n != tt.want {
					t.Errorf("%d sets, want %d", n, tt.want)
				}
				for _, s := range d.theSets() {
					if s.id != "old" && (len(s.legs) != 2 || s.legs[0].first == s.legs[1].first || s.legs[0].exit != s.legs[1].exit || s.legs[0].exit != s.exit) {
						t.Errorf("legs of a set: %+v", s.legs)
					}
				}
			})
		})
	}
}

// linkedSet is a set that takes streams and does nothing.
func (d *desk) linkedSet(id string) *record {
	exit, _ := d.dir.Index.ByIdentity(netdoc.Digest{13})
	r := &record{id: id, pid: d.quiet, purpose: general, exit: exit, stable: true, open: true, isSet: true, launched: d.now, legs: make([]*record, 2)}
	d.records[id] = r
	d.places.clean[r] = struct{}{}
	return r
}

func (d *desk) single(id string) *record {
	r := d.linkedSet(id)
	r.isSet, r.launched, r.legs = false, d.now.Add(-time.Minute), nil
	return r
}

func request() *waiting {
	return &waiting{Request: &Request{Spec: &stream.Spec{Port: 443, Purpose: general}}, want: path.Want{Port: 443}}
}

// A stream goes where those of its isolation went, else on a set, else on a single circuit.
func TestSetsComeFirst(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		single, set := d.single("single"), d.linkedSet("set")
		if got := d.choose(request()); got != set {
			t.Error("a clean single circuit before a clean set")
		}
		d.places.carries(single, &request().Spec.Isolation)
		single.dirtied = d.now
		if got := d.choose(request()); got != single {
			t.Error("who asks did not keep its circuit")
		}
		d.places.carries(set, &request().Spec.Isolation)
		set.dirtied = d.now
		if got := d.choose(request()); got != set {
			t.Error("of two that were used, the single circuit")
		}
		if d.spare(request()) != nil {
			t.Error("a set is waited for")
		}
	})
}

// A set that has lost a leg takes no new streams, and another is built.
func TestSetThatLostALeg(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		set := d.linkedSet("set")
		d.o.Settings.PoolMax = 1
		d.prepareSets(d.ctx)
		if n := len(d.theSets()); n != 1 {
			t.Fatalf("%d sets", n)
		}
		set.tired = true // by circuit.Tired
		d.retire(d.ctx, set)
		d.prepareSets(d.ctx)
		if n := len(d.theSets()); n != 2 || !set.closing || d.choose(request()) != nil {
			t.Errorf("%d sets, ended: %v", n, set.closing)
		}
	})
}

// Switched off, sets that nothing uses end and the others take no new streams.
func TestWithoutConflux(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		clean, used := d.linkedSet("clean"), d.linkedSet("used")
		used.dirtied, used.streams = d.now, 1
		s := d.o.Settings
		s.Conflux, s.Prebuild = Off, false
		d.configure(d.ctx, &Configure{Settings: s})
		if !clean.closing || used.closing || !used.tired {
			t.Errorf("clean %+v, used %+v", clean.closing, used.tired)
		}
		other := d.linkedSet("other")
		s.Conflux, s.ConfluxUX = On, conflux.MinLatency
		d.configure(d.ctx, &Configure{Settings: s})
		if !other.closing {
			t.Error("a clean set that asks for something else is kept")
		}
	})
}

// A leg that is lost while a set is linking is replaced through another guard than the
// other leg's, and a set that fails holds the next up.
func TestLegIsReplaced(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		d.o.Settings.PoolMax = 1
		d.prepareSets(d.ctx)
		d.o.Settings.Prebuild = false
		set := d.theSets()[0]
		lost, stays := set.legs[0], set.legs[1]
		d.gone(d.ctx, &circuit.Gone{ID: lost.id, Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
		leg := d.anotherLeg(d.ctx, set)
		if leg == nil || leg.Path[0].RSA == stays.first || leg.Path[0].RSA != lost.first || leg.Path[2].RSA != set.exit.Identity || leg.Path[1].RSA == stays.relays[1].Identity {
			t.Fatalf("%+v", leg)
		}
		if d.building != 2 || len(set.legs) != 2 {
			t.Errorf("%d circuits are being built, %d legs", d.building, len(set.legs))
		}
		for _, r := range []*record{set.legs[0], set.legs[1], set} {
			d.gone(d.ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})
		}
		if d.building != 0 || len(d.theSets()) != 0 || !d.sets.notBefore.After(d.now) {
			t.Errorf("%d circuits are being built, %d sets, the next not before %v", d.building, len(d.theSets()), d.sets.notBefore)
		}
		d.stopChild(t, set.pid)
	})
}

// A leg that a set asked for and does not hear of any more, because it ended meanwhile, is
// none: it is not counted as being built, and nobody waits for its end to stop.
func TestSetEndsBeforeItsLegComes(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		d.o.Settings.PoolMax = 1
		d.prepareSets(d.ctx)
		d.o.Settings.Prebuild = false
		set := d.theSets()[0]
		for _, leg := range slices.Clone(set.legs) {
			d.gone(d.ctx, &circuit.Gone{ID: leg.id, Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
		}
		d.stopChild(t, set.pid) // it has ended, and that it did has not been heard
		d.legWanted(d.ctx, set.id)
		if len(set.legs) != 1 || d.building != 1 {
			t.Fatalf("%d legs, %d being built: no leg was wanted", len(set.legs), d.building)
		}
		d.gone(d.ctx, &circuit.Gone{ID: set.id, Outcome: chivev1.Outcome_OUTCOME_NO_PATH})
		if len(d.records) != 0 || d.building != 0 {
			t.Errorf("%d circuits are left, %d being built", len(d.records), d.building)
		}
	})
}

// A linked set that lost a leg before any stream was on it gives way to another: it is as
// slow as a circuit, and nobody would dial its guard again.
func TestCleanSetThatLostALeg(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		clean, used := d.linkedSet("clean"), d.linkedSet("used")
		used.dirtied = d.now
		for _, set := range []*record{clean, used} {
			set.legs = set.legs[:len(set.legs)-1]
		}
		d.prepareSets(d.ctx)
		if !clean.closing || used.closing {
			t.Errorf("closing: clean %v, used %v", clean.closing, used.closing)
		}
	})
}

func (d *desk) stopChild(t *testing.T, pid *actor.PID) {
	t.Helper()
	if err := kernel.StopAndWait(d.ctx.ActorSystem(), pid, 30*time.Second); err != nil {
		t.Error(fmt.Errorf("a set: %w", err))
	}
}

// A set whose actor panicked is gone, with its legs, when that actor has ended, and holds
// the next up.
func TestSetPanicked(t *testing.T) {
	atSets(t, 6, func(d *desk) {
		d.o.Settings.PoolMax = 1
		d.prepareSets(d.ctx)
		d.o.Settings.Prebuild = false
		set := d.theSets()[0]
		d.childFailed(d.ctx, &kernel.ChildFailed{PID: set.pid})
		if len(d.records) != 3 || !set.tired {
			t.Errorf("%d circuits before it has ended", len(d.records))
		}
		d.stopChild(t, set.pid)
		d.terminated(d.ctx, set.pid)
		if len(d.records) != 0 || d.building != 0 || !d.sets.notBefore.After(d.now) {
			t.Errorf("%d circuits, %d are being built", len(d.records), d.building)
		}
	})
}
