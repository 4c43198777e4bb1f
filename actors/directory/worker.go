package directory

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"chive/internal/cores"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/tor/consdiff"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// worker does the steps, in one goroutine.
type worker struct {
	o         Options
	store     store
	consensus *netdoc.Consensus
	certs     []*netdoc.AuthCert
	mds       map[netdoc.MDDigest]*netdoc.Microdesc
	reader    netdoc.MicrodescReader
	shunned   map[netdoc.Digest]time.Time // sources not to be asked before
	phase     chivev1.BootstrapPhase
	failures  int
	base      consdiff.Digest // of the consensus in use, while the cache has its text
	misses    map[netdoc.MDDigest]miss
	enough    bool          // paths may be built with what was published last
	published int           // microdescriptors that were here then
	dead      int           // microdescriptors in the cache that no relay has any more, about
	unusable  bool          // the consensus requires protocols that are not here
	lack      string        // protocols that were told to be missing
	again     chan struct{} // of one: failures are forgotten
	cacheRead bool          // the cached microdescriptors were looked at
	offered   time.Time     // the consensus that was left for others last
}

// between is the wait between attempts that fail.
var between = supervisor.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Minute, Factor: 2, Jitter: 0.5}

func newWorker(o Options) *worker {
	return &worker{
		o: o, store: store{o.CacheDir}, mds: map[netdoc.MDDigest]*netdoc.Microdesc{},
		shunned: map[netdoc.Digest]time.Time{}, misses: map[netdoc.MDDigest]miss{}, lack: "/", again: make(chan struct{}, 1),
	}
}

// proxyWait is the longest wait while the proxy on the way fails, or this machine: no
// directory is asked meanwhile, and nobody else may notice that it works again.
const proxyWait = 30 * time.Second

// run keeps the view current until the context ends.
func (w *worker) run(ctx context.Context) {
	w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_STARTING, 0, "starting")
	w.load()
	w.fromOthers(ctx)
	refresh := w.refreshTime()
	for ctx.Err() == nil {
		err := w.step(ctx, &refresh)
		if ctx.Err() != nil {
			return
		}
		w.offer()
		next := w.next(refresh)
		if err != nil {
			w.failures++
			wait := w.backoff(err).Delay(w.failures, w.o.Rand)
			next = w.o.Now().Add(wait)
			w.o.Log.Info("directory", "err", err, "again", wait.Round(10*time.Millisecond))
		} else {
			w.failures = 0
		}
		if !w.rest(ctx, next) {
			return
		}
	}
}

// backoff is what to wait with between attempts that fail. Directories that have no newer
// consensus yet are asked less often the longer a consensus lives: every ten minutes at
// most on the public network.
func (w *worker) backoff(err error) supervisor.Backoff {
	b := between
	if nobodyAsked(err) {
		b.Max = proxyWait
	}
	if errors.Is(err, errNotNewer) {
		fresh := w.consensus.FreshUntil.Sub(w.consensus.ValidAfter)
		b.Min, b.Max = fresh/60, fresh/6
	}
	return b
}

// next is the time of the refresh, or when something that is missing may be asked for
// again.
func (w *worker) next(refresh time.Time) time.Time {
	if t := w.nextMicrodescs(); !t.IsZero() && t.Before(refresh) {
		return t
	}
	return refresh
}

// rest waits until a time by the clock on the wall, which is looked at now and then: a
// machine that slept wakes with a consensus that may be old. Or until another try is
// asked for. False: the context ended.
func (w *worker) rest(ctx context.Context, until time.Time) bool {
	const look = time.Minute
	until = until.Round(0) // without the clock that stands still in a machine's sleep
	for first := true; first || w.o.Now().Before(until); first = false {
		t := time.NewTimer(min(max(until.Sub(w.o.Now()), minPause), look))
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-w.again:
			t.Stop()
			w.failures = 0
			return true
		case <-t.C:
		}
	}
	return true
}

// minPause is between two steps, whatever the times in a consensus are.
const minPause = 100 * time.Millisecond

// step brings everything up to date once.
func (w *worker) step(ctx context.Context, refresh *time.Time) error {
	if w.consensus == nil || !w.o.Now().Before(*refresh) {
		if err := w.fetchConsensus(ctx); err != nil {
			w.publish() // what there is may have become too old
			return err
		}
		*refresh = w.refreshTime()
	}
	if w.unusable {
		return nil
	}
	return w.fetchMicrodescs(ctx)
}

