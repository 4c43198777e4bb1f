package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chive/messages/fold"
)

type connectionsCommand struct {
	ID string `arg:"" optional:"" help:"Only those whose id begins so."`
	listFlags
	endedFlags
	Relay string `placeholder:"ID" help:"Only to this relay, by its opaque name; the beginning is enough."`
}

// Help is printed by chive connections --help.
func (connectionsCommand) Help() string {
	return `Lists the connections to relays, now or as of a past moment, from the node's
events. Relays have opaque names, for one boot, so that connections to the same one
can be told; chive guards has those that are guards.

Examples:
  chive connections
  chive connections --state failed
  chive connections --at -1h -o json
  chive why connection ID`
}

var connectionStates = []string{"dialled", "open", "failed", "closed"}

// Run lists.
func (c connectionsCommand) Run(std streams) error {
	if err := c.check(connectionStates...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	all := c.all("failed", "closed")
	n, at, err := c.node(ctx, std, all)
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(n.ConnectionViews(all), func(v fold.ConnectionView) bool {
		return !begins(v.ID, c.ID) || !begins(v.Relay, c.Relay) || !c.want(v.State, v.Purpose, v.Outcome)
	})
	return table[fold.ConnectionView]{
		head: "CONNECTION\tSTATE\tRELAY\tCIRCUITS\tSTREAMS\tAGE\tTOOK\tATTEMPT\tPURPOSE\tSKEW\tOUTCOME", row: connectionRow,
		none: "connections", hint: moreHint(all),
	}.print(std, c.Output, rows, at)
}

func connectionRow(v fold.ConnectionView, at time.Time) string {
	skew := ""
	if v.ClockSkewS != 0 {
		skew = fmt.Sprintf("%+ds", v.ClockSkewS)
	}
	return cells(v.ID, v.State, v.Relay, fmt.Sprint(v.Circuits), fmt.Sprint(v.Streams), age(v.Dialled, lived(v.Ended, at)),
		millis(v.TookMS), fmt.Sprint(v.Attempt), v.Purpose, skew, v.Outcome)
}
