package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"chive/actors/directory"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// guards joins the pure guard state with its store and the events. The circuits
// actor calls it in its turn; the directory's worker asks for directories.
type guards struct {
	recorder *messages.Recorder

	mu    sync.Mutex // protects the fields below
	store *guardStore
	set   *guard.Set
	x     *path.Index
}

// newGuards loads the guards. j may be nil: there is no journal then. trouble is told what
// is wrong with it.
func newGuards(j messages.Journal, dataDir string, recorder *messages.Recorder, log *slog.Logger, trouble func(error), rng *rand.Rand) (*guards, error) {
	g := &guards{recorder: recorder, set: guard.New(rng)}
	g.store = openGuards(j, dataDir, log, trouble, func(document []byte) error {
		return guard.New(rng).Unmarshal(document)
	})
	document, err := g.store.kept.document(0)
	if err == nil {
		err = g.set.Unmarshal(document)
	}
	return g, err
}

// save records what changed in the set; it does not wait for the disk.
func (g *guards) save() { g.store.save(g.set.Guards()) }

// close returns when all is on disk, or ctx is done.
func (g *guards) close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.store.close(ctx)
}

func (g *guards) sampled(id netdoc.Digest) {
	g.recorder.Emit(messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardSampled{Relay: id[:]}))
}

// Update implements circuits.Guards.
func (g *guards) Update(x *path.Index, params netdoc.Params, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.x = x
	added := g.set.Update(x, params, now)
	for _, id := range added {
		g.sampled(id)
	}
	g.save()
}

// Usable implements circuits.Guards.
func (g *guards) Usable(now time.Time) []netdoc.Digest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set.Usable(now)
}

// Reached implements circuits.Guards.
func (g *guards) Reached(id netdoc.Digest, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.set.Reached(id, now) {
		g.recorder.Emit(messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardReachable{Relay: id[:]}))
		g.save()
	}
}

// Failed implements circuits.Guards. When no guard is left to try, the sample
// grows by one.
func (g *guards) Failed(id netdoc.Digest, o chivev1.Outcome, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set.Failed(id, now)
	g.recorder.Emit(messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.GuardUnreachable{Outcome: o, Relay: id[:]}))
	if len(g.set.Usable(now)) > 0 || g.x == nil {
		return
	}
	if id, ok := g.set.Widen(g.x, now); ok {
		g.sampled(id)
		g.save()
	}
}

// directories lists the guards as directories, once their keys are known.
func (g *guards) directories() []directory.Target {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.x == nil {
		return nil
	}
	var out []directory.Target
	for _, id := range g.set.Usable(time.Now()) {
		if r, ok := g.x.ByIdentity(id); ok {
			out = append(out, directory.Target{Identity: id, Ed25519: r.Ed25519, Addr: r.IPv4, NtorKey: r.NtorKey})
		}
	}
	return out
}
