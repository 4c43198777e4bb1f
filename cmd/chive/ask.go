package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"chive/bridge"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
)

// nodeFlag finds the running node.
type nodeFlag struct {
	DataDir string `type:"path" help:"The node's DataDirectory; the default is that of run without a torrc."`
}

func (n nodeFlag) connect(ctx context.Context) (*bridge.Client, error) {
	dir := n.DataDir
	if dir == "" {
		cfg, err := config.Load("", nil)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		dir = cfg.DataDirectory
	}
	c, err := bridge.Connect(ctx, dir)
	if errors.Is(err, bridge.ErrNoNode) {
		return nil, &exitError{exitNoNode, err}
	}
	return c, err
}

type statusCommand struct {
	nodeFlag
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive status --help.
func (statusCommand) Help() string {
	return `Asks the running node over the control socket in its data directory.

Examples:
  chive status
  chive status --data-dir /tmp/chive -o json`
}

// Run asks and prints.
func (c statusCommand) Run(std streams) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.Request(ctx, "status", nil)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		_, err := fmt.Fprintf(std.out, "%s\n", answer)
		return err
	}
	return printStatus(std.out, answer)
}

// printStatus shows the fields that a person looks for.
func printStatus(w io.Writer, answer []byte) error {
	var s struct {
		Node, Fleet, Version, Summary string
		Started                       time.Time
		Bootstrap                     int               `json:"bootstrap_percent"`
		Connections                   int               `json:"connections_open"`
		Circuits                      int               `json:"circuits_open"`
		Building                      int               `json:"circuits_building"`
		Streams                       int               `json:"streams_open"`
		Waiting                       int               `json:"streams_waiting"`
		CircuitEnds                   map[string]uint64 `json:"circuit_outcomes"`
		StreamEnds                    map[string]uint64 `json:"stream_outcomes"`
		ValidUntil                    time.Time         `json:"consensus_valid_until"`
		Dropped                       uint64            `json:"events_dropped"`
		NatsURL                       string            `json:"nats_url"`
	}
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	fmt.Fprintf(w, "node         %s (fleet %s), chive %s, up %s\n", s.Node, s.Fleet, s.Version, time.Since(s.Started).Round(time.Second))
	fmt.Fprintf(w, "bootstrap    %d %%, %s\n", s.Bootstrap, s.Summary)
	if !s.ValidUntil.IsZero() {
		fmt.Fprintf(w, "consensus    valid until %s\n", s.ValidUntil.UTC().Format(time.DateTime))
	}
	fmt.Fprintf(w, "connections  %d open\n", s.Connections)
	fmt.Fprintf(w, "circuits     %d open, %d building%s\n", s.Circuits, s.Building, ends(s.CircuitEnds))
	fmt.Fprintf(w, "streams      %d open, %d waiting%s\n", s.Streams, s.Waiting, ends(s.StreamEnds))
	if s.Dropped > 0 {
		fmt.Fprintf(w, "events       %d dropped\n", s.Dropped)
	}
	if s.NatsURL != "" {
		fmt.Fprintf(w, "nats         %s\n", s.NatsURL)
	}
	return nil
}

func ends(m map[string]uint64) string {
	if len(m) == 0 {
		return ""
	}
	var parts []string
	for k, v := range m {
		parts = append(parts, fmt.Sprintf("%s %d", k, v))
	}
	slices.Sort(parts)
	return "; ended: " + strings.Join(parts, ", ")
}

type eventsCommand struct {
	nodeFlag
	Follow bool     `short:"f" help:"Go on with new events until interrupted."`
	Kind   []string `help:"Only these kinds: node, connection, circuit, stream, directory, guard, listener, supervisor."`
	ID     string   `help:"Only events about the actor with this id."`
	Number int      `short:"n" default:"-1" help:"At most so many of the past events; -1 for all that are kept."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"text or json (one object a line)."`
}

// Help is printed by chive events --help.
func (eventsCommand) Help() string {
	return `Shows the recent events of the running node, and with -f those to come. No event
shown here names a relay, a target or an application.

Examples:
  chive events --kind circuit -n 20
  chive events -f -o json | jq .`
}

// Run prints the events.
func (c eventsCommand) Run(std streams) error {
	for _, k := range c.Kind {
		if _, err := messages.ParseKind(k); err != nil {
			return usage("--kind %s: the kinds are %s", k, strings.Join(messages.Kinds(), ", "))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := c.connect(ask)
	if err != nil {
		return err
	}
	defer client.Close()
	live := make(chan *chivev1.Envelope, 4096)
	gone := client.Gone()
	if c.Follow {
		unfollow, err := client.Follow(func(e *chivev1.Envelope) {
			select {
			case live <- e:
			case <-ctx.Done():
			}
		})
		if err != nil {
			return err
		}
		defer unfollow()
	}
	past, err := client.History(ask)
	if err != nil {
		return err
	}
	last, err := c.printPast(std.out, past)
	for c.Follow && err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			return &exitError{exitNoNode, errors.New("the node is gone")}
		case e := <-live:
			if e.GetSequence() > last && c.wants(e) {
				err = c.print(std.out, e)
			}
		}
	}
	return err
}

// printPast prints the history and gives the sequence it ends with.
func (c eventsCommand) printPast(w io.Writer, past []*chivev1.Envelope) (last uint64, err error) {
	var wanted []*chivev1.Envelope
	for _, e := range past {
		last = e.GetSequence()
		if c.wants(e) {
			wanted = append(wanted, e)
		}
	}
	if c.Number >= 0 && len(wanted) > c.Number {
		wanted = wanted[len(wanted)-c.Number:]
	}
	for _, e := range wanted {
		if err := c.print(w, e); err != nil {
			return last, err
		}
	}
	return last, nil
}

func (c eventsCommand) wants(e *chivev1.Envelope) bool {
	return (len(c.Kind) == 0 || slices.Contains(c.Kind, messages.KindToken(e.GetKind()))) &&
		(c.ID == "" || c.ID == e.GetActorId())
}

func (c eventsCommand) print(w io.Writer, e *chivev1.Envelope) error {
	if c.Output == "text" {
		_, err := fmt.Fprintln(w, messages.Text(e))
		return err
	}
	b, err := messages.JSON(e)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}
