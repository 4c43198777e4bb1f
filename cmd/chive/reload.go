package main

import (
	"context"
	"fmt"

	"chive/bridge"
	"chive/messages"
)

type reloadCommand struct {
	nodeFlags
	DryRun bool   `help:"Only say what it would do."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive reload --help.
func (reloadCommand) Help() string {
	return `The node reads its torrc and what that includes again, opens its log files
anew, and says what changed and what needs a restart. A configuration that is not
right changes nothing, and exits with 1. SIGHUP does the same without an answer.

Examples:
  chive reload
  chive reload --dry-run --data-dir /tmp/chive`
}

// Run asks and prints.
func (c reloadCommand) Run(std streams) error {
	return c.change(std, c.Output, func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		return client.ProposeConfig(ctx, messages.ConfigProposal{Source: messages.ConfigFromSignal, DryRun: c.DryRun})
	})
}

// change asks the node for a change and prints what came of it.
func (f nodeFlags) change(std streams, output string, ask func(context.Context, *bridge.Client) (messages.ConfigResult, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	client, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := ask(ctx, client)
	if err != nil {
		return err
	}
	if output == "json" {
		if err := printJSON(std.out, r); err != nil {
			return err
		}
	}
	if !r.Applied {
		return &exitError{exitFailed, fmt.Errorf("%s\nnothing was changed", r.Reason)}
	}
	if output == "text" {
		printChanges(std.out, r.Changes)
		_, err = fmt.Fprintf(std.out, "revision %d\n", r.Revision)
	}
	if err == nil && r.Unkept != "" {
		return &exitError{exitFailed, fmt.Errorf("it is in force, but may be gone after a restart: %s", r.Unkept)}
	}
	return err
}
