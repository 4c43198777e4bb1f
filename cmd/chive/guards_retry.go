package main

import (
	"fmt"

	"chive/actors/node"
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
	return say(c.nodeFlags, std, c.Output, messages.VerbGuardsRetry, nil, func(a node.GuardsRetryAnswer) string {
		return fmt.Sprintf("%d guards that failed are tried again", a.Guards)
	})
}
