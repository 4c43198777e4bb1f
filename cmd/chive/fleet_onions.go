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
DESCRIPTOR is how old the newest is. With no publisher for more than some seconds the last
descriptor ends three hours after it was made: see chive onion why at the nodes.

Examples:
  chive fleet onions
  chive fleet onions --server tls://nats.example:4222 --credential nats.creds`
}

// Run asks and prints.
func (c fleetOnions) Run(std streams) error {
	return c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		all, err := f.Members(ctx)
		if err != nil {
			return err
		}
		services := sharedBy(all)
		if c.Output == "json" {
			return printJSON(std.out, services)
		}
		return printShared(std.out, services, time.Now())
	})
}

// sharedService is an onion service that nodes of the fleet host together.
type sharedService struct {
	Name      string         `json:"name"`
	Publisher string         `json:"publisher,omitempty"` // "": none is known
	Epoch     uint64         `json:"epoch"`
	Nodes     map[string]int `json:"nodes"` // their introduction points
	Described time.Time      `json:"described,omitzero"`
}

// sharedBy gathers what nodes say. When two say that they publish, what one says is older:
// that of the higher epoch counts.
func sharedBy(all []fleet.Seen) []*sharedService {
	services := []*sharedService{}
	for _, node := range all {
		for _, s := range node.Shared {
			i := slices.IndexFunc(services, func(o *sharedService) bool { return o.Name == s.Name })
			if i < 0 {
				i = len(services)
				services = append(services, &sharedService{Name: s.Name, Nodes: map[string]int{}})
			}
			o := services[i]
			o.Nodes[node.Node] = s.Points
			if s.Publishes && (o.Publisher == "" || s.Epoch > o.Epoch) {
				o.Publisher = node.Node
			}
			o.Epoch = max(o.Epoch, s.Epoch)
			if s.Described.After(o.Described) {
				o.Described = s.Described
			}
		}
	}
	slices.SortFunc(services, func(a, b *sharedService) int { return cmp.Compare(a.Name, b.Name) })
	return services
}

func printShared(w io.Writer, services []*sharedService, now time.Time) error {
	if len(services) == 0 {
		fmt.Fprintln(w, "no onion service is hosted by several nodes (HiddenServiceShared)")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tPUBLISHER\tEPOCH\tDESCRIPTOR\tNODES")
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
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", printable(s.Name), printable(publisher), s.Epoch, described, strings.Join(nodes, ", "))
	}
	return t.Flush()
}
