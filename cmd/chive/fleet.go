package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"chive/actors/node"
	"chive/bridge"
	"chive/bridge/fleet"
	"chive/config"
	"chive/messages"
)

type fleetCommand struct {
	Nodes       fleetNodes       `cmd:"" help:"List the nodes that are there."`
	Onions      fleetOnions      `cmd:"" help:"List the onion services that nodes host together, and who publishes them."`
	Status      fleetStatus      `cmd:"" help:"Show how the fleet is, and what became of its configuration."`
	Events      fleetEvents      `cmd:"" help:"Follow the events of all nodes."`
	Config      fleetConfig      `cmd:"" help:"Show and change the fleet's configuration."`
	Drain       fleetDrain       `cmd:"" help:"Have a node take nothing new, before it is stopped, or take part again."`
	Credentials fleetCredentials `cmd:"" help:"Make the keys of a new fleet."`
}

// fleetFlags say how the fleet is reached.
type fleetFlags struct {
	nodeFlags
	Server     []string `sep:"," placeholder:"URL" help:"The fleet's NATS servers: tls://host:port, or nats://host:port on this machine. None: the server of the node in --data-dir."`
	Credential string   `type:"path" placeholder:"FILE" help:"The nkey seed of a role, for --server."`
	CA         string   `name:"ca" type:"path" placeholder:"FILE" help:"Authorities to believe the servers by (default: the system's)."`
	Fleet      string   `placeholder:"NAME" help:"The fleet's name (default: a node is asked)."`
}

// with reaches the fleet for a question.
func (f fleetFlags) with(limit time.Duration, ask func(context.Context, *bridge.FleetConn) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	c, err := f.reach(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	err = ask(ctx, c)
	if limit > 0 {
		return inTime(err)
	}
	return err
}

// inTime says what it means that a question was not answered.
func inTime(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("the fleet's NATS servers did not answer in time: they are very busy, or a majority of them is away; ask again, and see their logs (docs/fleet.md)")
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted, before there was an answer")
	}
	return err
}

func (f fleetFlags) reach(ctx context.Context) (*bridge.FleetConn, error) {
	a := bridge.FleetAccess{DataDir: f.DataDir, Servers: f.Server, Credential: f.Credential, CA: f.CA, Fleet: f.Fleet}
	if len(f.Server) == 0 {
		switch {
		case f.Credential != "" || f.CA != "":
			return nil, usage("--credential and --ca go with --server")
		case a.DataDir == "":
			var err error
			if a.DataDir, err = config.DefaultDataDirectory(); err != nil {
				return nil, usage("%w; say --data-dir", err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := bridge.ConnectFleet(ctx, a)
	if errors.Is(err, bridge.ErrNoNode) || errors.Is(err, bridge.ErrNoAnswer) {
		return nil, &exitError{exitNoNode, err}
	}
	return c, inTime(err)
}

type fleetNodes struct {
	fleetFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// Help is printed by chive fleet nodes --help.
func (fleetNodes) Help() string {
	return `A node says something every five seconds; HEARD is how long ago that was, and one that
is not heard of for 16 seconds is left out. CLOCK is how far its clock is ahead of the NATS
servers'. What is below the list says when it is old, as when the servers have no majority;
with -o json that is said on standard error.

Examples:
  chive fleet nodes
  chive fleet nodes --server tls://nats.example:4222 --credential nats.creds`
}

// Run asks and prints.
func (c fleetNodes) Run(std streams) error {
	return c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		all, standing, err := members(ctx, f)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			printStanding(std.err, all, standing)
			return printJSON(std.out, all)
		}
		if err := printNodes(std.out, all, standing, time.Now()); err != nil {
			return err
		}
		printStanding(std.out, all, standing)
		return nil
	})
}

// skewed is how far a clock may be off before it is worth a word.
const skewed = 5 * time.Second

func printNodes(w io.Writer, all []fleet.Seen, standing fleet.Standing, now time.Time) error {
	versions := map[string]int{}
	for _, s := range all {
		versions[s.Version]++
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tVERSION\tUP\tBOOTSTRAP\tCIRCUITS\tBUILT\tSTREAMS\tCONFIG\tFLEET\tCLOCK\tHEARD")
	for _, s := range all {
		version := printable(s.Version)
		if len(versions) > 1 {
			version += " (differs)"
		}
		state := string(s.State)
		if s.Draining {
			state += " draining"
		}
		if s.Trouble != "" {
			state += " " + s.Trouble
		}
		clock := "ok"
		if s.Skew.Abs() > skewed {
			clock = fmt.Sprintf("%+v", s.Skew.Round(time.Second))
		}
		age, _ := old(s, standing)
		fmt.Fprintf(t, "%s\t%s\t%s\t%d %%\t%d\t%s\t%d\t%d\t%s\t%s\t%s\n", printable(s.Node), version, brief(now.Sub(s.Started)), s.Bootstrap,
			s.Circuits, share(s.Built, s.Failed), s.Streams, s.Config, strings.TrimSpace(fmt.Sprint(s.FleetMember.Fleet, " ", printable(state))), clock, brief(age))
	}
	return t.Flush()
}

// share is how many of the circuits could be built.
func share(built, failed uint64) string {
	if built+failed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(built)/float64(built+failed))
}

type fleetStatus struct {
	fleetFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Run asks and prints.
func (c fleetStatus) Run(std streams) error {
	return c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		s, err := statusOf(ctx, f)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(std.out, s)
		}
		s.print(std.out)
		return nil
	})
}

