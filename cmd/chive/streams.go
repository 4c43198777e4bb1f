package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chive/messages/fold"
)

type streamsCommand struct {
	ID string `arg:"" optional:"" help:"Only those whose id begins so."`
	listFlags
	endedFlags
	Circuit   string `placeholder:"ID" help:"Only on this circuit; the beginning of its id is enough."`
	Isolation string `placeholder:"ID" help:"Only of this isolation group; the beginning is enough."`
}

// Help is printed by chive streams --help.
func (streamsCommand) Help() string {
	return `Lists the streams that wait for a circuit or have one, now or as of a past moment,
from the node's events. Where they lead, and who asked, is in no event.

Examples:
  chive streams
  chive streams --all --outcome timeout,connection-lost
  chive streams --at 12:00:00
  chive why stream --last`
}

var streamStates = []string{"waiting", "attached", "connected", "ended"}

// Run lists.
func (c streamsCommand) Run(std streams) error {
	if err := c.check(streamStates...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	all := c.all("ended")
	n, at, err := c.node(ctx, std, all)
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(n.StreamViews(all), func(v fold.StreamView) bool {
		return !begins(v.ID, c.ID) || !begins(v.Circuit, c.Circuit) || !begins(v.Isolation, c.Isolation) ||
			!c.want(v.State, v.Purpose, v.Outcome)
	})
	return table[fold.StreamView]{
		head: "STREAM\tSTATE\tAGE\tCONNECT\tATTEMPTS\tCIRCUIT\tPURPOSE\tISOLATION\tIN\tOUT\tOUTCOME", row: streamRow,
		none: "streams", hint: moreHint(all),
	}.print(std, c.Output, rows, at)
}

func streamRow(v fold.StreamView, at time.Time) string {
	in, out := "", ""
	if v.State == "ended" {
		in, out = fmt.Sprintf("%dK", v.BytesIn>>10), fmt.Sprintf("%dK", v.BytesOut>>10)
	}
	return cells(v.ID, v.State, age(v.Requested, lived(v.Ended, at)), millis(v.ConnectMS), fmt.Sprint(v.Attempts),
		v.Circuit, v.Purpose, v.Isolation, in, out, v.Outcome)
}
