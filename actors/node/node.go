package node

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/configuration"
	"chive/actors/connections"
	"chive/actors/hosting"
	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/actors/metrics"
	"chive/bridge"
	"chive/bridge/journal"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// ringSize is how many events wait for NATS at most.
const ringSize = 8192

// Options is what a node is made of.
type Options struct {
	Config *config.Config
	// Source is where Config was read from, to be read again; nil: it stays, but for
	// what is set while the node runs.
	Source  *config.Source
	Log     *slog.Logger
	Logs    Logs // behind Log; nil: its settings cannot change
	Version string
	// EndsUnheard: who starts the node stops it at what Failed gives, and says so; the log then
	// tells of no other try. Without it such a listener is tried on.
	EndsUnheard bool
	// OnEvent sees every event with all its fields, forensic ones included; it
	// must be quick. For tests; nil otherwise.
	OnEvent func(*chivev1.Envelope)
	// Now is the clock; nil: the system's. What it gives has a monotonic reading, which
	// durations go by. For tests.
	Now func() time.Time
	// Boot is the clock that goes on while the machine sleeps, and that nobody can set; nil: the
	// machine's. For tests, as Now.
	Boot func() time.Duration
}

// Progress is one step of bootstrapping.
type Progress struct {
	Percent int
	Phase   string
	Summary string
}

// Node is a running node.
type Node struct {
	o         Options
	lock      *os.File
	recorder  *messages.Recorder
	bridge    *bridge.Bridge
	limits    limits.Limits
	countries countries // of relays, if a rule names some
	renewAll  limits.Bucket
	system    *actor.ActorSystem
	root      *actor.PID
	status    *status
	names     *names
	diary     *diary
	progress  chan Progress
	cancels   []func()
	stopOnce  sync.Once
	stopErr   error
	stopped   chan struct{}
	listening chan net.Addr
	failed    chan error
	begun     atomic.Bool   // the first listeners are told to open
	ending    chan struct{} // closed when Stop begins
	deaf      atomic.Bool   // no listeners but those of metrics
	shared    atomic.Pointer[[]messages.FleetShared]
	apart     atomic.Bool // no part in shared onion services
	shut      atomic.Bool // onion services meet nobody any more
	hurried   atomic.Bool // Stop waits for no other nodes
	leaving   atomic.Bool // no listeners any more
	ends      atomic.Bool // Drain or Stop has begun: there is no way back
	member    *membership // nil: in no fleet
	state     *configuration.State
	control   *configuration.Control
	journal   *journal.Journal // nil: it could not be opened
	guards    *guards
	vanguards *vanguards
	onionKeys atomic.Pointer[onionKeys]
	breakers  *breakerLog
	proxy     atomic.Pointer[connections.ProxyChanged] // nil: it works, or there is none
	newest    *directoryLog
	times     *timesLog
	bias      *biasLog
	own       hosting.Program // onion services of the program
	listens   listens
	metrics   *metrics.Server
	signals   hosting.Signals
	folders   folders
}

// ErrInUse means that another node uses the data directory.
var ErrInUse = errors.New("another chive uses this DataDirectory")

// Start runs a node; it bootstraps in the background.
func Start(_ context.Context, o Options) (*Node, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Boot == nil {
		o.Boot = bootTime
	}
	n := &Node{
		o: o, progress: make(chan Progress, 64), ending: make(chan struct{}), stopped: make(chan struct{}), status: newStatus(),
		names: newNames(), failed: make(chan error, 1),
		listening: make(chan net.Addr, len(o.Config.Listeners())*4+1),
	}
	var err error
	if n.metrics, err = metrics.New(metrics.Sources{Node: n.counts, Services: n.hosted}, o.Log); err != nil {
		return nil, err
	}
	if err := n.openData(); err != nil {
		return nil, err
	}
	n.recorder = messages.NewRecorder(o.Config.NodeName, n.o.Now, ringSize)
	n.diary = n.newHistory()
	n.cancels = append(n.cancels, n.recorder.Observe(n.observe))
	if o.OnEvent != nil {
		n.cancels = append(n.cancels, n.recorder.Observe(o.OnEvent))
	}
	n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, n.recorder.Node(), &chivev1.NodeStarted{Version: o.Version}))
	n.openJournal()
	err = n.openState()
	if err == nil {
		n.bridge, err = bridge.Start(n.bridgeOptions())
	}
	if err != nil {
		return nil, n.abandon(err)
	}
	if err := n.bridge.Share("status", n.answerStatus); err != nil {
		return nil, n.abandon(err)
	}
	n.system = kernel.NewSystem(o.Log)
	n.control = configuration.NewControl(n.state, n.system, n.stopped)
	top, err := newTop(n)
	if err == nil {
		err = n.bridge.ServeConfig(n.control)
	}
	if err != nil {
		return nil, n.abandon(err)
	}
	if err := n.openKept(); err != nil {
		return nil, n.abandon(err)
	}
	if n.member, err = n.joinFleet(); err != nil {
		return nil, n.abandon(err)
	}
	n.diary.start()
	n.root = actor.NewPID(n.system.Address(), "top") // its children ask by it as soon as they run
	if _, err := n.system.Root.SpawnNamed(kernel.Props(func() actor.Actor { return top }), n.root.Id); err != nil {
		panic(err) // the name is taken: the only one in a new system
	}
	err = n.answer()
	if n.member != nil {
		n.member.Begin() // others see the node from here on, and ask it
	}
	if err != nil {
		return nil, errors.Join(err, n.Stop(context.Background()))
	}
	return n, nil
}

