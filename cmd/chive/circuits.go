package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chive/messages/fold"
)

type circuitsCommand struct {
	List           circuitsList           `cmd:"" default:"withargs" help:"List circuits, now or as of a past moment (what chive circuits does)."`
	ForgetTimeouts circuitsForgetTimeouts `cmd:"" help:"Forget what was learned of how long circuits take to be built."`
}

type circuitsList struct {
	ID string `arg:"" optional:"" help:"Only those whose id begins so."`
	listFlags
	endedFlags
	Connection string `placeholder:"ID" help:"Only on this connection; the beginning of its id is enough."`
	Isolation  string `placeholder:"ID" help:"Only of this isolation group; the beginning is enough."`
}

// Help is printed by chive circuits list --help.
func (circuitsList) Help() string {
	return `Lists the circuits that are being built or open, now or as of a past moment, from
the node's events. Ids and isolation groups are opaque, for one boot; which relays
are in a path is in no event that leaves the node. A conflux set is a row of its own,
besides those of its legs.

Examples:
  chive circuits
  chive circuits --at -5m
  chive circuits --state failed -o json | jq -r '.[].outcome'
  chive why circuit ID`
}

var circuitStates = []string{"building", "open", "failed", "closed"}

// Run lists.
func (c circuitsList) Run(std streams) error {
	if err := c.check(circuitStates...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	all := c.all("failed", "closed")
	n, at, err := c.node(ctx, std, all)
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(n.CircuitViews(all), func(v fold.CircuitView) bool {
		return !begins(v.ID, c.ID) || !begins(v.Connection, c.Connection) || !begins(v.Isolation, c.Isolation) ||
			!c.want(v.State, v.Purpose, v.Outcome)
	})
	return table[fold.CircuitView]{
		head: "CIRCUIT\tSTATE\tHOPS\tSTREAMS\tAGE\tBUILD\tPURPOSE\tISOLATION\tCONNECTION\tOUTCOME", row: circuitRow,
		none: "circuits", hint: moreHint(all),
	}.print(std, c.Output, rows, at)
}

func circuitRow(v fold.CircuitView, at time.Time) string {
	hops := fmt.Sprint(v.Hops)
	if v.Reached < v.Hops {
		hops = fmt.Sprintf("%d of %d", v.Reached, v.Hops)
	}
	if v.Wanted > 0 {
		hops = fmt.Sprintf("%d legs", v.Legs)
	}
	return cells(v.ID, v.State, hops, fmt.Sprint(v.Streams), age(v.Launched, lived(v.Ended, at)), millis(v.BuildMS),
		v.Purpose, v.Isolation, v.Connection, v.Outcome)
}

// lived is when an age stops to grow.
func lived(ended, at time.Time) time.Time {
	if ended.IsZero() {
		return at
	}
	return ended
}

func moreHint(all bool) string {
	if all {
		return ""
	}
	return " (--all shows those that have ended, too)"
}
