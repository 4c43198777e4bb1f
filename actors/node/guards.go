package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"chive/actors/directory"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/reach"
)

// guards joins the pure guard state with its store and the events. The circuits
// actor calls it in its turn, and the connections tell what failed; the directory's
// worker asks for directories, and the operator for another try.
type guards struct {
	recorder *messages.Recorder
	log      *slog.Logger
	now      func() time.Time

	mu      sync.Mutex // protects the fields below
	retried func(relays [][20]byte)
	removed func(relay netdoc.Digest)
	store   *guardStore
	set     *guard.Set
	x       *path.Index
	reach   reach.Rules
	outcome chivev1.Outcome // of the failure that is being told
	extreme bool            // the filter was found extreme
}

// newGuards loads the guards. j may be nil: there is no journal then. trouble is told what
// is wrong with it.
func newGuards(j messages.Journal, dataDir string, recorder *messages.Recorder, log *slog.Logger, trouble func(error), rng *rand.Rand) (*guards, error) {
	g := &guards{recorder: recorder, log: log, now: time.Now, set: guard.New(rng), retried: func([][20]byte) {}, removed: func(netdoc.Digest) {}}
	g.store = openGuards(j, dataDir, log, trouble, func(document []byte) error {
		_, err := guard.ParseList(document)
		return err
	})
	document, err := g.store.kept.document(0)
	if err != nil {
		return g, err
	}
	list, err := guard.ParseList(document)
	g.set.Load(list)
	g.store.kept = guardFold(g.set.List())
	return g, err
}

// onRetried has f told of guards that may be tried again before their time. It must not
// wait.
func (g *guards) onRetried(f func(relays [][20]byte)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retried = f
}

// onRemoved has f told of relays that are no guards any more. It must not wait.
func (g *guards) onRemoved(f func(relay netdoc.Digest)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removed = f
}

// close returns when all is on disk, or ctx is done.
func (g *guards) close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.store.close(ctx)
}

// told hands on what happened in the set: to the journal what must survive, and to the
// recorder what is told. Called with mu held, at the end of each change.
func (g *guards) told() {
	happened := g.set.Take()
	if len(happened) == 0 {
		return
	}
	if err := g.store.keep(happened); err != nil { // the store's list is another one: the set's counts
		g.log.Error("the guards' history does not fit; the list is written anew", "err", err)
		g.store.replace(g.set.List())
	}
	retried := map[guard.Reason][][20]byte{}
	for _, e := range happened {
		if e.Kind == guard.Retriable && e.Reason != guard.TimeCame {
			retried[e.Reason] = append(retried[e.Reason], e.Guard)
		}
		g.tell(e)
	}
	for reason, relays := range retried {
		g.emitRetried(reason, len(relays))
		g.retried(relays)
	}
}

func (g *guards) emitRetried(reason guard.Reason, n int) {
	g.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, g.recorder.Node(), &chivev1.GuardsRetried{
		Reason: string(reason), Guards: uint32(n),
	}))
}

func (g *guards) tell(e guard.Event) {
	relay := e.Guard[:]
	var event *chivev1.Envelope
	switch e.Kind {
	case guard.Sampled:
		event = messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardSampled{Relay: relay})
	case guard.Confirmed:
		event = messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardConfirmed{Relay: relay})
	case guard.Removed:
		g.removed(e.Guard)
		event = messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardRemoved{Reason: string(e.Reason), Relay: relay})
	case guard.Reached:
		event = messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardReachable{Relay: relay})
	case guard.Failed:
		event = messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardUnreachable{Outcome: g.outcome, Relay: relay})
	default:
		return
	}
	g.recorder.Emit(event)
}

// configure takes over the user's settings, and which relays can be reached.
func (g *guards) configure(s guard.Settings, r reach.Rules, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reach = r
	g.set.Configure(s, now)
	g.told()
}

// allows says whether the user's options let a relay be a guard of this index. Called with
// mu held.
func (g *guards) allows(r *path.Relay) bool {
	return g.x.MayEnter(r) && g.reach.Reaches(r.IPv4, r.IPv6)
}

func guardSettings(c *config.Config) guard.Settings {
	return guard.Settings{Primary: c.NumPrimaryGuards, Use: c.NumEntryGuards, UseDirectory: c.NumDirectoryGuards, Life: c.GuardLifetime}
}

// Update implements circuits.Guards.
func (g *guards) Update(x *path.Index, params netdoc.Params, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.x = x
	g.set.SetFilter(g.allows, "")
	g.set.Update(x, params, now)
	if extreme := g.set.Extreme(); extreme != g.extreme {
		g.extreme = extreme
		if extreme {
			g.log.Warn("so few relays are allowed as guards that this client can be told by them")
		}
	}
	g.told()
}

// Candidates implements circuits.Guards.
func (g *guards) Candidates(now time.Time) []netdoc.Digest {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.set.Candidates(now, false)
	g.told()
	return out
}

// Uses implements circuits.Guards.
func (g *guards) Uses(id netdoc.Digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set.Uses(id)
}

// Launched implements circuits.Guards.
func (g *guards) Launched(circuit string, id netdoc.Digest, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set.Launched(circuit, id, now)
	g.told()
}

// Opened implements circuits.Guards.
func (g *guards) Opened(circuit string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	usable := g.set.Opened(circuit, now) == guard.Complete
	g.told()
	return usable
}

// Gone implements circuits.Guards.
func (g *guards) Gone(circuit string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set.Gone(circuit)
}

// Settle implements circuits.Guards.
func (g *guards) Settle(now time.Time) (usable, tooLong []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set.Settle(now)
}

// Connected implements circuits.Guards.
func (g *guards) Connected(id netdoc.Digest, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set.Connected(id, now)
	g.told()
}

// Failed: the outgoing connection to a relay was tried and failed; the connections tell.
func (g *guards) Failed(id netdoc.Digest, o chivev1.Outcome, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outcome = o
	g.set.Failed(id, now)
	g.told()
}

// retry has every guard that failed tried again; it says how many these are, and tells it
// also if there are none.
func (g *guards) retry(why guard.Reason) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.set.RetryNow(why)
	if n == 0 {
		g.emitRetried(why, 0)
	}
	g.told()
	return n
}

// directories lists the guards as directories, best first, once their keys are known.
func (g *guards) directories() []directory.Target {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.x == nil {
		return nil
	}
	var out []directory.Target
	for _, id := range g.set.Candidates(g.now(), true) {
		if r, ok := g.x.ByIdentity(id); ok {
			out = append(out, directory.Target{Identity: id, Ed25519: r.Ed25519, IPv4: r.IPv4, IPv6: r.IPv6, NtorKey: r.NtorKey})
		}
	}
	g.told()
	return out
}