// abandon ends what a start has begun that fails for a reason, before there are actors.
func (n *Node) abandon(why error) error {
	close(n.stopped) // who wants another configuration waits for an actor
	err := errors.Join(why, n.closeKept(context.Background()))
	if n.bridge != nil {
		err = errors.Join(err, n.bridge.Close(context.Background()))
	}
	if n.system != nil {
		kernel.Shutdown(n.system)
	}
	for _, cancel := range n.cancels {
		cancel()
	}
	return errors.Join(err, n.lock.Close())
}

// answer takes the questions that are for the actors, which are there now.
func (n *Node) answer() error {
	return errors.Join(n.bridge.Share("drain", n.answerDrain), n.bridge.Share(messages.VerbGuardsRetry, n.answerGuardsRetry),
		n.bridge.Share(messages.VerbTimeoutsForget, n.answerTimeoutsForget),
		n.bridge.Handle(messages.VerbRenew, n.answerRenew), n.bridge.Handle(messages.VerbIdentities, n.answerIdentities),
		n.bridge.Handle(messages.VerbProfile, n.answerProfile), n.bridge.Handle(messages.VerbHosting, n.answerHosting),
		n.bridge.Handle(messages.VerbHostingVerify, n.answerHostingVerify))
}

// openState computes what the node starts with: what was given, and what the
// fleet had set.
func (n *Node) openState() error {
	source := n.o.Source
	if source == nil {
		source = config.Fixed(n.o.Config)
	}
	var err error
	n.state, err = configuration.Open(source, configuration.NewJournalStore(n.durable(), configuration.NewFileStore(n.o.Config.DataDirectory), n.o.Log), n.o.Log, n.o.Now())
	if err != nil {
		return err
	}
	if err := n.readRelayRules(n.Config()); err != nil {
		return err
	}
	keys, err := n.readOnionKeys(n.Config(), true)
	if err != nil {
		return err
	}
	n.onionKeys.Store(&keys)
	if err := n.checkServices(n.Config()); err != nil {
		return err
	}
	n.folders.note(configuration.Change{Old: &config.Config{}, New: n.Config()})
	block.SetPooling(n.Config().EnableBufferPooling)
	setLimits(&n.limits, n.Config())
	n.renewAll.Set(1/renewAllEvery.Seconds(), 1)
	n.cancels = append(n.cancels, block.WatchMemory(n.memoryChanged))
	return nil
}

func (n *Node) configurationProps() *actor.Props {
	return configuration.Props(configuration.Options{
		State: n.state, Parts: n.subscribers(), Recorder: n.recorder, Log: n.o.Log, Watch: true, Now: n.o.Now,
	})
}

// Config is the configuration in force. It is read-only.
func (n *Node) Config() *config.Config { return n.state.Current() }

// Control is how the configuration is asked for and changed.
func (n *Node) Control() messages.ConfigControl { return n.control }

// Reload reads the files again and opens log files anew. A configuration that is
// not right changes nothing; its Reason says what is wrong.
func (n *Node) Reload(ctx context.Context) (messages.ConfigResult, error) {
	return n.control.ProposeConfig(ctx, messages.ConfigProposal{Source: messages.ConfigFromSignal})
}

