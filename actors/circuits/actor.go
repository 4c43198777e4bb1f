package circuits

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/actors/stream"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	torcircuit "chive/tor/circuit"
	"chive/tor/conflux"
	"chive/tor/isolation"
	"chive/tor/netdoc"
	"chive/tor/onion"
	padding "chive/tor/padding/circuit"
	"chive/tor/path"
	"chive/tor/predict"
)

// Options is what the actor is made of.
type Options struct {
	Connections *actor.PID // or who passes connections.Want on
	Recorder    *messages.Recorder
	Now         func() time.Time
	Rand        *rand.Rand // seeded from crypto/rand; used by this actor only
	Guards      Guards
	Settings    Settings       // until a Configure
	Times       Times          // where build times are kept; nil: nowhere
	Limits      *limits.Limits // nil: none
	Bias        Bias           // nil: nobody counts
	Vanguards   Vanguards      // nil: there are none
	Onions      *actor.PID     // or who passes Meet on
}

// Settings is what the configuration says about circuits.
type Settings struct {
	BuildTimeout            time.Duration // CircuitBuildTimeout: until one is learned; 0: as the network says
	Learn                   bool          // LearnCircuitBuildTimeout
	CleanLife               time.Duration // CircuitsAvailableTimeout: how long an unused circuit is kept
	Dirtiness               time.Duration // MaxCircuitDirtiness
	SocksTimeout            time.Duration
	Padding, ReducedPadding bool          // CircuitPadding, ReducedCircuitPadding
	Prebuild                bool          // keep clean circuits ready
	PoolMin                 int           // at least so many
	PoolMax                 int           // at most so many
	Relevance               time.Duration // PredictedPortsRelevanceTime: how long a port is predicted after its use
	Period                  time.Duration // NewCircuitPeriod: how often the number follows the demand
	MaxPending              int           // MaxClientCircuitsPending; 0: 32

	IdentityMaxAge        time.Duration // 0: no limit
	IdentityMaxStreams    int           // 0: no limit
	IdentityDistinctExits bool

	Conflux   Mode       // ConfluxEnabled
	ConfluxUX conflux.UX // ConfluxClientUX
}

// Guards is the guard state as this actor needs it; package node joins it with
// tor/guard and the disk. Its methods are called in this actor's turn.
type Guards interface {
	// Update takes a new view of the network.
	Update(x *path.Index, params netdoc.Params, now time.Time)
	// Candidates lists the guards to build through now, best first.
	Candidates(now time.Time) []netdoc.Digest
	// Uses: may a circuit that is launched now have it as its guard?
	Uses(guard netdoc.Digest) bool
	// Launched: a circuit is being built through one of them.
	Launched(circuit string, guard netdoc.Digest, now time.Time)
	// Opened: it is open, and may be used now; or it waits until Settle names it, for
	// a better guard's may open.
	Opened(circuit string, now time.Time) bool
	// Gone: it is no more.
	Gone(circuit string)
	// Settle says which circuits wait no longer: these may be used, those be closed.
	Settle(now time.Time) (usable, tooLong []string)
	// Connected: the outgoing connection to a relay was made, for a directory.
	Connected(id netdoc.Digest, now time.Time)
}

