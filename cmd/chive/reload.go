package main

import (
	"context"
	"errors"
	"fmt"
	"io"

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
anew, and says what changed and what needs a restart. The folders of onion services
and of keys to visit some with are read again, too: what is new there is told, and
a service that runs and could not with what its folder holds now is a reason to change
nothing. A torrc that is not right changes nothing either, and exits with 2. SIGHUP does
the same without an answer: the log tells.

Examples:
  chive reload
  chive reload --dry-run --data-dir /tmp/chive`
}

// Run asks and prints.
func (c reloadCommand) Run(std streams) error {
	return c.change(std, c.Output, func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		return client.ProposeConfig(ctx, messages.ConfigProposal{Source: messages.ConfigFromReload, DryRun: c.DryRun})
	})
}

// change asks the node for a change and prints what came of it.
func (f nodeFlags) change(std streams, output string, ask func(context.Context, *bridge.Client) (messages.ConfigResult, error)) error {
	r, err := f.changed(ask)
	if err == nil || r.Reason != "" {
		err = errors.Join(printResult(std, output, r), err)
	}
	return err
}

// changed asks the node for a change. One that was not made is an error; the result then says
// why.
func (f nodeFlags) changed(ask func(context.Context, *bridge.Client) (messages.ConfigResult, error)) (messages.ConfigResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	client, err := f.connect(ctx)
	if err != nil {
		return messages.ConfigResult{}, err
	}
	defer client.Close()
	r, err := ask(ctx, client)
	switch {
	case err != nil:
		return messages.ConfigResult{}, err
	case r.Applied:
		return r, nil
	case r.Wrong:
		return r, usage("%s\nnothing was changed", r.Reason)
	}
	return r, &exitError{exitFailed, fmt.Errorf("%s\nnothing was changed", r.Reason)}
}

// printResult says what a change came to. The error is what is to be done about it.
func printResult(std streams, output string, r messages.ConfigResult) error {
	if output == "json" {
		if err := printJSON(std.out, r); err != nil {
			return err
		}
		return unkept(r)
	}
	if !r.Applied {
		return nil
	}
	printNotes(std.out, r.Notes)
	switch {
	case r.Already:
		_, err := fmt.Fprintf(std.out, "that is in force already: nothing was changed, revision %d goes on\n", r.Revision)
		return err
	case len(r.Changes) > 0:
		printChanges(std.out, r.Changes)
	default:
		fmt.Fprintln(std.out, "no option differs")
	}
	if _, err := fmt.Fprintf(std.out, "revision %d\n", r.Revision); err != nil {
		return err
	}
	return unkept(r)
}

func unkept(r messages.ConfigResult) error {
	if r.Unkept == "" {
		return nil
	}
	return &exitError{exitFailed, fmt.Errorf("it is in force, but may be gone after a restart: %s", r.Unkept)}
}

// printNotes writes what was found beside options, warnings last.
func printNotes(w io.Writer, notes []messages.ConfigNote) {
	for _, n := range notes {
		if !n.Warning {
			fmt.Fprintln(w, noteLine(n))
		}
	}
	for _, n := range notes {
		if n.Warning {
			fmt.Fprintln(w, "warning:", noteLine(n))
		}
	}
}

func noteLine(n messages.ConfigNote) string {
	if n.Path == "" {
		return printable(n.Text)
	}
	return printable(n.Path) + ": " + printable(n.Text)
}
