package main

import (
	"context"
	"slices"
	"time"

	"chive/bridge"
	"chive/messages/chivev1"
)

type fleetEvents struct {
	fleetFlags
	Kind   []string      `sep:"," placeholder:"KIND" help:"Only of these kinds: node, connection, circuit, stream, directory, guard, listener, supervisor, config, onion, hosting."`
	Node   []string      `sep:"," placeholder:"NODE" help:"Only of these nodes."`
	For    time.Duration `default:"0s" help:"End after so long (default: when interrupted)."`
	Output string        `short:"o" enum:"text,json" default:"text" help:"text, or json: one object a line."`
}

// Help is printed by chive fleet events --help.
func (fleetEvents) Help() string {
	return `Shows events as they happen, each with its node's name; what a node remembers is
shown by chive events there.

Examples:
  chive fleet events --kind config,breaker
  chive fleet events --node n1 -o json`
}

// Run follows until interrupted.
func (c fleetEvents) Run(std streams) error {
	want, err := eventsCommand{Kind: c.Kind}.filter()
	if err != nil {
		return err
	}
	p := &eventPrinter{out: std.out, json: c.Output == "json", many: true, begun: true, want: func(e *chivev1.Envelope) bool {
		return want(e) && (len(c.Node) == 0 || slices.Contains(c.Node, e.GetNode()))
	}}
	return c.with(0, func(ctx context.Context, f *bridge.FleetConn) error {
		if c.For > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.For)
			defer cancel()
		}
		stop, err := f.Follow(p.each)
		if err != nil {
			return err
		}
		defer stop()
		<-ctx.Done()
		return p.failure()
	})
}

// each prints an event of any node: their sequences are apart.
func (p *eventPrinter) each(e *chivev1.Envelope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(e)
}
