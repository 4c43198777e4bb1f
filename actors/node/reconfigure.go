package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/circuits"
	"chive/actors/configuration"
	"chive/actors/connection"
	"chive/actors/connections"
	"chive/actors/ingress"
	"chive/actors/kernel"
	"chive/config"
	"chive/supervisor"
	"chive/tor/addrmap"
	padding "chive/tor/padding/link"
	"chive/tor/upstream"
)

// Logs is a logger whose destinations can change while it is used; see
// config/logging.
type Logs interface {
	Prepare(cfg *config.Config, again bool) (commit func() (undo, settle func()), abort func(), err error)
}

type (
	// reconfigure makes the parts follow a configuration. Listeners that it does not
	// have stay until settle.
	reconfigure struct {
		old, next *config.Config
		bound     *bound
		reply     kernel.Reply[struct{}]
	}
	settle struct{ reply kernel.Reply[struct{}] }
)

// subscribers are the parts that follow the configuration. Listeners are last:
// what can be seen from outside changes when the rest has.
func (n *Node) subscribers() []configuration.Subscriber {
	return []configuration.Subscriber{&logParts{n}, &bufferParts{}, &limitParts{n}, &nodeParts{n}, &onionParts{n}, &hostingParts{n}, &actorParts{n}}
}

// logParts are the log's destinations.
type logParts struct{ n *Node }

func (p *logParts) Name() string { return "Log" }

func (p *logParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	logs := p.n.o.Logs
	if logs == nil {
		for _, name := range []string{"Log", "LogLevel", "LogTimeGranularity", "SafeLogging", "TruncateLogFile"} {
			if o := config.Find(name); fmt.Sprint(o.Values(c.Old)) != fmt.Sprint(o.Values(c.New)) {
				return configuration.Step{}, fmt.Errorf("%s cannot change: the program that runs this node does its own logging", name)
			}
		}
		return configuration.Step{}, nil
	}
	commit, abort, err := logs.Prepare(c.New, c.Reload)
	if err != nil {
		return configuration.Step{}, err
	}
	undo, done := func() {}, func() {}
	return configuration.Step{
		Commit: func() error { undo, done = commit(); return nil },
		Undo:   func() { undo() },
		Settle: func() { done() },
		Abort:  abort,
	}, nil
}

// bufferParts are the buffers, which all nodes of a process share.
type bufferParts struct{}

func (*bufferParts) Name() string { return "EnableBufferPooling" }

func (*bufferParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	return configuration.Step{
		Commit: func() error { block.SetPooling(c.New.EnableBufferPooling); return nil },
		Undo:   func() { block.SetPooling(c.Old.EnableBufferPooling) },
	}, nil
}

// actorParts are the actors of the node.
type actorParts struct{ n *Node }

func (p *actorParts) Name() string { return "SocksPort" } // all that can fail

// askTime bounds how long the node's actor may take to answer.
const askTime = 10 * time.Second

func (p *actorParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	b := &bound{}
	if !p.n.deaf.Load() {
		if err := b.open(c.Old, c.New); err != nil {
			b.close()
			return configuration.Step{}, err
		}
	}
	tell := func(from, to *config.Config, b *bound) error {
		err := setModes(from, to)
		if err == nil {
			err = p.ask(func(r kernel.Reply[struct{}]) any { return &reconfigure{old: from, next: to, bound: b, reply: r} })
		}
		return err
	}
	settled := func() error {
		b.close()
		return p.ask(func(r kernel.Reply[struct{}]) any { return &settle{r} })
	}
	return configuration.Step{
		Commit: func() error { return tell(c.Old, c.New, b) },
		Undo: func() {
			if err := errors.Join(tell(c.New, c.Old, &bound{}), settled()); err != nil {
				p.n.o.Log.Error("the old configuration could not be brought back as a whole", "err", err)
			}
		},
		Settle: func() {
			if err := settled(); err != nil {
				p.n.o.Log.Warn("listeners that are no longer wanted may still be open", "err", err)
			}
		},
		Abort: b.close,
	}, nil
}

