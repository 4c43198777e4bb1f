package hosting

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/kernel"
	"chive/actors/onions"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
)

// Options is what the actor is made of.
type Options struct {
	Circuits *actor.PID // or who passes on what is for the circuits
	Publish  Publish
	Fetch    onions.Fetch // of descriptors, for visits
	Signals  *Signals     // nil: none
	Recorder *messages.Recorder
	Log      *slog.Logger
	Now      func() time.Time
	Rand     func() *rand.Rand // a new source, seeded by the system

	AllowPrivate bool // ExtendAllowPrivateAddresses
	Testing      bool // TestingTorNetwork
	// Services are those of the configuration, until a Configure.
	Services []config.OnionService
	// Sharing is told of services that several nodes host (Shared, Unshared), and sends
	// a Role for each; nil: there are no other nodes.
	Sharing *actor.PID
	// Away: the node takes no part in those, until a Rejoin.
	Away bool
	// Closed: nobody is met, as after Finish.
	Closed bool
	// VerifyPeriod is how often each is visited, on average; 0: when asked.
	VerifyPeriod time.Duration
	Program      *Program // what the program hosts; nil: nothing
}

// Publish gives a descriptor to the directory at the end of a circuit that its owner calls
// token, and returns the status that it answered.
type Publish func(ctx context.Context, owner *actor.PID, token uint64, text []byte) (status int, err error)

type (
	// Configure changes the services, at once; the clients of each are read anew.
	Configure struct {
		Services     []config.OnionService
		VerifyPeriod time.Duration
		// Keep: what the folders of services hold that are as before is not read again.
		Keep bool
	}
	// List tells of the services, in the order of the configuration. Tell is called in the
	// actor's turn.
	List struct{ Tell func([]Status) }

	configured  struct{ service config.OnionService }
	verifyEvery struct{ period time.Duration }
)

// Drop implements kernel.Droppable: there are no services just now.
func (m *List) Drop() { m.Tell(nil) }

// entry is one service as the supervising actor knows it.
type entry struct {
	id      string // in events; random, for one boot
	service config.OnionService
	own     *Own // nil: it is of the configuration
	status  atomic.Pointer[Status]
	role    *Role // the last; nil: none
	meter   meter
	relays  pastRelays
	going   atomic.Bool // it is taken out, and ends when the other nodes do without
	endsBy  *kernel.Timer
	first   atomic.Int64         // after so long it begins, once there is a network (stagger.go); 0: at once
	turn    atomic.Pointer[span] // when it takes the turn of a period; nil: at once
}

type hosting struct {
	o         Options
	children  *supervisor.Children
	entries   []*entry
	network   *circuits.OnionNetwork // nil: none is known yet
	period    atomic.Int64           // VerifyPeriod, for services that begin
	away      atomic.Bool            // the node takes no part in shared services
	parting   parting
	closed    atomic.Bool // nobody is met any more
	finishing finishing
	seated    int           // of so many services turn was said
	clients   atomic.Uint32 // numbers given to those who were met; services' actors take them
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor {
		h := &hosting{o: o}
		h.away.Store(o.Away)
		h.closed.Store(o.Closed)
		h.clients.Store(rand.Uint32()) // numbers of another boot must not be taken for these
		var err error
		h.children, err = supervisor.NewChildren(supervisor.Options{
			Strategy: supervisor.Service(), OnChange: h.changed, OnSpawn: h.spawned, Rand: o.Rand(), Now: o.Now,
		})
		if err != nil {
			panic(err)
		}
		return h
	})
}