type (
	// Netdir is a new view of the network. Enough says that paths may be built.
	// Rules names the user's rules for paths: circuits built by others take no
	// new streams. Unusable: this version must not use the network, no circuit takes
	// new streams, and they are refused.
	Netdir struct {
		Consensus *netdoc.Consensus
		Index     *path.Index
		Params    netdoc.Params
		Enough    bool
		Unusable  bool
		Rules     string
	}
	// Configure changes the settings, at once. With Rebuild, circuits that are
	// there take no new streams, and others are built in place of those that are being built.
	Configure struct {
		Settings Settings
		Rebuild  bool
	}
	// Request asks for a stream.
	Request struct {
		Spec *stream.Spec
		// Directory is the relay whose directory is asked, over one hop; nil for
		// streams to the open network.
		Directory *torcircuit.Hop
		// Recorder hears of the end of a request that finds no circuits any more;
		// nil: nobody does.
		Recorder *messages.Recorder
	}
	// Cancel says that nobody wants the stream of a Request any more. One that is on a
	// circuit already ends when its socket is found closed, as it also does without a Cancel,
	// a little later (stream.Spec.Left).
	Cancel struct{ Stream string }
	// Close ends all circuits; Closed is sent when none is left.
	Close struct {
		Reply *actor.PID
	}
	// Try builds one circuit that carries nothing, to see whether it can be built.
	// The events tell.
	Try struct{}
	// GuardsRetried: guards that failed may be tried again at once. With Renew, the
	// machine's way to the network is another one: circuits that are there take no new
	// streams, and others are built in place of those that are being built.
	GuardsRetried struct{ Renew bool }
	// Proxy tells whether the proxy on the way to all relays works.
	Proxy struct{ Works bool }
	// Renew has circuits that carried a stream of an identity take no new ones; for "",
	// all that carried any. Streams that are open go on. The answer is how many.
	Renew struct {
		Identity string
		Reply    kernel.Reply[int]
	}
	// List asks for the identities of which there is something: Tell is called with them,
	// in the actor's turn.
	List struct{ Tell func([]Identity) }
	// ForgetTimes drops what was learned of how long circuits take; it is learned anew.
	// The answer is of how many circuits that was; -1: nothing is forgotten.
	ForgetTimes struct{ Reply kernel.Reply[int] }
	// Closed answers Close.
	Closed struct{}
	tick   struct{}
	retry  struct{}
)

// record is what is known of one circuit.
type record struct {
	id        string
	pid       *actor.PID
	purpose   chivev1.Purpose
	first     [20]byte
	hops      int               // 0: of a set
	stem      []netdoc.Digest   // relays of one that was built ahead (stems.go)
	extended  bool              // such a one is, or was, extended for its owner
	far       bool              // only the last hop was missing, which others named
	exit      *path.Relay       // nil for directory circuits
	stable    bool              // all its relays are
	open      bool              // and may be used
	waits     bool              // built, but a better guard's may open
	tired     bool              // takes no new streams
	slow      bool              // later than the timeout when that came
	late      bool              // so late that it is only measured
	measured  bool              // and has been
	closing   bool              // was told to close
	isolation isolation.Circuit // what it carried
	promised  isolation.Circuit // what it will carry, if all go on it that wait for it
	users     map[string]*use   // by whom it was used, ever: tokens
	wish      *Open             // of its owner, for one to reach an onion service by
	last      torcircuit.Hop    // of one that has an owner
	abandoned bool              // its owner wants it no more
	meets     *onion.Address    // the service that is its last hop
	launched  time.Time
	dirtied   time.Time // its first stream, or the last that kept it alive came or left
	streams   int
	waiters   int // requests that wait for it
	idleSince time.Time

	isSet  bool          // it is a conflux set
	legs   []*record     // of a set, that are not gone
	failed bool          // the set's actor panicked
	set    *record       // whose leg it is; nil: a circuit of its own
	relays []*path.Relay // of a leg
}

// waiting is a request without a circuit.
type waiting struct {
	*Request
	want  path.Want
	since time.Time
	plan  []*path.Relay // a path that waits for its guard to have room
	on    string        // id of the circuit being built for it
	blame string        // id of the event for which the last circuit built for it failed
	over  bool          // a circuit has it, or it was refused

	meeting *meeting // that it waits for, with an onion service
}

type circuits struct {
	o          Options
	dir        Netdir
	network    network
	records    map[string]*record
	places     places
	queue      []*waiting
	building   int
	failures   int // circuits in a row that did not open
	pool       pool
	renewals   renewals
	identities identities
	ports      *predict.Ports
	times      times
	paces      map[netdoc.Digest]*guardPace
	proxyDown  bool // no relay can be reached, as the proxy on the way fails
	// machineFails: no connection could be made from here, when one was wanted last.
	machineFails bool
	sets         sets
	holdOff      *kernel.Timer
	ticker       *kernel.Timer
	closing      *Close
	progress     chivev1.BootstrapPhase
	totals       circuit.Totals
	policy       padding.Policy // that circuits were told last
	mode         path.Mode      // of the layers that circuits have
	stems        stems
	naming       uint64                      // likewise
	opens        []*Open                     // circuits that owners wait for, not launched yet
	ahead        int                         // launched of them since one that nobody waits for
	meetings     map[string]*meeting         // that streams wait for
	met          map[onion.Address][]*record // circuits whose last hop is an onion service
}

