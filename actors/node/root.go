package node

import (
	crand "crypto/rand"
	"errors"
	"hash/maphash"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/connections"
	"chive/actors/directory"
	"chive/actors/hosting"
	"chive/actors/ingress"
	"chive/actors/kernel"
	"chive/actors/onions"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/tor/addrmap"
	"chive/tor/netdoc"
	padding "chive/tor/padding/link"
	"chive/tor/priority"
)

type (
	shutdown struct{ reply kernel.Reply[struct{}] }

	stopListening struct{}
	listenAgain   struct{}
)

// rootActor is the node's actor. Its children are the parts of the node.
type rootActor struct {
	n            *Node
	isolationKey [32]byte
	parts        *supervisor.Children
	listeners    map[string]*listener // by name
	names        *ingress.Names
	shares       map[string]*hosting.Shared // of services that other nodes host too, by folder
	roles        map[string]*hosting.Role   // likewise
	program      *ingress.Program
	programRules atomic.Pointer[ingress.Rules]
	opened       int              // listeners so far: names are not used again
	seed         maphash.Seed     // of the quarantine's keys
	netdir       *circuits.Netdir // the last one, for circuits that start anew
	down         *shutdown
	wake         wake
	proxyTold    bool // the operator was told that the proxy does not work
	looker       *kernel.Timer
	away         away // the network is, as the operator was told
}

func newRoot(n *Node) (*rootActor, error) {
	r := &rootActor{n: n, names: ingress.NewNames(addrmap.Networks{}), listeners: map[string]*listener{}, shares: map[string]*hosting.Shared{}, roles: map[string]*hosting.Role{}, seed: maphash.MakeSeed()}
	if _, err := crand.Read(r.isolationKey[:]); err != nil {
		return nil, err
	}
	var err error
	r.parts, err = supervisor.NewChildren(supervisor.Options{
		Strategy: supervisor.Service(), OnChange: r.changed, OnSpawn: r.spawned, Rand: newRand(),
		Input: r.input, Quarantine: supervisor.NewQuarantine(supervisor.QuarantineConfig{OnSetAside: r.setAside}),
	})
	return r, err
}

// rootProps makes the node's actor, with parts that have not started yet.
func (n *Node) rootProps() *actor.Props {
	return kernel.Props(func() actor.Actor {
		r, err := newRoot(n)
		if err != nil {
			panic(err)
		}
		return r
	})
}

// Receive is the actor's table of messages; most are passed on.
func (r *rootActor) Receive(ctx actor.Context) {
	if r.parts.Receive(ctx) {
		return
	}
	switch m := ctx.Message().(type) {
	case *connections.Want:
		if r.parts.Pass(ctx, "connections", m) != nil {
			ctx.Send(m.Reply, &connections.Failed{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_BACKOFF, Err: connections.ErrBackoff})
		}
	case *circuits.Request:
		r.request(ctx, m)
	case *programAsk:
		r.programAsk(ctx, m)
	case *withdrawn:
		r.withdrawn(ctx, m)
	case *circuits.Cancel:
		r.pass(ctx, "circuits", m)
	case *circuits.Open, *circuits.Shut, *circuits.Leave, *circuits.Carry, *circuits.Orphaned, *circuits.Met, *circuits.NotMet,
		*circuits.Meet, *circuits.NoMeet, *onions.Configure:
		r.onion(ctx, m)
	case *hosting.Verify, *hosting.List:
		r.passOrDrop(ctx, "hosting", m)
	case *hosting.Configure, *hosting.Look:
		r.pass(ctx, "hosting", m) // one that is started anew begins with what is in force
	case *hosting.Shared, *hosting.Unshared:
		r.shared(ctx, m)
	case *hosting.Leave, *hosting.Rejoin, *hosting.Parted, *hosting.Finish:
		r.passOrDrop(ctx, "hosting", m)
	case *hosting.Role:
		r.assigned(m)
		r.pass(ctx, "hosting", m) // its time is over before one that is started anew is told again
	case *circuits.Netdir:
		if m.Rules == pathRules(r.n.Config()) { // else a directory that is being replaced told it
			r.netdir = m
			r.pass(ctx, "circuits", m)
			r.pass(ctx, "connections", forConnections(m))
			if n := forOnions(m); n != nil {
				r.pass(ctx, "onions", n)
				r.pass(ctx, "hosting", n)
			}
		}
	case *actor.Started:
		r.start(ctx)
	case *stopListening:
		r.closeListeners(ctx, deafTo)
	case *listenAgain:
		if r.down == nil && !r.n.deaf.Load() {
			r.listen(ctx, r.n.Config(), &bound{})
		}
	case *tryAgain:
		r.tryAgain(ctx, m)
	case *connections.ProxyChanged:
		r.proxyChanged(ctx, m)
	case *look:
		r.look(ctx)
	case *renew:
		r.renew(ctx, m)
	case *identities:
		r.identities(ctx, m)
	case *circuits.ForgetTimes:
		r.passOrDrop(ctx, "circuits", m)
	case *circuits.Try:
		r.pass(ctx, "circuits", m)
	case *reconfigure:
		r.reconfigure(ctx, m)
	case *settle:
		r.settle(ctx, m)
	case *shutdown:
		r.shutdown(ctx, m)
	case *circuits.Closed:
		if !r.pass(ctx, "connections", &connections.Close{Reply: ctx.Self()}) {
			r.down.reply.Send(struct{}{})
		}
	case *connections.Closed:
		r.down.reply.Send(struct{}{})
	}
}

