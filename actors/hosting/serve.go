package hosting

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"chive/actors/circuit"
	"chive/actors/stream"
	"chive/config"
)

// rules say what becomes of clients' streams. Circuits ask them in their own turns.
type rules struct {
	meter *meter
	clock func() time.Time
	now   atomic.Pointer[ruling]
	own   *Own // nil: streams go to the targets of ports
}

// ruling is what holds at a time; it is not changed.
type ruling struct {
	config.OnionService
	counts map[uint16]*stream.Count // by port
}

func newRules(s config.OnionService, m *meter, clock func() time.Time) *rules {
	r := &rules{meter: m, clock: clock}
	r.set(s)
	return r
}

func (r *rules) set(s config.OnionService) { r.now.Store(&ruling{s, r.meter.serve(ports(&s))}) }

// serve implements circuit.Serve.
func (r *rules) serve(port uint16, open int) circuit.Served {
	s := r.now.Load()
	if s.MaxStreams > 0 && open >= s.MaxStreams {
		return circuit.Served{Close: s.MaxStreamsCloseClient}
	}
	var targets []config.OnionPort
	for _, p := range s.Ports {
		if p.Port == port {
			targets = append(targets, p)
		}
	}
	if len(targets) == 0 {
		return circuit.Served{Close: !s.AllowUnknownPorts}
	}
	target := targets[rand.IntN(len(targets))]
	return circuit.Served{Count: s.counts[port], Dial: r.meter.targets.watched(target, r.clock, func(ctx context.Context) (stream.Conn, error) {
		return dial(ctx, target)
	})}
}

func dial(ctx context.Context, p config.OnionPort) (stream.Conn, error) {
	var d net.Dialer
	if p.Path != "" {
		c, err := d.DialContext(ctx, "unix", p.Path)
		if err != nil {
			return nil, err
		}
		return c.(*net.UnixConn), nil
	}
	c, err := d.DialContext(ctx, "tcp", p.Target.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// ports lists the ports of a service, each once.
func ports(s *config.OnionService) (out []uint16) {
	for _, p := range s.Ports {
		out = append(out, p.Port)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
