package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
)

type eventsCommand struct {
	nodeFlags
	Follow bool     `short:"f" help:"Then show each event as it happens, until interrupted or the node stops."`
	Kind   []string `sep:"," placeholder:"KIND" help:"Only of these kinds: node, connection, circuit, stream, directory, guard, listener, supervisor, config, onion, hosting."`
	ID     []string `name:"id" sep:"," placeholder:"ID" help:"Only about these actors, or correlated with these ids (a stream's story)."`
	Last   int      `short:"n" name:"last" default:"-1" placeholder:"N" help:"Begin with the last N (default: all that the node remembers; with --follow 10)."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"text, or json: one object a line."`
}

// Help is printed by chive events --help.
func (eventsCommand) Help() string {
	return `Reads the events the node remembers, oldest first. No event names a relay, a
target or a client. docs/events.md explains each.

Examples:
  chive events -f
  chive events --kind circuit,stream -n 20
  chive events -f -o json | jq -r .circuitOpened.took`
}

// askTimeout is how long a node may take to answer.
const askTimeout = 10 * time.Second

// Run shows the history and follows if asked to.
func (c eventsCommand) Run(std streams) error {
	want, err := c.filter()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.show(ctx, &eventPrinter{out: std.out, json: c.Output == "json", want: want}, std.err)
}

func (c eventsCommand) show(ctx context.Context, p *eventPrinter, notes io.Writer) error {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	node, err := c.connect(ask)
	if err != nil {
		return err
	}
	defer node.Close()
	gone := node.Gone()
	if c.Follow { // before the history, so that nothing falls between
		unfollow, err := node.Follow(p.live)
		if err != nil {
			return fmt.Errorf("follow events: %w", err)
		}
		defer func() { _ = unfollow() }() // the connection closes anyway
	}
	history, err := node.History(ask)
	if err != nil {
		return err
	}
	p.past(history, c.last())
	if !c.Follow {
		return p.failure()
	}
	select {
	case <-ctx.Done():
	case <-gone:
		fmt.Fprintln(notes, "chive: the node has stopped")
	}
	return p.failure()
}

func (c eventsCommand) last() int {
	if c.Last < 0 && c.Follow {
		return 10
	}
	return c.Last
}

// filter is the predicate of --kind and --id.
func (c eventsCommand) filter() (func(*chivev1.Envelope) bool, error) {
	var kinds []chivev1.Kind
	for _, token := range c.Kind {
		kind, err := messages.ParseKind(token)
		if err != nil {
			return nil, usage("--kind: %w", err)
		}
		kinds = append(kinds, kind)
	}
	return func(e *chivev1.Envelope) bool {
		if len(kinds) > 0 && !slices.Contains(kinds, e.GetKind()) {
			return false
		}
		return len(c.ID) == 0 || slices.Contains(c.ID, e.GetActorId()) || slices.Contains(c.ID, e.GetCorrelationId())
	}, nil
}

// eventPrinter writes history and live events once each, in order: what comes
// live before the history is written waits.
type eventPrinter struct {
	out  io.Writer
	json bool
	many bool // of several nodes: each line begins with the node's name
	want func(*chivev1.Envelope) bool

	mu      sync.Mutex // protects the fields below
	begun   bool       // the history is written
	waiting []*chivev1.Envelope
	written uint64 // highest sequence of the history
	err     error
}

func (p *eventPrinter) live(e *chivev1.Envelope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		p.waiting = append(p.waiting, e)
		return
	}
	if e.GetSequence() > p.written {
		p.print(e)
	}
}

// past writes the last n wanted events of the history, all if n is negative,
// then what came live meanwhile.
func (p *eventPrinter) past(history []*chivev1.Envelope, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var wanted []*chivev1.Envelope
	for _, e := range history {
		p.written = max(p.written, e.GetSequence())
		if p.want(e) {
			wanted = append(wanted, e)
		}
	}
	if n >= 0 && len(wanted) > n {
		wanted = wanted[len(wanted)-n:]
	}
	for _, e := range wanted {
		p.print(e)
	}
	p.begun = true
	for _, e := range p.waiting {
		if e.GetSequence() > p.written {
			p.print(e)
		}
	}
	p.waiting = nil
}

func (p *eventPrinter) print(e *chivev1.Envelope) {
	if !p.want(e) {
		return
	}
	line := []byte(messages.Text(e))
	if p.many {
		line = append([]byte(printable(e.GetNode())+" "), line...)
	}
	if p.json {
		var err error
		if line, err = messages.JSON(e); err != nil {
			p.err = errors.Join(p.err, err)
			return
		}
	}
	if _, err := p.out.Write(append(line, '\n')); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *eventPrinter) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
