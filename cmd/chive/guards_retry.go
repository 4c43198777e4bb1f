package main

import (
	"context"
	"encoding/json"
	"fmt"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
)

type guardsRetry struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive guards retry --help.
func (guardsRetry) Help() string {
	return `Has the node try at once what failed and would be tried later: guards, and other
relays. It does so by itself when the machine wakes or its addresses change. Which
guard is used stays as it is: the first that can be reached.

Examples:
  chive guards retry
  chive guards retry --data-dir /tmp/chive -o json`
}

// Run asks and prints.
func (c guardsRetry) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		answer, err := client.Request(ctx, messages.VerbGuardsRetry, nil)
		if err != nil {
			return err
		}
		var a node.GuardsRetryAnswer
		if err := json.Unmarshal(answer, &a); err != nil {
			return fmt.Errorf("the node's answer: %w", err)
		}
		if c.Output == "json" {
			return printJSON(std.out, a)
		}
		_, err = fmt.Fprintf(std.out, "%d guards that failed are tried again\n", a.Guards)
		return err
	})
}