// Receive is the actor's table of messages.
func (h *hosting) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*kernel.ChildFailed); ok {
		h.childFailed(ctx, m)
	}
	if h.children.Receive(ctx) {
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		h.period.Store(int64(h.o.VerifyPeriod))
		h.children.Supervise(ctx, supervisor.Supervise{Name: proberName, Props: h.proberProps})
		h.configure(ctx, &Configure{Services: h.o.Services})
		h.look(ctx, h.lots(len(h.o.Program.all())))
	case *actor.Stopped:
		h.letGo()
	case *Look:
		h.look(ctx, h.lots(0))
	case *Configure:
		h.verifyEvery(ctx, m.VerifyPeriod)
		h.configure(ctx, m)
	case *Verify, *Shaken, *visit, *left:
		h.health(ctx, m)
	case *circuits.OnionNetwork:
		h.seat()
		h.network = m
		_ = h.children.Pass(ctx, proberName, m) // likewise
		for _, e := range h.entries {
			_ = h.children.Pass(ctx, e.id, m) // one that is started anew is told by spawned
		}
	case *Role:
		h.assign(ctx, m)
	case *Leave, *Rejoin, *Parted, *overdue:
		h.leaving(ctx, m)
	case *Finish, *finished:
		h.finish(ctx, m)
	case *List:
		out := make([]Status, 0, len(h.entries))
		for _, e := range h.entries {
			if s := e.status.Load(); s != nil {
				out = append(out, *s)
				out[len(out)-1].meter, out[len(out)-1].From = &e.meter, e.from()
				out[len(out)-1].Relays = e.relays.read()
				if e.own == nil {
					out[len(out)-1].Targets = e.meter.targets.read(e.service.Ports)
				}
			}
		}
		m.Tell(out)
	}
}

// configure has the services be those of the configuration, and of the program.
func (h *hosting) configure(ctx actor.Context, m *Configure) {
	var entries []*entry
	begins := h.lots(h.fresh(m.Services))
	for _, want := range m.Services {
		i := slices.IndexFunc(h.entries, func(e *entry) bool { return e.own == nil && e.service.Dir == want.Dir })
		if i >= 0 {
			e := h.entries[i]
			entries = append(entries, e)
			if m.Keep && e.service.Equal(&want) {
				continue
			}
			e.service = want
			_ = h.children.Pass(ctx, e.id, &configured{want}) // one that is started anew begins with it
			continue
		}
		if e := h.back(ctx, want); e != nil {
			entries = append(entries, e)
			continue
		}
		entries = append(entries, h.begin(ctx, want, nil, begins.draw()))
	}
	for _, e := range h.entries {
		switch {
		case slices.Contains(entries, e):
		case e.own != nil:
			entries = append(entries, e)
			if !m.Keep {
				_ = h.children.Pass(ctx, e.id, &configured{e.service})
			}
		default:
			h.end(ctx, e)
		}
	}
	h.entries = entries
}

// fresh is how many of the services are not hosted yet.
func (h *hosting) fresh(services []config.OnionService) (n int) {
	for _, want := range services {
		in := func(e *entry) bool { return e.own == nil && e.service.Dir == want.Dir }
		if !slices.ContainsFunc(h.entries, in) && !slices.ContainsFunc(h.parting.going, in) {
			n++
		}
	}
	return n
}

func (h *hosting) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	if pid := h.children.PID(proberName); pid != nil && pid.Equal(m.PID) {
		h.toAll(ctx, &visitsLost{})
	}
	ctx.Send(h.o.Circuits, &circuits.Orphaned{Owner: m.PID})
	for _, e := range h.entries {
		if pid := h.children.PID(e.id); pid != nil && pid.Equal(m.PID) {
			h.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_HOSTING, e.id, &chivev1.ActorFailed{Reason: m.Site(), Restarted: true}))
		}
	}
}

// changed tells of a service that failed; it is started anew after a wait.
func (h *hosting) changed(c supervisor.StateChanged) {
	if c.State == supervisor.StateGone {
		h.left(c.Child)
	}
	if c.State == supervisor.StateGone || c.Err != nil {
		h.quiet(c.Child)
	}
	if c.Err == nil {
		return // it was forgotten
	}
	reason := c.Err.Error()
	if p := (*kernel.Panic)(nil); errors.As(c.Err, &p) {
		reason = "a defect in chive (" + c.Site + ")" // the value of a panic may hold anything
	}
	for _, e := range h.entries {
		if e.id == c.Child {
			h.o.Log.Warn("an onion service does not run", "folder", e.service.Dir, "reason", reason, "again", c.Delay)
			e.show(&Status{ID: e.id, Dir: e.service.Dir, State: "failed", Problem: reason})
		}
	}
	h.o.Recorder.Emit(c.Event(c.Child, c.Kind+"/"+c.Child, chivev1.Outcome_OUTCOME_INTERNAL))
}

func (h *hosting) spawned(ctx actor.Context, name string, pid *actor.PID) {
	if h.network != nil {
		ctx.Send(pid, h.network)
	}
	for _, e := range h.entries {
		if e.id == name && e.role != nil {
			ctx.Send(pid, e.role)
		}
	}
}
