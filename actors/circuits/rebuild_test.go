package circuits

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/connections"
	"chive/actors/kernel"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cbt"
)

// kept counts what is kept of build times.
type kept struct{ events int }

func (k *kept) History() cbt.History    { return cbt.History{} }
func (k *kept) Keep(events []cbt.Event) { k.events += len(events) }

// As many circuits as may be built wait for connections that hang, and a request for each:
// whatever says that they are of no use has others built at once, for the same requests, and
// it is held against nobody.
func TestWaitingOutlivesARebuild(t *testing.T) {
	for name, message := range map[string]func(*Netdir) any{
		"another way to the network": func(*Netdir) any { return &GuardsRetried{Renew: true} },
		"other rules":                func(dir *Netdir) any { other := *dir; other.Rules = "ExcludeNodes {xx}"; return &other },
		"other settings":             func(*Netdir) any { return &Configure{Settings: patient(), Rebuild: true} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rebuilds(t, message) })
		})
	}
}

func patient() Settings {
	return Settings{Dirtiness: time.Hour, SocksTimeout: 2 * time.Minute, Period: time.Hour, BuildTimeout: time.Minute}
}

func rebuilds(t *testing.T, message func(*Netdir) any) {
	system := kernel.NewSystem(nil)
	var wanted []*connections.Want
	hangs := system.Root.Spawn(kernel.Func(func(ctx actor.Context) {
		if w, ok := ctx.Message().(*connections.Want); ok {
			wanted = append(wanted, w)
		}
	}))
	bias, times := &counted{}, &kept{}
	x, guards := setNet(0)
	dir := &Netdir{Index: x, Enough: true}
	pid := system.Root.Spawn(Props(Options{
		Connections: hangs, Recorder: messages.NewRecorder("test", time.Now, 64), Now: time.Now, Rand: rand.New(rand.NewPCG(1, 2)),
		Guards: these{list: guards[:1]}, Settings: patient(), Bias: bias, Times: times,
	}))
	system.Root.Send(pid, dir)
	outcomes := make([]chivev1.Outcome, maxBuilding)
	for i := range outcomes {
		app := told{outcome: &outcomes[i]}
		system.Root.Send(pid, &Request{Spec: &stream.Spec{
			ID: fmt.Sprint(i), Purpose: general, Port: 443, Requested: time.Now(), Front: app, Conn: app, Isolation: values(uint64(i)),
		}})
	}
	synctest.Wait()
	if len(wanted) != maxBuilding {
		t.Fatalf("%d circuits are being built, want %d", len(wanted), maxBuilding)
	}
	system.Root.Send(pid, message(dir))
	synctest.Wait() // no time goes by
	if len(wanted) != 2*maxBuilding {
		t.Errorf("%d circuits are built in place of those that lead nowhere, want %d", len(wanted)-maxBuilding, maxBuilding)
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	if len(wanted) != 2*maxBuilding || slices.ContainsFunc(outcomes, func(o chivev1.Outcome) bool { return o != 0 }) {
		t.Errorf("half a minute later %d circuits were begun, and requests ended: %v", len(wanted), outcomes)
	}
	if len(bias.told) > 0 || times.events > 0 {
		t.Errorf("path bias counts %v, build times %d", bias.told, times.events)
	}
	for _, p := range []*actor.PID{pid, hangs} {
		if err := kernel.StopAndWait(system, p, time.Minute); err != nil {
			t.Error(err)
		}
	}
	kernel.Shutdown(system)
}

// What becomes of each kind of circuit when none may take new streams.
func TestRebuild(t *testing.T) {
	t.Parallel()
	const ours, visitor, directory = chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION, chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS, chivev1.Purpose_PURPOSE_DIRECTORY
	for name, tt := range map[string]struct {
		r                       record
		closing, tired, another bool // another: its owner asks on
	}{
		"being built":                         {record{purpose: general}, true, true, false},
		"too late":                            {record{purpose: general, late: true}, true, true, false},
		"of a directory":                      {record{purpose: directory}, true, true, false},
		"open, with a stream":                 {record{purpose: general, open: true, streams: 1}, false, true, false},
		"open, without":                       {record{purpose: general, open: true}, true, true, false},
		"waits for a better guard":            {record{purpose: general, waits: true}, true, true, false},
		"to an introduction point":            {record{purpose: introduction, wish: &Open{}}, true, true, true},
		"of which the last hop is missing":    {record{purpose: introduction, wish: &Open{}, far: true}, true, true, true},
		"to a visitor":                        {record{purpose: visitor, wish: &Open{}}, true, true, true},
		"to a visitor, waits":                 {record{purpose: visitor, wish: &Open{}, waits: true}, true, true, true},
		"to a visitor who is there":           {record{purpose: visitor, wish: &Open{}, open: true}, false, true, false},
		"of ours, whose owner asks by itself": {record{purpose: ours, wish: &Open{}}, true, true, false},
		"whose owner has left":                {record{purpose: introduction, wish: &Open{}, abandoned: true}, true, true, false},
		"stem":                                {record{purpose: stem}, true, true, false},
		"stem that is promised":               {record{purpose: stem, wish: &Open{}}, true, true, true},
		"closing":                             {record{purpose: general, closing: true}, true, false, false},
	} {
		atDesk(t, 0, func(d *desk) {
			r := tt.r
			r.id, r.pid, r.launched = "r", d.quiet, d.now
			if r.wish != nil {
				r.wish.Owner = d.quiet
			}
			d.records[r.id] = &r
			d.rebuild(d.ctx)
			if r.closing != tt.closing || r.tired != tt.tired || (len(d.opens) == 1) != tt.another {
				t.Errorf("%s: closing %v, takes no streams %v, %d are asked for", name, r.closing, r.tired, len(d.opens))
			}
		})
	}
	atDesk(t, 0, func(d *desk) { // when all end nothing is begun
		d.records["r"] = &record{id: "r", pid: d.quiet, purpose: introduction, wish: &Open{Owner: d.quiet}}
		d.closing = &Close{Reply: d.quiet}
		if d.rebuild(d.ctx); len(d.opens) > 0 || d.records["r"].closing {
			t.Error("a circuit is built anew while all end")
		}
	})
}

// A set that is not linked yet ends with its legs, and holds the next up no more than they do.
func TestRebuildOfSets(t *testing.T) {
	t.Parallel()
	atSets(t, 6, func(d *desk) {
		d.prepareSets(d.ctx)
		before := d.building
		if before == 0 {
			t.Error("no set is being built")
		}
		d.rebuild(d.ctx)
		for _, r := range slices.Collect(maps.Values(d.records)) {
			switch {
			case r.isSet && !r.closing, r.set != nil && !r.tired:
				t.Errorf("%+v is built on", r)
			case r.set != nil: // as its set tells
				d.legGoneFor(r)
			}
		}
		sets := d.theSets()
		for _, s := range sets {
			d.setGone(s, &circuit.Gone{ID: s.id, Outcome: chivev1.Outcome_OUTCOME_REPLACED})
		}
		if d.building != 0 || d.failures != 0 || d.sets.failures != 0 || d.holdOff != nil {
			t.Errorf("%d are being built, %d failed, %d sets", d.building, d.failures, d.sets.failures)
		}
	})
}

// legGoneFor ends a leg as its set does that was told to end.
func (d *desk) legGoneFor(r *record) {
	d.dir.Enough = false // nothing more is built
	d.gone(d.ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_REPLACED, Hops: 2})
}
