package chive

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync"

	"chive/actors/node"
	"chive/config"
	"chive/messages/chivev1"
)

// Client is a node that runs in this program. Its methods may be called from many
// goroutines.
type Client struct {
	node   *node.Node
	ready  chan struct{} // closed when a circuit is open
	readys sync.Once
}

// Option is one choice for New.
type Option func(*options)

type options struct {
	torrc string
	lines []config.Override
	errs  []error
	log   *slog.Logger
	see   func(Event)
}

// WithDataDirectory says where the node keeps guards, directory and keys: two nodes
// cannot share one. It should outlive the program, or each run chooses guards
// anew, which costs anonymity. Without it, it is that of chive run.
func WithDataDirectory(dir string) Option {
	return func(o *options) { o.lines = append(o.lines, config.Override{Name: "DataDirectory", Value: dir}) }
}

// WithTorrc reads a torrc file. What WithLines and WithDataDirectory say replaces its
// lines.
func WithTorrc(file string) Option { return func(o *options) { o.torrc = file } }

// WithLines gives options as lines of a torrc: an option's name and its value. What
// chive does not honour is refused, with the reason. docs/configuration.md has all of
// them.
func WithLines(lines ...string) Option {
	return func(o *options) {
		for _, line := range lines {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name == "" || name[0] == '#' {
				o.errs = append(o.errs, fmt.Errorf("chive: %q is no line of a torrc", line))
				continue
			}
			o.lines = append(o.lines, config.Override{Name: name, Value: strings.TrimSpace(value)})
		}
	}
}

// WithLogger has the node log there, which otherwise logs nothing: the Log options are
// for the command. No record at level info or above names a target, a key or a client.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithObserver has see called for every event from the first on, with all its fields, in
// order. It must be quick and call nothing of the Client, which waits meanwhile; Events
// does not have it wait.
func WithObserver(see func(Event)) Option { return func(o *options) { o.see = see } }

// ErrInUse: another node uses the data directory.
var ErrInUse = node.ErrInUse

// New starts a node and returns; it finds the network in the background, which Ready
// waits for. Without a SocksPort in its configuration there is none. The error names
// everything that is wrong with the configuration. ctx is for New alone: Close ends
// the node.
func New(ctx context.Context, opts ...Option) (*Client, error) {
	o := options{log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(&o)
	}
	if len(o.errs) > 0 {
		return nil, o.errs[0]
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("chive: %w", err)
	}
	source := &config.Source{File: o.torrc, Flags: o.lines}
	loaded, err := source.Load()
	if err == nil && loaded.Origins["SocksPort"] == config.FromDefault {
		source.Flags = append(source.Flags, config.Override{Name: "SocksPort", Value: "0"})
		loaded, err = source.Load()
	}
	if err != nil {
		return nil, fmt.Errorf("chive: %w", err)
	}
	for _, w := range loaded.Config.Warnings {
		o.log.Warn(w.Error())
	}
	c := &Client{ready: make(chan struct{})}
	c.node, err = node.Start(ctx, node.Options{
		Config: loaded.Config, Source: source, Log: o.log, Version: version(), OnEvent: func(e *chivev1.Envelope) {
			c.see(e)
			if o.see != nil {
				o.see(Event{Envelope: e})
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("chive: %w", err)
	}
	return c, nil
}

// version is what Go recorded of this module.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "chive" && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "dev"
}

func (c *Client) see(e *chivev1.Envelope) {
	if e.GetBootstrapAdvanced().GetPhase() == chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE {
		c.readys.Do(func() { close(c.ready) })
	}
}

func (c *Client) isReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// Ready waits until the first circuit is open. It is not needed: connections wait by
// themselves. The error is a listener's that cannot be opened, ErrClosed, or an *Error
// that is ErrNotReady and what ctx says.
func (c *Client) Ready(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case err := <-c.node.Failed():
		return fmt.Errorf("chive: %w", err)
	case <-c.node.Stopped():
		return &Error{Reason: "shutdown", kind: ErrClosed}
	case <-ctx.Done():
		return c.late(ctx.Err())
	}
}

// Drain takes no more connections, meets nobody more at onion services and closes listeners,
// and returns when all that are open have ended and what they sent has had time to arrive, or
// with what ctx says. There is no way back; Close follows.
func (c *Client) Drain(ctx context.Context) error {
	c.node.CloseListeners()
	return c.node.Drain(ctx, math.MaxInt64)
}

// Close ends the node in order: connections end, relays are told, state is on disk and no
// goroutine is left when it returns. When ctx ends first, the rest is cut short. Later
// calls wait for the first and give the same.
func (c *Client) Close(ctx context.Context) error { return c.node.Stop(ctx) }