// Props makes the actor.
func Props(o Options) *actor.Props {
	if o.Bias == nil {
		o.Bias = noBias{}
	}
	if o.Vanguards == nil {
		o.Vanguards = noVanguards{}
	}
	return kernel.Props(func() actor.Actor {
		c := &circuits{o: o, network: networkOf(nil), records: map[string]*record{}, places: newPlaces(), identities: newIdentities(), paces: map[netdoc.Digest]*guardPace{}, pool: pool{since: o.Now()}, stems: stems{pool: pool{since: o.Now()}}, ports: predict.New(o.Now()), meetings: map[string]*meeting{}, met: map[onion.Address][]*record{}}
		c.recall()
		return c
	})
}

const (
	// maxBuilding bounds the circuits being built at once unless the settings say
	// otherwise: a guard serves them one after the other, and more would only make
	// each slower.
	maxBuilding = 32
	// tickEvery is how often ages and timeouts are looked at.
	tickEvery = time.Second
	// learningLife is how long an unused circuit is kept while build times are
	// learned (C tor's IDLE_TIMEOUT_WHILE_LEARNING).
	learningLife = 3 * time.Minute
	// directoryLife is how long a directory circuit is kept idle.
	directoryLife = 30 * time.Second
)

// pause is the wait after circuits failed in a row.
var pause = supervisor.Circuit().Backoff

// Receive is the actor's table of messages.
func (c *circuits) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *Request:
		c.request(ctx, m)
	case *Cancel:
		c.cancel(ctx, m.Stream)
	case *circuit.Opened:
		c.opened(ctx, m)
	case *circuit.Slow:
		c.slow(ctx, m)
	case *circuit.Measured:
		c.measured(m)
	case *circuit.Reached:
		c.reached(m)
	case *circuit.AtLast:
		c.atLast(ctx, m)
	case *circuit.LegWanted:
		c.legWanted(ctx, m.ID)
	case *actor.Terminated:
		c.terminated(ctx, m.Who)
	case *circuit.StreamDone:
		c.streamOff(ctx, m.ID, m.Spec)
	case *circuit.StreamBack:
		c.streamBack(ctx, m)
	case *circuit.Tired:
		if r := c.records[m.ID]; r != nil {
			r.tired = true
		}
	case *circuit.Gone:
		c.gone(ctx, m)
	case *kernel.ChildFailed:
		c.childFailed(ctx, m)
	case *Netdir:
		c.netdir(ctx, m)
	case *Try:
		c.try(ctx)
	case *Configure:
		c.configure(ctx, m)
	case *actor.Started:
		c.ticker = kernel.After(ctx.ActorSystem(), ctx.Self(), tickEvery, &tick{})
	case *tick:
		c.tick(ctx)
	case *retry:
		c.holdOff = nil
		c.serve(ctx)
	case *GuardsRetried:
		if m.Renew {
			c.rebuild(ctx)
		}
		c.resume(ctx)
	case *Proxy:
		c.proxyDown = !m.Works
		if m.Works {
			c.resume(ctx)
		}
	case *Renew:
		defer m.Drop() // should it fail
		m.Reply.Send(c.renew(ctx, m.Identity))
	case *List:
		m.Tell(c.list())
	case *ForgetTimes:
		defer m.Drop() // likewise
		m.Reply.Send(c.forgetTimes(ctx))
	case *Close:
		c.close(ctx, m)
	case *actor.Stopping:
		c.stopping()
	default:
		c.onion(ctx)
	}
}

// Drop implements kernel.Droppable: it was sent to circuits that had failed.
func (m *Request) Drop() {
	if m.Recorder == nil {
		stream.Refuse(m.Spec, chivev1.Outcome_OUTCOME_INTERNAL)
		return
	}
	Refuse(m.Spec, m.Recorder, chivev1.Outcome_OUTCOME_INTERNAL)
}

