package directory

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/messages"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// Target is a directory, reached at one of its OR addresses.
type Target struct {
	Identity netdoc.Digest
	Ed25519  netdoc.Ed25519ID // zero: unknown
	IPv4     netip.AddrPort   // invalid: none
	IPv6     netip.AddrPort   // likewise
	NtorKey  [32]byte         // zero: CREATE_FAST
}

// Dialer opens a stream to a relay's directory.
type Dialer interface {
	DialDir(ctx context.Context, t Target) (net.Conn, error)
}

// Options is what the actor is made of.
type Options struct {
	Dialer      Dialer
	V3Idents    []netdoc.Digest // the authorities whose majority counts
	Authorities []Target
	Fallbacks   []Target        // asked first; the authorities when there are none. Not both are empty
	Guards      func() []Target // directory guards, preferred once known, best first: the next one is for when one fails; may be nil
	CacheDir    string
	Path        path.Options
	Recorder    *messages.Recorder
	Log         *slog.Logger
	Now         func() time.Time
	Rand        *rand.Rand // used by the worker only
	OnUpdate    func(Updated)
	Limits      *limits.Limits           // nil: none
	Shared      messages.SharedDirectory // nil: the node is in no fleet
	Memory      Memory                   // nil: only the cache remembers
}

// Memory knows the newest consensus that the node ever verified, though its cache be
// lost, or put back to an older one.
type Memory interface {
	NewestConsensus() time.Time // its valid-after; zero: none
	ConsensusVerified(validAfter time.Time, digest [32]byte)
}

// Updated is a new view of the network.
type Updated struct {
	Consensus *netdoc.Consensus
	Index     *path.Index
	Enough    bool // paths may be built
	Unusable  bool // the consensus requires what this version lacks: never Enough
}

// Retry has what failed tried again at once.
type Retry struct{}

type workerDone struct{ p *kernel.Panic }

type directory struct {
	o      Options
	cancel context.CancelFunc
	worker *worker
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return &directory{o: o} })
}

// Receive is the actor's table of messages.
func (d *directory) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		work, cancel := context.WithCancel(context.Background())
		d.cancel = cancel
		root, self := ctx.ActorSystem().Root, ctx.Self()
		worker := newWorker(d.o)
		d.worker = worker
		kernel.Go("directory worker", func() {
			worker.run(work)
			root.Send(self, &workerDone{})
		}, func(p *kernel.Panic) { root.Send(self, &workerDone{p}) })
	case *Retry:
		select {
		case d.worker.again <- struct{}{}:
		default: // it was asked already
		}
	case *workerDone:
		if m.p != nil {
			panic(m.p) // the node starts a new one
		}
	case *actor.Stopping:
		d.cancel()
	}
}