// newRand makes a generator seeded by the operating system.
func newRand() *rand.Rand {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails; see crypto/rand
	return rand.New(rand.NewChaCha8(seed))
}

// openData makes the folders and locks the data directory, unless others may write to it.
func (n *Node) openData() error {
	c := n.o.Config
	if err := os.MkdirAll(c.DataDirectory, 0o700); err != nil {
		return fmt.Errorf("DataDirectory: %w", err)
	}
	notes, err := lookAtPlaces(c, os.Geteuid())
	if err != nil {
		return err
	}
	for _, note := range notes {
		n.o.Log.Warn(note.Text, "folder", note.Path)
	}
	if err := os.MkdirAll(c.CacheDirectory, 0o700); err != nil {
		return fmt.Errorf("CacheDirectory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(c.DataDirectory, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("DataDirectory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%w: %s", ErrInUse, c.DataDirectory), f.Close())
	}
	n.lock = f
	return nil
}

// observe keeps the status, the history and the progress current.
func (n *Node) observe(e *chivev1.Envelope) {
	named := n.names.name(e)
	n.diary.see(named) // before it counts: see may take the state before the event
	n.status.apply(named)
	n.signals.See(e, n.o.Now())
	b := e.GetBootstrapAdvanced()
	if b == nil {
		return
	}
	select {
	case n.progress <- Progress{int(b.GetPercent()), messages.PhaseName(b.GetPhase()), b.GetSummary()}:
	default: // nobody reads; the events have it all
	}
}

// Bootstrap gives each step of bootstrapping as it happens.
func (n *Node) Bootstrap() <-chan Progress { return n.progress }

// Observe has see called for every later event, with all its fields, as
// messages.Recorder.Observe does.
func (n *Node) Observe(see func(*chivev1.Envelope)) (cancel func()) { return n.recorder.Observe(see) }

// Stopped is closed when the node has stopped.
func (n *Node) Stopped() <-chan struct{} { return n.stopped }

// Listening gives the address of each listener when it is bound.
func (n *Node) Listening() <-chan net.Addr { return n.listening }

// Failed gives the error of a listener that could not be opened when the node
// started: the node runs, but not as asked.
func (n *Node) Failed() <-chan error { return n.failed }

// Status is what the node is doing now.
func (n *Node) Status() Status {
	s := n.status.snapshot()
	s.Node, s.Fleet, s.Version = n.recorder.Node(), n.o.Config.Fleet, n.o.Version
	s.EventsDropped = n.recorder.Dropped()
	s.Revision = n.state.Revision()
	s.NatsURL = n.bridge.ClientURL()
	s.Draining = n.deaf.Load()
	if p := n.proxy.Load(); p != nil {
		s.Proxy = messages.OutcomeName(p.Outcome)
	}
	return s
}

// Wait returns when the node has stopped.
func (n *Node) Wait() error {
	<-n.stopped
	return n.stopErr
}

// StopListening closes the listeners, but for those of metrics; streams that were accepted
// go on.
func (n *Node) StopListening() {
	n.deaf.Store(true)
	n.system.Root.Send(n.root, &stopListening{})
}

// stopTime bounds the end of all actors, once streams and circuits have ended.
const stopTime = 20 * time.Second

// Stop ends the node in order: its part in shared onion services, listeners, streams with
// their circuits, connections, events. When the context ends first, the rest is cut short.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() {
		defer close(n.stopped)
		n.ends.Store(true)
		n.leaveInOrder(ctx)
		close(n.ending)
		n.leaving.Store(true)
		for _, l := range n.listens.end() {
			l.shut()
		}
		if n.member != nil {
			n.member.Leave()
		}
		n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, n.recorder.Node(), &chivev1.NodeStopping{
			Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN,
		}))
		_, err := kernel.Ask(ctx, n.system, n.root, func(r kernel.Reply[struct{}]) any { return &shutdown{r} })
		err = errors.Join(err, kernel.StopAndWait(n.system, n.root, stopTime))
		n.own.Close()
		n.state.Close() // the last change may outlive its actor
		kernel.Shutdown(n.system)
		err = errors.Join(err, n.closeKept(ctx), n.bridge.Close(ctx))
		for _, cancel := range n.cancels {
			cancel()
		}
		n.diary.close()
		n.stopErr = errors.Join(err, n.lock.Close())
	})
	<-n.stopped
	return n.stopErr
}
