package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	"chive/tor/addrmap"
	"chive/tor/conflux"
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

func (p *actorParts) Name() string { return "listeners" } // all that can fail

// askTime bounds how long the node's actor may take to answer.
const askTime = 10 * time.Second

func (p *actorParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	b := &bound{}
	if err := b.open(p.n.heard(c.Old), p.n.heard(c.New)); err != nil {
		b.close()
		return configuration.Step{}, err
	}
	tell := func(from, to *config.Config, b *bound) error {
		err := setModes(p.n.heard(from), p.n.heard(to))
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

func (r *rootActor) reconfigure(ctx actor.Context, m *reconfigure) {
	next := m.next
	if reachRules(next) != reachRules(m.old) || guardSettings(next) != guardSettings(m.old) {
		r.n.guards.configure(guardSettings(next), reachRules(next), r.n.o.Now()) // before circuits are built anew
	}
	r.pass(ctx, "connections", &connections.Configure{Settings: connectionSettings(next), Dialer: dialer(next)})
	r.pass(ctx, "circuits", &circuits.Configure{Settings: circuitSettings(next), Rebuild: dialer(next) != dialer(m.old)})
	r.n.bias.configure(biasSettings(next))
	if pathRules(next) != pathRules(m.old) {
		r.directory(ctx) // it loads its cache and tells of a network by the new rules
	}
	r.programRules.Store(programRules(next))
	if r.down == nil {
		r.listen(ctx, next, m.bound)
	}
	m.reply.Send(struct{}{})
}

func circuitSettings(c *config.Config) circuits.Settings {
	return circuits.Settings{
		BuildTimeout: c.CircuitBuildTimeout, Learn: c.LearnCircuitBuildTimeout, CleanLife: c.CircuitsAvailableTimeout,
		Padding: c.CircuitPadding, ReducedPadding: c.ReducedCircuitPadding,
		Dirtiness: c.MaxCircuitDirtiness, SocksTimeout: c.SocksTimeout,
		Prebuild: c.EnableCircuitPrebuilding, PoolMin: c.CircuitPoolMinSize, PoolMax: c.CircuitPoolMaxSize,
		Relevance: c.PredictedPortsRelevanceTime,
		Period:    c.NewCircuitPeriod, MaxPending: c.MaxClientCircuitsPending,
		IdentityMaxAge: c.IdentityMaxAge, IdentityMaxStreams: c.IdentityMaxStreams, IdentityDistinctExits: c.IdentityDistinctExits,
		Conflux: confluxModes[c.ConfluxEnabled], ConfluxUX: confluxUXs[c.ConfluxClientUX],
	}
}

func connectionSettings(c *config.Config) connections.Settings {
	return connections.Settings{
		Separate: !c.EnableConnectionPooling, LimitIdle: true, MaxIdle: c.ConnectionPoolMaxIdle, MaxLife: c.ConnectionPoolMaxLife,
		Padding: paddingModes[c.ConnectionPadding], ReducedPadding: c.ReducedConnectionPadding,
		BreakerFailures: c.RelayBreakerFailures, BreakerOpenFor: c.RelayBreakerOpenTime,
	}
}

// confluxModes are the values of ConfluxEnabled, confluxUXs those of ConfluxClientUX.
var (
	confluxModes = map[string]circuits.Mode{"auto": circuits.Auto, "0": circuits.Off, "1": circuits.On}
	confluxUXs   = map[string]conflux.UX{
		"throughput": conflux.HighThroughput, "latency": conflux.MinLatency,
		"throughput_lowmem": conflux.LowMemThroughput, "latency_lowmem": conflux.LowMemLatency,
	}
)

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
	d := connection.Dialer{Bind4: c.OutboundBindAddress4, Bind6: c.OutboundBindAddress6, Reach: reachRules(c)}
	switch {
	case c.Socks4Proxy.IsValid():
		d.Proxy = upstream.Proxy{Kind: upstream.SOCKS4, Addr: c.Socks4Proxy}
	case c.Socks5Proxy.IsValid():
		d.Proxy = upstream.Proxy{Kind: upstream.SOCKS5, Addr: c.Socks5Proxy, Username: c.Socks5ProxyUsername.Reveal(), Password: c.Socks5ProxyPassword.Reveal()}
	case c.HTTPSProxy.IsValid():
		d.Proxy = upstream.Proxy{Kind: upstream.HTTP, Addr: c.HTTPSProxy}
		d.Proxy.Username, d.Proxy.Password, _ = strings.Cut(c.HTTPSProxyAuthenticator.Reveal(), ":")
	}
	return d
}