// pass gives a message to a part; false if it is not there just now.
func (r *rootActor) pass(ctx actor.Context, name string, m any) bool {
	return r.parts.Pass(ctx, name, m) == nil
}

// request passes a request on, unless requests like it crashed the circuits.
func (r *rootActor) request(ctx actor.Context, m *circuits.Request) {
	out, passed := chivev1.Outcome_OUTCOME_INTERNAL, false
	defer func() { // also when passing it on fails
		if !passed {
			circuits.Refuse(m.Spec, r.n.recorder, out)
		}
	}()
	m.Recorder = r.n.recorder
	err := r.parts.Pass(ctx, "circuits", m)
	passed = err == nil
	if errors.Is(err, supervisor.ErrPoison) {
		out = chivev1.Outcome_OUTCOME_QUARANTINED
	}
}

// input names requests for the quarantine: the same target is the same input,
// told by a hash that nobody can compute outside this process.
func (r *rootActor) input(message any) (kind, key string) {
	m, ok := message.(*circuits.Request)
	if !ok || m.Directory != nil {
		return "", ""
	}
	return "request", strconv.FormatUint(maphash.String(r.seed, m.Spec.Target), 36)
}

func (r *rootActor) setAside(s supervisor.SetAside) {
	r.n.o.Log.Warn("requests that crash a part of the node are refused for a while", "part", s.By, "crashes", s.Crashes, "for", s.For)
	r.n.recorder.Emit(s.Event(r.n.recorder.Node(), s.By))
}

func (r *rootActor) start(ctx actor.Context) {
	n, self, root := r.n, ctx.Self(), ctx.ActorSystem().Root
	r.beginRetries(ctx)
	r.beginProgram(ctx)
	r.add(ctx, "connections", func() *actor.Props {
		cfg := n.Config()
		return connections.Props(connections.Options{
			Dialer: dialer(cfg), Settings: connectionSettings(cfg),
			Recorder: n.recorder, Now: n.o.Now, Rand: newRand(), Limits: &n.limits, Kept: n.breakers,
			Proxy:       func(p connections.ProxyChanged) { root.Send(self, &p) },
			Unreachable: func(relay [20]byte, out chivev1.Outcome) { n.guards.Failed(relay, out, n.o.Now()) },
		})
	})
	r.add(ctx, "circuits", func() *actor.Props {
		return circuits.Props(circuits.Options{
			Connections: self, Recorder: n.recorder, Now: n.o.Now, Rand: newRand(), Guards: n.guards,
			Times: n.times, Settings: circuitSettings(n.Config()), Limits: &n.limits, Bias: n.bias,
			Vanguards: n.vanguards, Onions: self,
		})
	})
	r.onions(ctx)
	r.sharing(ctx)
	r.hosting(ctx)
	r.directory(ctx)
	r.listen(ctx, n.Config(), &bound{})
}