// refreshTime is the moment to ask for the next consensus: random, so that
// clients do not come all at once (dir-spec §5.1).
func (w *worker) refreshTime() time.Time {
	if w.consensus == nil {
		return w.o.Now()
	}
	t, err := netdoc.RefreshTime(w.consensus, crand.Reader)
	if err != nil {
		return w.o.Now()
	}
	return t
}

// accept verifies a consensus text. Certificates that are missing, or have expired and may
// have been renewed for the same key, are named.
func (w *worker) accept(text []byte) (*netdoc.Consensus, []netdoc.KeyID, error) {
	defer cores.Wide()()
	c, err := netdoc.ParseConsensus(text)
	if err != nil {
		return nil, nil, err
	}
	now := w.o.Now()
	report, err := c.Verify(w.o.V3Idents, w.certs, now)
	if err != nil {
		wanted := append(report.MissingCerts, report.Expired...)
		if len(wanted) > 0 && report.CouldBeEnough() {
			return c, wanted, nil
		}
		return nil, nil, err
	}
	if err := c.CheckTime(now, netdoc.ReasonablyLive, netdoc.ReasonablyLive); err != nil {
		return nil, nil, err
	}
	if w.consensus != nil && c.ValidAfter.Before(w.consensus.ValidAfter) {
		return nil, nil, errors.New("older than the one in use")
	}
	if err := w.remembered(c, text); err != nil {
		return nil, nil, err
	}
	w.emit(chivev1.DocumentKind_DOCUMENT_KIND_CONSENSUS, len(c.Relays), len(report.Good), c.ValidUntil)
	return c, nil, nil
}

// rollbackTime is how much older than the newest that was ever verified a consensus may
// be: directories that are late have it for so long.
const rollbackTime = 3 * time.Hour

// errRollback: somebody, or a backup, would take the node back to a network of the past.
var errRollback = fmt.Errorf("%w: much older than one that this node has verified before", netdoc.ErrExpired)

// remembered refuses a consensus of the past, and remembers one that is newer.
func (w *worker) remembered(c *netdoc.Consensus, text []byte) error {
	if w.o.Memory == nil {
		return nil
	}
	newest := w.o.Memory.NewestConsensus()
	if c.ValidAfter.Add(rollbackTime).Before(newest) {
		return errRollback
	}
	if c.ValidAfter.After(newest) {
		w.o.Memory.ConsensusVerified(c.ValidAfter, sha256.Sum256(text))
	}
	return nil
}

// publish tells the new view, if there is one that may be used.
func (w *worker) publish() {
	if w.consensus == nil {
		return
	}
	defer cores.Wide()()
	x := path.NewIndex(w.consensus, func(d netdoc.MDDigest) *netdoc.Microdesc { return w.mds[d] }, w.o.Path)
	need := float64(w.consensus.Params.Get("min_paths_for_circs_pct", 60, 25, 95)) / 100
	live := w.consensus.CheckTime(w.o.Now(), netdoc.ReasonablyLive, netdoc.ReasonablyLive) == nil
	w.enough, w.published = live && !w.unusable && x.Coverage() >= need, len(w.mds)
	if w.enough {
		w.advance(chivev1.BootstrapPhase_BOOTSTRAP_PHASE_ENOUGH_DIRECTORY, 80, "enough directory information to build circuits")
	}
	w.o.OnUpdate(Updated{Consensus: w.consensus, Index: x, Enough: w.enough, Unusable: w.unusable})
}

func (w *worker) advance(phase chivev1.BootstrapPhase, percent uint32, summary string) {
	if phase <= w.phase {
		return
	}
	w.phase = phase
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, w.o.Recorder.Node(), &chivev1.BootstrapAdvanced{
		Phase: phase, Percent: percent, Summary: summary,
	}))
}

func (w *worker) emit(kind chivev1.DocumentKind, items, signatures int, until time.Time) {
	e := &chivev1.DocumentVerified{Kind: kind, Items: uint32(items), Signatures: uint32(signatures)}
	if !until.IsZero() {
		e.ValidUntil = timestamp(until)
	}
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", e))
}

func (w *worker) reject(kind chivev1.DocumentKind, err error) error {
	out := documentOutcome(err)
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.DocumentRejected{
		Kind: kind, Outcome: out, Reason: messages.OutcomeName(out),
	}))
	return fmt.Errorf("%s: %w", messages.DocumentName(kind), err)
}