func (c *circuits) request(ctx actor.Context, m *Request) {
	taken := false
	defer func() {
		if !taken { // a panic: in the queue it would be answered when this actor stops
			c.refuse(m.Spec, chivev1.Outcome_OUTCOME_INTERNAL)
		}
	}()
	if c.closing != nil {
		taken = true
		c.refuse(m.Spec, chivev1.Outcome_OUTCOME_SHUTDOWN)
		return
	}
	w := &waiting{Request: m, want: wantOf(m.Spec), since: c.o.Now()}
	m.Spec.Optimistic = c.network.optimistic
	if m.Directory == nil {
		c.comes(ctx, m.Spec)
		m.Spec.Isolation.Values[isolation.Epoch] = c.renewals.epoch(m.Spec.Identities)
	}
	if m.Directory == nil && m.Spec.Onion == nil {
		c.ports.Used(predict.Port{Number: w.want.Port, IPv6: w.want.IPv6}, w.since)
	}
	c.queue = append(c.queue, w)
	taken = true
	c.serve(ctx)
}

func (c *circuits) refuse(spec *stream.Spec, out chivev1.Outcome) { Refuse(spec, c.o.Recorder, out) }

// Refuse answers a request that no circuit will carry, and tells its end.
func Refuse(spec *stream.Spec, recorder *messages.Recorder, out chivev1.Outcome) {
	stream.Refuse(spec, out)
	recorder.Emit(stream.EndedEvent(spec, out, time.Now(), 0, 0))
}

// serve places every waiting request that can be placed, and launches what is
// missing.
func (c *circuits) serve(ctx actor.Context) {
	c.placeAll(ctx, func(*waiting) bool { return true })
	if c.closing == nil {
		c.launchOpens(ctx)
		c.prepare(ctx)
		c.prepareStems(ctx)
	}
}

// placeAll places those who wait and are to be placed now; the others stay where they are.
func (c *circuits) placeAll(ctx actor.Context, now func(*waiting) bool) {
	left := c.queue[:0]
	for _, w := range c.queue {
		if !now(w) || !c.place(ctx, w) {
			left = append(left, w)
		}
	}
	clear(c.queue[len(left):])
	c.queue = left
}

// place attaches a request, or refuses it, or sees to it that a circuit for it
// is on its way (false).
func (c *circuits) place(ctx actor.Context, w *waiting) bool {
	if c.dir.Unusable && w.Directory == nil {
		w.over = true
		c.giveUp(w, chivev1.Outcome_OUTCOME_PROTOCOLS_MISSING)
		return true
	}
	if w.Spec.Onion != nil {
		return c.placeOnion(ctx, w)
	}
	if r := c.choose(w); r != nil {
		w.over = true
		c.waitOn(w, nil)
		c.attach(ctx, r, w)
		return true
	}
	if r := c.records[w.on]; r != nil && !r.open && !r.waits && !r.late && !r.tired {
		return false // it is on its way
	}
	c.waitOn(w, nil)
	if c.building >= c.mostBuilding() || c.holdOff != nil {
		return false
	}
	if r := c.sharedBuild(w); r != nil {
		c.waitOn(w, r)
		return false
	}
	err := c.launchFor(ctx, w)
	switch {
	case err == nil || errors.Is(err, errNotYet):
		return false
	default:
		ctx.Logger().Debug("no path", "err", err)
		w.over = true
		c.refuse(w.Spec, noPathOutcome(err, w.Spec.Last))
		return true
	}
}

// mostBuilding is how many circuits may be built at once.
func (c *circuits) mostBuilding() int {
	if n := c.o.Settings.MaxPending; n > 0 {
		return n
	}
	return maxBuilding
}

// mayLaunch says whether the rate of new circuits allows one more now; if not, it
// is tried again when it does.
func (c *circuits) mayLaunch(ctx actor.Context) bool {
	ok, in := c.o.Limits.Circuits().Allow()
	if !ok && c.holdOff == nil {
		c.holdOff = kernel.After(ctx.ActorSystem(), ctx.Self(), in, &retry{})
	}
	return ok
}

func (c *circuits) attach(ctx actor.Context, r *record, w *waiting) {
	now := c.o.Now()
	if r.dirtied.IsZero() {
		c.pool.demanded(r)
		if !r.isSet {
			c.o.Bias.Used(r.id)
		}
		r.dirtied = now
	}
	if w.Spec.KeepAlive {
		r.dirtied = now
	}
	c.places.carries(r, &w.Spec.Isolation)
	c.identities.carries(r, w.Spec)
	r.tired = r.tired || c.renewals.stale(w)
	r.streams++
	c.attachTo(ctx, r, w.Spec)
}

