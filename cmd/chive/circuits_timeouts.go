package main

import (
	"fmt"

	"chive/actors/node"
	"chive/messages"
)

type circuitsForgetTimeouts struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive circuits forget-timeouts --help.
func (circuitsForgetTimeouts) Help() string {
	return `Has the node forget how long its circuits took to be built, on disk too, and learn it
anew, as C tor's DROPTIMEOUTS does: for a machine that came to a much slower or faster
network. Until then the timeout is that of CircuitBuildTimeout or the consensus.

Examples:
  chive circuits forget-timeouts
  chive status`
}

// Run asks and prints.
func (c circuitsForgetTimeouts) Run(std streams) error {
	return say(c.nodeFlags, std, c.Output, messages.VerbTimeoutsForget, nil, func(a node.TimeoutsForgetAnswer) string {
		return fmt.Sprintf("the build times of %d circuits are forgotten", a.Circuits)
	})
}
