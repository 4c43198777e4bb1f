package node

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/connection"
	"chive/actors/connections"
	"chive/actors/directory"
	"chive/actors/ingress"
	"chive/actors/kernel"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/supervisor"
	"chive/tor/netdoc"
	"chive/tor/path"
)

type (
	shutdown struct{ reply kernel.Reply[struct{}] }
	respawn  struct{ name string }

	stopListening struct{}
)

// child is one of the node's own children and how to make it.
type child struct {
	pid      *actor.PID
	props    func() *actor.Props
	failures int
	timer    *kernel.Timer
	since    time.Time
	opened   atomic.Bool // a listener was bound once
}

// rootActor is the node's actor.
type rootActor struct {
	n            *Node
	rng          *rand.Rand
	isolationKey [32]byte
	children     map[string]*child
	netdir       *circuits.Netdir // the last one, for circuits that start anew
	down         *shutdown
	guards       *guards
}

// again is the wait before a failed child is started anew.
var again = supervisor.Backoff{Min: 200 * time.Millisecond, Max: 30 * time.Second, Factor: 2, Jitter: 0.2}

// Receive is the actor's table of messages; most are passed on.
func (r *rootActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *connections.Want:
		if !r.pass(ctx, "connections", m) {
			ctx.Send(m.Reply, &connections.Failed{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_BACKOFF, Err: connections.ErrBackoff})
		}
	case *circuits.Request:
		if !r.pass(ctx, "circuits", m) {
			r.refuse(m)
		}
	case *circuits.Netdir:
		r.netdir = m
		r.pass(ctx, "circuits", m)
	case *actor.Started:
		r.start(ctx)
	case *kernel.ChildFailed:
		r.childFailed(ctx, m)
	case *respawn:
		r.spawn(ctx, m.name)
	case *stopListening:
		r.closeListeners(ctx)
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

// pass gives a message to a child; false if it is not there just now.
func (r *rootActor) pass(ctx actor.Context, name string, m any) bool {
	c := r.children[name]
	if c == nil || c.pid == nil {
		return false
	}
	ctx.Send(c.pid, m)
	return true
}

func (r *rootActor) start(ctx actor.Context) {
	cfg, n := r.n.o.Config, r.n
	self, root := ctx.Self(), ctx.ActorSystem().Root
	r.guards = newGuards(cfg.DataDirectory, n.recorder, n.o.Log, newRand())
	r.add(ctx, "connections", func() *actor.Props {
		return connections.Props(connections.Options{
			Dialer:   connection.Dialer{Bind4: cfg.OutboundBindAddress4, Bind6: cfg.OutboundBindAddress6},
			Recorder: n.recorder, Now: time.Now, Rand: newRand(),
		})
	})
	r.add(ctx, "circuits", func() *actor.Props {
		return circuits.Props(circuits.Options{
			Connections: self, Recorder: n.recorder, Now: time.Now, Rand: newRand(), Guards: r.guards,
			BuildTimeout: cfg.CircuitBuildTimeout, Dirtiness: cfg.MaxCircuitDirtiness, SocksTimeout: cfg.SocksTimeout,
		})
	})
	r.add(ctx, "directory", func() *actor.Props {
		return directory.Props(directory.Options{
			Dialer: &dirDialer{n: n, node: self}, V3Idents: v3idents(cfg), Authorities: authorities(cfg),
			Fallbacks: fallbacks(cfg), Guards: r.guards.directories, CacheDir: cfg.CacheDirectory,
			Path:     path.Options{EnforceDistinctSubnets: cfg.EnforceDistinctSubnets, LongLivedPorts: cfg.LongLivedPorts},
			Recorder: n.recorder, Log: n.o.Log, Now: time.Now, Rand: newRand(),
			OnUpdate: func(u directory.Updated) {
				root.Send(self, &circuits.Netdir{Index: u.Index, Params: u.Consensus.Params, Enough: u.Enough})
			},
		})
	})
	for i, port := range cfg.SocksPorts {
		name := fmt.Sprintf("socks%d", i)
		r.add(ctx, name, func() *actor.Props { return r.listener(self, port, r.children[name]) })
	}
}

func (r *rootActor) listener(self *actor.PID, port config.SocksPort, c *child) *actor.Props {
	n := r.n
	return ingress.Props(ingress.Options{
		Port: port, RejectInternal: n.o.Config.ClientRejectInternalAddresses, IsolationKey: r.isolationKey,
		Circuits: self, Recorder: n.recorder, Log: n.o.Log, Now: time.Now,
		OnOpen: func(a net.Addr) {
			c.opened.Store(true)
			n.o.Log.Info("SOCKS listener is open", "address", a.String())
			select {
			case n.listening <- a:
			default: // nobody asked
			}
		},
	})
}

func (r *rootActor) add(ctx actor.Context, name string, props func() *actor.Props) {
	r.children[name] = &child{props: props}
	r.spawn(ctx, name)
}

func (r *rootActor) spawn(ctx actor.Context, name string) {
	if r.down != nil {
		return
	}
	c := r.children[name]
	c.pid, c.since = ctx.Spawn(c.props()), time.Now()
	if name == "circuits" && r.netdir != nil {
		ctx.Send(c.pid, r.netdir)
	}
}

// childFailed starts a child anew after a wait; never at once, never never.
func (r *rootActor) childFailed(ctx actor.Context, m *kernel.ChildFailed) {
	for name, c := range r.children {
		if c.pid == nil || !c.pid.Equal(m.PID) {
			continue
		}
		if time.Since(c.since) > again.Max {
			c.failures = 0
		}
		c.failures++
		c.pid = nil
		if strings.HasPrefix(name, "socks") && !c.opened.Load() {
			select {
			case r.n.failed <- m.Reason:
			default: // one is enough
			}
		}
		r.n.o.Log.Error("a part of the node failed and will be started anew", "part", name, "reason", m.Reason)
		r.n.recorder.Emit(messages.Event(chivev1.Kind_KIND_NODE, r.n.recorder.Node(), &chivev1.ActorFailed{
			Reason: name + ": " + m.Site(), Restarted: r.down == nil,
		}))
		if r.down != nil {
			r.down.reply.Send(struct{}{})
			return
		}
		c.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), again.Delay(c.failures, r.rng), &respawn{name})
		return
	}
}