func (p *actorParts) ask(question func(kernel.Reply[struct{}]) any) error {
	_, err := askRoot(p.n, question)
	return err
}

// askRoot asks the node's actor, for askTime at most.
func askRoot[T any](n *Node, question func(kernel.Reply[T]) any) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	return kernel.Ask(ctx, n.system, n.root, question)
}

// setModes changes who may use unix sockets that stay.
func setModes(from, to *config.Config) error {
	had := map[string]config.SocksPort{}
	for _, l := range keyed(from) {
		had[l.key] = l.port
	}
	for _, l := range keyed(to) {
		if was, stays := had[l.key]; stays && (was.GroupWritable != l.port.GroupWritable || was.WorldWritable != l.port.WorldWritable) {
			if err := ingress.SetMode(l.port); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyedPort is a listener and what tells it from others, whatever its flags.
type keyedPort struct {
	key  string
	port config.SocksPort
}

func keyed(c *config.Config) []keyedPort {
	seen := map[string]int{}
	ports := c.Listeners()
	out := make([]keyedPort, len(ports))
	for i, p := range ports {
		place := p.Protocol.String() + " " + p.String()
		seen[place]++ // several may be auto
		out[i] = keyedPort{fmt.Sprintf("%s#%d", place, seen[place]), p}
	}
	return out
}

// bound is listeners that were bound for a configuration that is not in force yet.
type bound struct {
	mu    sync.Mutex // protects the field below
	ready map[string]net.Listener
}

// open binds what next has and old has not.
func (b *bound) open(old, next *config.Config) error {
	had := map[string]bool{}
	for _, l := range keyed(old) {
		had[l.key] = true
	}
	for _, l := range keyed(next) {
		if had[l.key] {
			continue
		}
		ln, err := ingress.Listen(l.port)
		if err != nil {
			return err
		}
		b.mu.Lock()
		if b.ready == nil {
			b.ready = map[string]net.Listener{}
		}
		b.ready[l.key] = ln
		b.mu.Unlock()
	}
	return nil
}

// take gives a listener away; nil if there is none.
func (b *bound) take(key string) net.Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	ln := b.ready[key]
	delete(b.ready, key)
	return ln
}

// close closes what nobody took.
func (b *bound) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ln := range b.ready {
		_ = ln.Close() // nobody was accepted
	}
	b.ready = nil
}

// listener is one listener as the node's actor knows it.
type listener struct {
	key     string
	rules   atomic.Pointer[ingress.Rules]
	open    atomic.Bool  // was bound once
	ready   net.Listener // bound already; nil: taken, or to be bound
	leaving bool         // closes at settle
}

func (r *rootActor) reconfigure(ctx actor.Context, m *reconfigure) {
	next := m.next
	r.pass(ctx, "connections", &connections.Configure{Settings: connectionSettings(next), Dialer: dialer(next)})
	r.pass(ctx, "circuits", &circuits.Configure{Settings: circuitSettings(next), Rebuild: dialer(next) != dialer(m.old)})
	r.n.bias.configure(biasSettings(next))
	if guardSettings(next) != guardSettings(m.old) {
		r.n.guards.configure(guardSettings(next), time.Now())
	}
	if pathRules(next) != pathRules(m.old) {
		r.directory(ctx) // it loads its cache and tells of a network by the new rules
	}
	if !r.n.deaf.Load() && r.down == nil {
		r.listen(ctx, next, m.bound)
	}
	m.reply.Send(struct{}{})
}

// listen has every listener of a configuration open; others are leaving.
func (r *rootActor) listen(ctx actor.Context, cfg *config.Config, b *bound) {
	r.names.Move(virtualNetworks(cfg))
	mapping := hostMapping(cfg)
	named := map[string]*listener{}
	for _, l := range r.listeners {
		l.leaving = true
		named[l.key] = l
	}
	for _, want := range keyed(cfg) {
		rules := &ingress.Rules{Port: want.port, RejectInternal: cfg.ClientRejectInternalAddresses, RejectAnswers: cfg.ClientDNSRejectInternalAddresses, Mapping: mapping}
		if l := named[want.key]; l != nil {
			l.leaving = false
			l.rules.Store(rules)
			continue
		}
		l := &listener{key: want.key, ready: b.take(want.key)}
		l.rules.Store(rules)
		name, strategy, self := fmt.Sprintf("socks%d", r.opened), supervisor.Listener(), ctx.Self()
		r.opened++
		r.listeners[name] = l
		r.parts.Supervise(ctx, supervisor.Supervise{
			Name: name, Strategy: &strategy, Props: func() *actor.Props { return r.listener(self, name, l) },
		})
	}
}

// settle closes the listeners that are leaving. Their streams go on.
func (r *rootActor) settle(ctx actor.Context, m *settle) {
	for name, l := range r.listeners {
		if l.leaving {
			r.closeListener(ctx, name)
			delete(r.listeners, name)
		}
	}
	m.reply.Send(struct{}{})
}

func circuitSettings(c *config.Config) circuits.Settings {
	return circuits.Settings{
		BuildTimeout: c.CircuitBuildTimeout, Learn: c.LearnCircuitBuildTimeout, CleanLife: c.CircuitsAvailableTimeout,
		Dirtiness: c.MaxCircuitDirtiness, SocksTimeout: c.SocksTimeout,
		Prebuild: c.EnableCircuitPrebuilding, PoolMin: c.CircuitPoolMinSize, PoolMax: c.CircuitPoolMaxSize,
		Relevance: c.PredictedPortsRelevanceTime,
		Period:    c.NewCircuitPeriod, MaxPending: c.MaxClientCircuitsPending,
		IdentityMaxAge: c.IdentityMaxAge, IdentityMaxStreams: c.IdentityMaxStreams, IdentityDistinctExits: c.IdentityDistinctExits,
	}
}

func connectionSettings(c *config.Config) connections.Settings {
	return connections.Settings{
		Separate: !c.EnableConnectionPooling, LimitIdle: true, MaxIdle: c.ConnectionPoolMaxIdle, MaxLife: c.ConnectionPoolMaxLife,
		Padding: paddingModes[c.ConnectionPadding], ReducedPadding: c.ReducedConnectionPadding,
		BreakerFailures: c.RelayBreakerFailures, BreakerOpenFor: c.RelayBreakerOpenTime,
	}
}

// paddingModes are the values of ConnectionPadding.
var paddingModes = map[string]padding.Mode{"auto": padding.Auto, "0": padding.Off, "1": padding.On}

func virtualNetworks(c *config.Config) addrmap.Networks {
	return addrmap.Networks{V4: c.VirtualAddrNetworkIPv4, V6: c.VirtualAddrNetworkIPv6}
}

func hostMapping(c *config.Config) ingress.Mapping {
	lines := make([]addrmap.Line, len(c.MapAddresses))
	for i, m := range c.MapAddresses {
		lines[i] = addrmap.Line(m)
	}
	return ingress.Mapping{Rules: addrmap.NewRules(lines), Automap: c.AutomapHostsOnResolve, Suffixes: c.AutomapHostsSuffixes}
}

func dialer(c *config.Config) connection.Dialer {
	d := connection.Dialer{Bind4: c.OutboundBindAddress4, Bind6: c.OutboundBindAddress6}
	switch {
	case c.Socks4Proxy.IsValid():
		d.Proxy = upstream.Proxy{Kind: upstream.SOCKS4, Addr: c.Socks4Proxy}
	case c.Socks5Proxy.IsValid():
		d.Proxy = upstream.Proxy{Kind: upstream.SOCKS5, Addr: c.Socks5Proxy, Username: c.Socks5ProxyUsername, Password: c.Socks5ProxyPassword}
	case c.HTTPSProxy.IsValid():
		d.Proxy = upstream.Proxy{Kind: upstream.HTTP, Addr: c.HTTPSProxy}
		d.Proxy.Username, d.Proxy.Password, _ = strings.Cut(c.HTTPSProxyAuthenticator, ":")
	}
	return d
}
