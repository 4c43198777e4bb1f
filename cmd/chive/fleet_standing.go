package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"chive/bridge"
	"chive/bridge/fleet"
)

// members are the nodes that are there, and how the servers are that say so.
func members(ctx context.Context, f *bridge.FleetConn) ([]fleet.Seen, fleet.Standing, error) {
	all, err := f.Members(ctx)
	if err != nil {
		return nil, fleet.Standing{}, err
	}
	if all == nil {
		all = []fleet.Seen{} // a list of none in JSON, too
	}
	s, err := f.Standing(ctx)
	return all, s, err
}

// old is how long nothing was heard of a node by then, and whether that is too long.
func old(s fleet.Seen, standing fleet.Standing) (time.Duration, bool) {
	age := max(standing.Time.Sub(s.Heard), 0)
	return age, age > fleet.Old
}

// printStanding says below a list what of it may not be so any more.
func printStanding(w io.Writer, all []fleet.Seen, s fleet.Standing) {
	switch {
	case s.Stores && len(all) == 0:
		fmt.Fprintln(w, "no node has been heard of for some seconds: their logs say why")
	case !s.Stores && s.There >= s.Needed():
		fmt.Fprintf(w, "The fleet's %s follow none of them just now, so what is listed may be old. Ask again.\n", count(s.Servers, "NATS server"))
	case !s.Stores:
		fmt.Fprintf(w, "NO MAJORITY: of the fleet's %s %s there, and %d have to be for anything to be stored.\n", count(s.Servers, "NATS server"), are(s.There, strconv.Itoa(s.There)), s.Needed())
		fmt.Fprintln(w, "What is listed is old and ends by itself; no configuration can be published, and nobody")
		fmt.Fprintln(w, "publishes onion services that nodes share. docs/fleet.md says how many servers bear a loss.")
	case s.Servers%2 == 0:
		fmt.Fprintf(w, "%s hold what the fleet stores: without %d of them nothing is stored (docs/fleet.md)\n", count(s.Servers, "NATS server"), s.Servers-s.Needed()+1)
	}
	var late []string
	for _, m := range all {
		if age, is := old(m, s); is {
			late = append(late, fmt.Sprintf("%s (%s)", printable(m.Node), brief(age)))
		}
	}
	if len(late) > 0 {
		fmt.Fprintf(w, "not heard of lately, so not to be relied on: %s\n", strings.Join(late, ", "))
	}
}