func (r *rootActor) refuse(m *circuits.Request) {
	circuits.Refuse(m.Spec, r.n.recorder, chivev1.Outcome_OUTCOME_INTERNAL)
}

func (r *rootActor) shutdown(ctx actor.Context, m *shutdown) {
	r.down = m
	for name, c := range r.children {
		c.timer.Stop()
		switch {
		case c.pid == nil:
		case name == "directory":
			ctx.Stop(c.pid)
			c.pid = nil
		}
	}
	r.closeListeners(ctx)
	if !r.pass(ctx, "circuits", &circuits.Close{Reply: ctx.Self()}) {
		ctx.Send(ctx.Self(), &circuits.Closed{})
	}
}

// closeListeners ends all listeners for good.
func (r *rootActor) closeListeners(ctx actor.Context) {
	for name, c := range r.children {
		if name == "circuits" || name == "connections" || name == "directory" {
			continue
		}
		c.timer.Stop()
		if c.pid != nil {
			ctx.Send(c.pid, &ingress.Close{})
			c.pid = nil
		}
	}
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
			out = append(out, directory.Target{Identity: netdoc.Digest(a.Fingerprint), Addr: a.ORPort})
		}
	}
	return out
}

func fallbacks(cfg *config.Config) []directory.Target {
	var out []directory.Target
	for _, f := range cfg.FallbackDirs {
		addr := f.IPv4
		if !addr.IsValid() {
			continue // IPv6 needs to be known to work first
		}
		out = append(out, directory.Target{Identity: netdoc.Digest(f.Fingerprint), Addr: addr})
	}
	return out
}
