package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"chive/bridge"
	"chive/bridge/fleet"
)

type fleetOnions struct {
	fleetFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive fleet onions --help.
func (fleetOnions) Help() string {
	return `Services have names here that their addresses do not follow from; chive onion show at
a node tells both. NODES are those that take clients, with their introduction points.
EPOCH grows with each change of publisher, by more than one. DESCRIPTOR is how long ago the
newest was made, by the clock of the node that made it, HEARD how long ago a node last said
something of the service: one that says that it publishes is believed for twelve seconds and a
half. With no publisher for more than some seconds the last descriptor ends three hours after it was made: see chive onion why
at the nodes. What is below the list says when it is old, as when the servers have no majority;
with -o json that is said on standard error.

Examples:
  chive fleet onions
  chive fleet onions --server tls://nats.example:4222 --credential nats.creds`
}

// Run asks and prints.
func (c fleetOnions) Run(std streams) error {
	return c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		all, standing, err := members(ctx, f)
		if err != nil {
			return err
		}
		services := sharedBy(all, standing)
		if c.Output == "json" {
			printStanding(std.err, all, standing)
			return printJSON(std.out, services)
		}
		if len(all) > 0 {
			if err := printShared(std.out, services, standing, time.Now()); err != nil {
				return err
			}
		}
		printStanding(std.out, all, standing)
		return nil
	})
}

// sharedService is an onion service that nodes of the fleet host together.
type sharedService struct {
	Name      string         `json:"name"`
	Publisher string         `json:"publisher,omitempty"` // "": none is known
	Epoch     uint64         `json:"epoch"`
	Nodes     map[string]int `json:"nodes"` // their introduction points
	Described time.Time      `json:"described,omitzero"`
	Heard     time.Time      `json:"heard,omitzero"` // when a node last said something of it, by the servers' clock
}

// sharedBy gathers what nodes say. When two say that they publish, what one says is older:
// that of the higher epoch counts. A right to publish ends in seconds, so that of a node that was
// not heard of lately, or that servers without a majority could not have stored, is none.
func sharedBy(all []fleet.Seen, standing fleet.Standing) []*sharedService {
	services := []*sharedService{}
	for _, node := range all {
		_, late := old(node, standing)
		for _, s := range node.Shared {
			i := slices.IndexFunc(services, func(o *sharedService) bool { return o.Name == s.Name })
			if i < 0 {
				i = len(services)
				services = append(services, &sharedService{Name: s.Name, Nodes: map[string]int{}})
			}
			o := services[i]
			o.Nodes[node.Node] = s.Points
			if s.Publishes && !late && standing.Stores && (o.Publisher == "" || s.Epoch > o.Epoch) {
				o.Publisher = node.Node
			}
			o.Epoch = max(o.Epoch, s.Epoch)
			if node.Heard.After(o.Heard) {
				o.Heard = node.Heard
			}
			if s.Described.After(o.Described) {
				o.Described = s.Described
			}
		}
	}
	slices.SortFunc(services, func(a, b *sharedService) int { return cmp.Compare(a.Name, b.Name) })
	return services
}

func printShared(w io.Writer, services []*sharedService, standing fleet.Standing, now time.Time) error {
	if len(services) == 0 {
		fmt.Fprintln(w, "no onion service is hosted by several nodes (HiddenServiceShared)")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tPUBLISHER\tEPOCH\tDESCRIPTOR\tHEARD\tNODES")
	for _, s := range services {
		publisher, described := s.Publisher, "-"
		if publisher == "" {
			publisher = "none is known"
		}
		if !s.Described.IsZero() {
			described = brief(max(now.Sub(s.Described), 0))
		}
		var nodes []string
		for name, points := range s.Nodes {
			nodes = append(nodes, fmt.Sprintf("%s (%d)", printable(name), points))
		}
		slices.Sort(nodes)
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", printable(s.Name), printable(publisher), s.Epoch, described, brief(max(standing.Time.Sub(s.Heard), 0)), strings.Join(nodes, ", "))
	}
	return t.Flush()
}