// directory starts the directory, anew if it runs: it takes what it has from its
// cache.
func (r *rootActor) directory(ctx actor.Context) {
	n, self, root := r.n, ctx.Self(), ctx.ActorSystem().Root
	r.add(ctx, "directory", func() *actor.Props {
		cfg := n.Config()
		named, rules := pathRules(cfg), relayRules(cfg, n.countries.last())
		return directory.Props(directory.Options{
			Dialer: &dirDialer{n: n, node: self}, V3Idents: v3idents(cfg), Authorities: askable(cfg, rules, authorities(cfg)),
			Fallbacks: askable(cfg, rules, fallbacks(cfg)), Guards: n.guards.directories, CacheDir: cfg.CacheDirectory,
			Path: pathOptions(cfg, rules), Limits: &n.limits, Shared: n.sharedDirectory(), Memory: n.newest,
			Recorder: n.recorder, Log: n.o.Log, Now: n.o.Now, Rand: newRand(),
			OnUpdate: func(u directory.Updated) {
				root.Send(self, &circuits.Netdir{
					Consensus: u.Consensus, Index: u.Index, Params: u.Consensus.Params, Enough: u.Enough, Unusable: u.Unusable, Rules: named,
				})
			},
		})
	})
}

func (r *rootActor) listener(self *actor.PID, l *listener) *actor.Props {
	n := r.n
	ready := l.ready
	l.ready = nil
	return ingress.Props(ingress.Options{
		Rules: &l.rules, IsolationKey: r.isolationKey,
		Bind: func() (net.Listener, error) {
			if ready != nil {
				return ready, nil
			}
			return ingress.Listen(l.rules.Load().Port)
		},
		Names: r.names, Circuits: self, Recorder: n.recorder, Log: n.o.Log, Now: n.o.Now, Limits: &n.limits, Scrape: n.metrics.Serve,
		OnOpen: func(a net.Addr) {
			l.open.Store(true)
			n.o.Log.Info("listener is open", "option", l.rules.Load().Port.Protocol, "address", a.String())
			select {
			case n.listening <- a:
			default: // nobody asked
			}
		},
	})
}

func (r *rootActor) add(ctx actor.Context, name string, props func() *actor.Props) {
	r.parts.Supervise(ctx, supervisor.Supervise{Name: name, Props: props})
}

// forConnections is what a view of the network says to connections.
func forConnections(m *circuits.Netdir) *connections.Network {
	return &connections.Network{Padding: padding.ParamsOf(m.Params), HalfLife: priority.HalfLife(m.Params)}
}

// spawned tells parts that start anew what the network looks like.
func (r *rootActor) spawned(ctx actor.Context, name string, pid *actor.PID) {
	if name == "circuits" && r.n.proxy.Load() != nil {
		ctx.Send(pid, &circuits.Proxy{})
	}
	switch {
	case r.netdir == nil:
	case name == "circuits":
		ctx.Send(pid, r.netdir)
	case name == "connections":
		ctx.Send(pid, forConnections(r.netdir))
	}
	r.spawnedOnion(ctx, name, pid)
}