// fleetState is what chive fleet status shows.
type fleetState struct {
	Fleet       string              `json:"fleet"`
	Nodes       []fleet.Seen        `json:"nodes"`
	Servers     fleet.Standing      `json:"servers"` // the NATS servers that say who is there
	Publication *fleet.Published    `json:"publication,omitempty"`
	Problem     string              `json:"problem,omitempty"` // why it is not to be believed
	Acks        []messages.FleetAck `json:"acknowledgements,omitempty"`
}

func statusOf(ctx context.Context, f *bridge.FleetConn) (s fleetState, err error) {
	s.Fleet = f.Fleet()
	if s.Nodes, s.Servers, err = members(ctx, f); err != nil {
		return s, err
	}
	p, err := f.Config(ctx)
	switch {
	case errors.Is(err, fleet.ErrNothing):
		return s, nil
	case p.Number == 0: // an observer may not read it
		s.Problem = err.Error()
		return s, nil
	case err != nil:
		s.Problem = err.Error()
	}
	s.Publication = &p
	s.Acks, err = f.Acks(ctx, p.Number)
	return s, err
}

func (s fleetState) print(w io.Writer) {
	fmt.Fprintf(w, "fleet          %s, %d nodes\n", s.Fleet, len(s.Nodes))
	circuits, streams := 0, 0
	for _, n := range s.Nodes {
		circuits, streams = circuits+n.Circuits, streams+n.Streams
	}
	fmt.Fprintf(w, "in all         %d circuits, %d streams\n", circuits, streams)
	if p := s.Publication; p != nil {
		fmt.Fprintf(w, "configuration  revision %d (publication %d of %s)", p.Document.Revision, p.Number, p.Stored.UTC().Format(time.DateTime))
		if p.Document.Note != "" {
			fmt.Fprintf(w, ": %s", printable(p.Document.Note))
		}
		fmt.Fprintln(w)
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "               %s\n", s.Problem)
	}
	printAcks(w, s.Acks)
	printStanding(w, s.Nodes, s.Servers)
}

func printAcks(w io.Writer, acks []messages.FleetAck) {
	for _, a := range acks {
		fmt.Fprintf(w, "  %-14s %s", printable(a.Node), a.State)
		if a.Builds > 0 {
			fmt.Fprintf(w, ", %.0f %% of %d circuits built, %.2f s each", 100*a.Success, a.Builds, a.BuildTime)
		}
		if len(a.Waiting) > 0 {
			fmt.Fprintf(w, ", waits for a restart: %s", strings.Join(a.Waiting, ", "))
		}
		if a.Reason != "" {
			fmt.Fprintf(w, ": %s", printable(a.Reason))
		}
		fmt.Fprintln(w)
	}
}

type fleetDrain struct {
	fleetFlags
	Node   string        `arg:"" help:"The node."`
	Resume bool          `xor:"way" help:"Have it take part again."`
	Wait   time.Duration `xor:"way" placeholder:"DURATION" help:"Wait until no stream is open, at most so long; 1 when some are then."`
}

// Help is printed by chive fleet drain --help.
func (fleetDrain) Help() string {
	return `The node takes nothing new. It closes its listeners, but for MetricsPort; streams that are
open go on. Onion services that it hosts with other nodes (HiddenServiceShared) are published
by another within a second or so, without its introduction points; clients who come by those
still are met. Onion services that it hosts alone go on as they are. It runs on, and chive
status and chive fleet nodes say draining: stop it when it has no streams, or have it take part
again. A node that is started anew takes part.

Examples:
  chive fleet drain n2 --wait 5m
  chive fleet drain n2 --resume`
}

// Run asks and waits.
func (c fleetDrain) Run(std streams) error {
	return c.with(c.Wait+askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		request := []byte("{}")
		if c.Resume {
			request = []byte(`{"resume":true}`)
		}
		deadline := time.Now().Add(c.Wait)
		for {
			answer, err := f.Ask(ctx, c.Node, "drain", request)
			if err != nil {
				return err
			}
			var a node.DrainAnswer
			if err := json.Unmarshal(answer, &a); err != nil {
				return fmt.Errorf("the node's answer: %w", err)
			}
			if c.Resume {
				fmt.Fprintf(std.out, "%s takes part again\n", c.Node)
				return nil
			}
			if a.Streams == 0 || c.Wait == 0 {
				fmt.Fprintf(std.out, "%s takes nothing new; %s open\n", c.Node, are(a.Streams, count(a.Streams, "stream")))
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s takes nothing new, and %s open after %v", c.Node, are(a.Streams, count(a.Streams, "stream")), c.Wait)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
}

// are is "1 stream is", "3 streams are": what n of them do.
func are(n int, what string) string {
	if n == 1 {
		return what + " is"
	}
	return what + " are"
}
