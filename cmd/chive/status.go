package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"chive/actors/node"
)

type statusCommand struct {
	nodeFlags
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
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
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
	var s node.Status
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	fmt.Fprintf(w, "node         %s (fleet %s), chive %s, up %s\n", s.Node, s.Fleet, s.Version, time.Since(s.Started).Round(time.Second))
	fmt.Fprintf(w, "bootstrap    %d %%, %s\n", s.Bootstrap, s.Summary)
	if t := s.Trouble; t != nil {
		fmt.Fprintf(w, "network      out of reach since %s (%s): streams wait, and it is tried on; chive guards retry tries at once\n",
			t.Since.UTC().Format(time.DateTime), t.Outcome)
	}
	if s.Draining {
		fmt.Fprintln(w, "draining     applications' new streams are refused, and listeners are closed but for MetricsPort; those that are open go on (clients of onion services who are here may open more)")
	}
	if s.Proxy != "" {
		fmt.Fprintf(w, "proxy        does not work (%s): nothing is tried without it, and it is tried again by itself\n", s.Proxy)
	}
	if !s.ValidUntil.IsZero() {
		fmt.Fprintf(w, "consensus    valid until %s\n", s.ValidUntil.UTC().Format(time.DateTime))
	}
	if s.Lacks != "" {
		fmt.Fprintf(w, "protocols    the network requires %s, which this version does not have: it is used no more\n", s.Lacks)
	}
	fmt.Fprintf(w, "connections  %d open\n", s.Connections)
	fmt.Fprintf(w, "circuits     %d open, %d building%s\n", s.Circuits, s.Building, ends(s.CircuitEnds))
	if s.BuildTimeout > 0 {
		how := "not learned yet, or fixed"
		if s.BuildLearned {
			how = "learned"
		}
		fmt.Fprintf(w, "timeout      circuits have %v to be built, %s\n", time.Duration(s.BuildTimeout)*time.Millisecond, how)
	}
	fmt.Fprintf(w, "streams      %d open, %d waiting%s\n", s.Streams, s.Waiting, ends(s.StreamEnds))
	if s.EventsDropped > 0 {
		fmt.Fprintf(w, "events       %d dropped\n", s.EventsDropped)
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