// changed tells of a part that failed. It is started anew after a wait; never
// at once, never never.
func (r *rootActor) changed(s supervisor.StateChanged) {
	if s.Err == nil {
		return // it ended as asked, and says so itself
	}
	out := chivev1.Outcome_OUTCOME_INTERNAL
	unheard := r.unheard(s)
	switch s.State {
	case supervisor.StateExhausted:
		if !unheard {
			r.n.o.Log.Error("a part of the node fails again and again; it is tried on", "part", r.part(s.Child), "failures", s.Attempt, "reason", r.reason(s))
		}
	case supervisor.StateBackoff, supervisor.StateGone:
		if !unheard {
			r.n.o.Log.Error("a part of the node failed", "part", r.part(s.Child), "reason", r.reason(s), "again", s.Delay.Round(time.Millisecond))
		}
		r.n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, r.n.recorder.Node(), &chivev1.ActorFailed{
			Reason: s.Child + ": " + s.Site, Restarted: s.State == supervisor.StateBackoff,
		}))
	}
	r.n.recorder.Emit(s.Event(r.n.recorder.Node(), s.Kind+"/"+s.Child, out))
	if r.down != nil && (s.Child == "circuits" || s.Child == "connections") {
		r.down.reply.Send(struct{}{}) // it was to answer and cannot any more
	}
}

// unheard tells who started the node of a listener that could not be opened then, and says
// whether the node ends for that, so that nobody need be told of another try.
func (r *rootActor) unheard(s supervisor.StateChanged) bool {
	l := r.listeners[s.Child]
	if l == nil || !l.first || l.open.Load() {
		return false
	}
	select {
	case r.n.failed <- s.Err:
	default: // one is enough
	}
	return r.n.o.EndsUnheard
}

// reason is what may be logged of a failure: that a listener cannot be opened
// is for the operator; the value of a panic may hold anything.
func (r *rootActor) reason(s supervisor.StateChanged) string {
	var p *kernel.Panic
	if r.listeners[s.Child] == nil || errors.As(s.Err, &p) {
		return s.Site
	}
	return s.Err.Error()
}

// part is what the operator knows a part by: a listener by its option.
func (r *rootActor) part(child string) string {
	if l := r.listeners[child]; l != nil {
		return l.rules.Load().Port.Protocol.String()
	}
	return child
}

func (r *rootActor) shutdown(ctx actor.Context, m *shutdown) {
	r.down = m
	r.looker.Stop()
	r.parts.Halt()
	r.parts.Forget(ctx, "directory")
	r.parts.Forget(ctx, "onions")
	r.parts.Forget(ctx, "sharing")
	r.parts.Forget(ctx, "hosting")
	r.closeListeners(ctx, func(config.SocksPort) bool { return true })
	if !r.pass(ctx, "circuits", &circuits.Close{Reply: ctx.Self()}) {
		ctx.Send(ctx.Self(), &circuits.Closed{})
	}
}

// closeListeners ends the listeners that are to be.
func (r *rootActor) closeListeners(ctx actor.Context, which func(config.SocksPort) bool) {
	for name, l := range r.listeners {
		if which(l.rules.Load().Port) {
			r.closeListener(ctx, name, nil)
			delete(r.listeners, name)
		}
	}
}

// closeListener ends a listener; done is called when its sockets are closed, nil: nobody waits.
func (r *rootActor) closeListener(ctx actor.Context, name string, done func()) {
	r.parts.Retire(name)
	r.passOrDrop(ctx, name, &ingress.Close{Done: done})
}

func v3idents(cfg *config.Config) []netdoc.Digest {
	var out []netdoc.Digest
	for _, a := range cfg.DirAuthorities {
		if id := netdoc.Digest(a.V3Ident); !id.IsZero() && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func authorities(cfg *config.Config) []directory.Target {
	var out []directory.Target
	for _, a := range cfg.DirAuthorities {
		if a.ORPort.IsValid() {
			out = append(out, directory.Target{Identity: netdoc.Digest(a.Fingerprint), IPv4: a.ORPort, IPv6: a.IPv6})
		}
	}
	return out
}

func fallbacks(cfg *config.Config) []directory.Target {
	var out []directory.Target
	for _, f := range cfg.FallbackDirs {
		out = append(out, directory.Target{Identity: netdoc.Digest(f.Fingerprint), IPv4: f.IPv4, IPv6: f.IPv6})
	}
	return out
}
