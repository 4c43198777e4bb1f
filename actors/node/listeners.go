package node

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/ingress"
	"chive/config"
	"chive/supervisor"
)

// A listener that stays where it is keeps its socket, whatever becomes of its flags and of
// the protocol that is spoken there (SocksPort, HTTPTunnelPort, DNSPort, MetricsPort): it could not be
// bound twice, and clients that wait to be accepted are not lost. In events, and to
// isolation, another protocol is another listener.

// setModes changes who may use unix sockets that stay.
func setModes(from, to []keyedPort) error {
	had := map[string]config.SocksPort{}
	for _, l := range from {
		had[l.place] = l.port
	}
	for _, l := range to {
		if was, stays := had[l.place]; stays && (was.GroupWritable != l.port.GroupWritable || was.WorldWritable != l.port.WorldWritable) {
			if err := ingress.SetMode(l.port); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyedPort is a listener, what tells it from others, whatever its flags, and where it is.
type keyedPort struct {
	key   string
	place string // "" if the system chooses the port
	port  config.SocksPort
}

func keyed(c *config.Config) []keyedPort {
	seen := map[string]int{}
	ports := c.Listeners()
	out := make([]keyedPort, len(ports))
	for i, p := range ports {
		name := p.Protocol.String() + " " + p.String()
		seen[name]++ // several may be auto
		out[i] = keyedPort{fmt.Sprintf("%s#%d", name, seen[name]), p.String(), p}
		if p.Auto {
			out[i].place = ""
		}
	}
	return out
}

// bound is sockets that were bound for a configuration that is not in force yet.
type bound struct {
	mu      sync.Mutex // protects the fields below
	ready   map[string]net.Listener
	packets map[string]*net.UDPConn // of DNSPorts where other protocols are spoken still
}

// open binds what next has and old has not.
func (b *bound) open(old, next []keyedPort) error {
	had, at := map[string]bool{}, map[string]bool{}
	for _, l := range old {
		had[l.key], at[l.place] = true, l.place != ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready, b.packets = map[string]net.Listener{}, map[string]*net.UDPConn{}
	for _, l := range next {
		var err error
		switch {
		case had[l.key]:
		case at[l.place] && l.port.Protocol == config.DNS:
			b.packets[l.key], err = ingress.ListenPackets(l.port)
		case at[l.place]:
		default:
			b.ready[l.key], err = ingress.Listen(l.port)
		}
		if err != nil {
			delete(b.packets, l.key)
			delete(b.ready, l.key)
			return err
		}
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

// takePackets gives a UDP socket away; nil if there is none.
func (b *bound) takePackets(key string) *net.UDPConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	udp := b.packets[key]
	delete(b.packets, key)
	return udp
}

// close closes what nobody took.
func (b *bound) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ln := range b.ready {
		_ = ln.Close() // nobody was accepted
	}
	for _, udp := range b.packets {
		_ = udp.Close() // nobody was heard
	}
	b.ready, b.packets = nil, nil
}

// listener is one listener as the node's actor knows it.
type listener struct {
	key     string
	place   string
	rules   atomic.Pointer[ingress.Rules]
	open    atomic.Bool  // was bound once
	first   bool         // of the node's start
	ready   net.Listener // bound already; nil: taken, or to be bound
	leaving bool         // closes at settle
	became  bool         // another protocol since the last settle
}

// listen has every listener of a configuration open that is to be; others are leaving.
func (r *rootActor) listen(ctx actor.Context, cfg *config.Config, b *bound) {
	r.names.Move(virtualNetworks(cfg))
	first := !r.n.begun.Swap(true)
	mapping := hostMapping(cfg)
	keys, places := map[string]string{}, map[string]string{} // names of listeners
	for name, l := range r.listeners {
		l.leaving = true
		keys[l.key] = name
		if l.place != "" {
			places[l.place] = name
		}
	}
	for _, want := range r.n.heard(cfg) {
		rules := &ingress.Rules{Port: want.port, RejectInternal: cfg.ClientRejectInternalAddresses, RejectAnswers: cfg.ClientDNSRejectInternalAddresses, Mapping: mapping, Policy: cfg.MetricsPolicy}
		if l := r.listeners[keys[want.key]]; l != nil {
			l.leaving = false
			rules.Group = l.rules.Load().Group
			l.rules.Store(rules)
			continue
		}
		rules.Group = fmt.Sprintf("socks%d", r.opened)
		r.opened++
		if name, ok := places[want.place]; ok {
			r.become(ctx, name, want, rules, b)
			continue
		}
		l := &listener{key: want.key, place: want.place, ready: b.take(want.key), first: first}
		l.rules.Store(rules)
		name, strategy, self := rules.Group, supervisor.Listener(), ctx.Self()
		r.listeners[name] = l
		r.parts.Supervise(ctx, supervisor.Supervise{
			Name: name, Strategy: &strategy, Props: func() *actor.Props { return r.listener(self, l) },
		})
	}
}

// become has another protocol spoken where a listener is.
func (r *rootActor) become(ctx actor.Context, name string, want keyedPort, rules *ingress.Rules, b *bound) {
	l := r.listeners[name]
	l.key, l.leaving, l.became = want.key, false, true
	l.rules.Store(rules)
	m := &ingress.Become{Packets: b.takePackets(want.key)}
	if !r.pass(ctx, name, m) {
		m.Drop() // it binds what the rules say when it is started anew
	}
}

// settle closes the listeners that are leaving, and answers when their addresses are free.
// Their streams go on.
func (r *rootActor) settle(ctx actor.Context, m *settle) {
	var open atomic.Int64 // sockets, and this function
	open.Store(1)
	closed := func() {
		if open.Add(-1) == 0 {
			m.reply.Send(struct{}{})
		}
	}
	for name, l := range r.listeners {
		switch {
		case l.leaving:
			open.Add(1)
			r.closeListener(ctx, name, closed)
			delete(r.listeners, name)
		case l.became:
			l.became = false
			open.Add(1)
			r.passOrDrop(ctx, name, &ingress.Settled{Done: closed})
		}
	}
	closed()
}