func (c *circuits) attachTo(ctx actor.Context, r *record, spec *stream.Spec) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	ctx.Send(r.pid, &circuit.Attach{Spec: spec, Lost: func() {
		root.Send(self, &circuit.StreamBack{ID: r.id, Spec: spec})
	}})
}

func (c *circuits) streamOff(ctx actor.Context, id string, spec *stream.Spec) {
	r := c.records[id]
	if r == nil {
		return
	}
	r.streams--
	r.leaves(spec)
	r.idleSince = c.o.Now()
	if spec.KeepAlive {
		r.dirtied = r.idleSince
	}
	c.retire(ctx, r)
}

// streamBack puts a stream that its circuit gave back at the head of the
// queue. An exit that refused it is not asked again, one that never heard of it is.
func (c *circuits) streamBack(ctx actor.Context, m *circuit.StreamBack) {
	if r := c.records[m.ID]; r != nil && r.exit != nil && m.Spec.Last != chivev1.Outcome_OUTCOME_CONNECTION_LOST {
		m.Spec.Avoid = append(m.Spec.Avoid, r.exit.Identity)
	}
	c.streamOff(ctx, m.ID, m.Spec)
	if c.closing != nil {
		c.refuse(m.Spec, chivev1.Outcome_OUTCOME_SHUTDOWN)
		return
	}
	if p := m.Spec.Purpose; p == chivev1.Purpose_PURPOSE_DIRECTORY || p == chivev1.Purpose_PURPOSE_ONION_DIRECTORY ||
		p == chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY {
		// The asker chose this relay and may now choose another.
		c.refuse(m.Spec, m.Spec.Last)
		return
	}
	w := &waiting{Request: &Request{Spec: m.Spec}, want: wantOf(m.Spec), since: m.Spec.Requested}
	c.queue = append([]*waiting{w}, c.queue...)
	c.serve(ctx)
}

// refuseWaiting answers the requests that waited for a directory circuit.
func (c *circuits) refuseWaiting(id string, out chivev1.Outcome) {
	left := c.queue[:0]
	for _, w := range c.queue {
		if w.on == id {
			c.giveUp(w, out)
			continue
		}
		left = append(left, w)
	}
	clear(c.queue[len(left):])
	c.queue = left
}

// giveUp refuses a request for which the last circuit failed, if one did: its end
// follows from that.
func (c *circuits) giveUp(w *waiting, out chivev1.Outcome) {
	c.waitOn(w, nil)
	if w.blame != "" {
		w.Spec.Cause = w.blame
	}
	c.refuse(w.Spec, out)
}

// childFailed writes the end of a circuit whose actor panicked; its streams
// have ended themselves.
func (c *circuits) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	for _, r := range c.records {
		if r.set != nil || !r.pid.Equal(m.PID) {
			continue
		}
		if r.isSet {
			c.setPanicked(r, m)
			return
		}
		c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, r.id, &chivev1.ActorFailed{Reason: m.Site()}))
		c.o.Recorder.Emit(ended(r))
		c.gone(ctx, &circuit.Gone{ID: r.id, Outcome: chivev1.Outcome_OUTCOME_INTERNAL, WasOpen: r.open || r.waits})
		return
	}
}

func (c *circuits) netdir(ctx actor.Context, m *Netdir) {
	if c.dir.Index != nil && (c.dir.Rules != m.Rules || m.Unusable) {
		c.rebuild(ctx)
	}
	c.dir, c.network = *m, networkOf(m.Params)
	c.sets.able, c.sets.all = m.Index.ConfluxExits()
	if !c.confluxParams().Enabled {
		c.withoutConflux(ctx)
	}
	for _, w := range c.queue {
		w.plan = nil
	}
	c.retime(ctx)
	c.o.Guards.Update(m.Index, m.Params, c.o.Now())
	c.o.Vanguards.Update(m.Index, m.Params, c.o.Now())
	c.layers(ctx)
	c.repad(ctx)
	c.o.Bias.Update(m.Params)
	c.serve(ctx)
}

// advance tells the bootstrap phases that are this actor's, each once.
func (c *circuits) advance(phase chivev1.BootstrapPhase, percent uint32, summary string) {
	if phase <= c.progress {
		return
	}
	c.progress = phase
	c.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, c.o.Recorder.Node(), &chivev1.BootstrapAdvanced{
		Phase: phase, Percent: percent, Summary: summary,
	}))
}
