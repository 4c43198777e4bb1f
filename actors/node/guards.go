package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"chive/actors/directory"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// guards joins the pure guard state with the disk and the events. The circuits
// actor calls it in its turn; the directory's worker asks for directories.
type guards struct {
	file     string
	recorder *messages.Recorder
	log      *slog.Logger

	mu  sync.Mutex // protects the fields below
	set *guard.Set
	x   *path.Index
}

func newGuards(dataDir string, recorder *messages.Recorder, log *slog.Logger, rng *rand.Rand) *guards {
	g := &guards{file: filepath.Join(dataDir, "guards.json"), recorder: recorder, log: log, set: guard.New(rng)}
	b, err := os.ReadFile(g.file)
	if err == nil {
		err = g.set.Unmarshal(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The broken file is kept aside: new guards are chosen, as a lost state
		// must not stop the client, and the operator can see what it was.
		aside := g.file + ".broken"
		log.Warn("the guard state cannot be read; choosing new guards", "err", err, "kept", aside)
		if err := os.Rename(g.file, aside); err != nil {
			log.Warn("cannot keep the broken guard state", "err", err)
		}
	}
	return g
}

func (g *guards) save() {
	b, err := g.set.Marshal()
	if err == nil {
		tmp := g.file + ".new"
		if err = writeSynced(tmp, b); err == nil {
			err = os.Rename(tmp, g.file)
		}
	}
	if err != nil {
		g.log.Warn("cannot save the guard state", "err", err)
	}
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
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
