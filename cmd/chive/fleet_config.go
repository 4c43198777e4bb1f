package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"chive/bridge"
	"chive/bridge/fleet"
	"chive/config"
	"chive/messages"
)

type fleetConfig struct {
	Get     fleetConfigGet     `cmd:"" help:"Show what the fleet sets."`
	Set     fleetConfigSet     `cmd:"" help:"Set an option on all nodes."`
	Reset   fleetConfigReset   `cmd:"" help:"Have the fleet set an option no more."`
	Apply   fleetConfigApply   `cmd:"" help:"Set what a file says, and nothing else."`
	Revert  fleetConfigRevert  `cmd:"" help:"Set what an earlier publication said."`
	History fleetConfigHistory `cmd:"" help:"List publications."`
	Sign    fleetConfigSign    `cmd:"" help:"Print a signed value for another NATS client to publish."`
}

type fleetConfigGet struct {
	fleetFlags
	Name   string `arg:"" optional:"" help:"Only this option."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text: as a torrc, or json: the publication."`
}

// Run asks and prints.
func (c fleetConfigGet) Run(std streams) error {
	return c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		p, err := f.Config(ctx)
		if errors.Is(err, fleet.ErrNothing) && c.Output == "text" && c.Name == "" {
			note(std.err, "%v", err)
			return nil
		}
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(std.out, p)
		}
		if c.Name == "" {
			fmt.Fprintf(std.out, "# revision %d, publication %d\n", p.Document.Revision, p.Number)
			if err := sayRefused(ctx, std.err, f, p.Number); err != nil {
				return err
			}
		}
		for _, l := range p.Document.Lines {
			switch {
			case c.Name == "":
				fmt.Fprint(std.out, config.Torrc(l.Name, []string{l.Value}))
			case strings.EqualFold(l.Name, c.Name):
				fmt.Fprintln(std.out, l.Value)
			}
		}
		return nil
	})
}

// sayRefused names the nodes that do not do what was published.
func sayRefused(ctx context.Context, w io.Writer, f *bridge.FleetConn, publication uint64) error {
	acks, err := f.Acks(ctx, publication)
	if err != nil {
		return err
	}
	var names []string
	for _, a := range acks {
		if a.State == messages.FleetRejected || a.State == messages.FleetReverted {
			names = append(names, printable(a.Node))
		}
	}
	if len(names) > 0 {
		note(w, "publication %d is not in force at %s: chive fleet status says why", publication, strings.Join(names, ", "))
	}
	return nil
}

type fleetConfigHistory struct {
	fleetFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of publications."`
}

// shownPublications is how many are listed.
const shownPublications = 64

// Run asks and prints.
func (c fleetConfigHistory) Run(std streams) error {
	return c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) error {
		last, err := f.Config(ctx)
		if errors.Is(err, fleet.ErrNothing) {
			note(std.err, "%v", err)
			return nil
		}
		if last.Number == 0 {
			return err
		}
		var all []fleet.Published
		for n := last.Number; n > 0 && len(all) < shownPublications; n-- {
			p, err := f.At(ctx, n)
			if p.Number == 0 && err != nil { // the bucket keeps so many
				break
			}
			all = append(all, p)
		}
		slices.Reverse(all)
		if c.Output == "json" {
			return printJSON(std.out, all)
		}
		for _, p := range all {
			fmt.Fprintln(std.out, publicationLine(p))
		}
		return nil
	})
}

func publicationLine(p fleet.Published) string {
	line := fmt.Sprintf("%6d  %s  ", p.Number, p.Stored.UTC().Format(time.DateTime))
	if p.Document.Revision == 0 {
		return line + "not a signed configuration"
	}
	var names []string
	for _, l := range p.Document.Lines {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	line += fmt.Sprintf("revision %d sets %s", p.Document.Revision, strings.Join(names, " "))
	if len(names) == 0 {
		line += "nothing"
	}
	if len(p.Document.Nodes) > 0 {
		line += " (" + strings.Join(p.Document.Nodes, ", ") + ")"
	}
	if p.Document.Note != "" {
		line += ": " + p.Document.Note
	}
	return printable(line)
}

type fleetConfigSet struct {
	publishFlags
	Name   string   `arg:"" help:"The option."`
	Values []string `arg:"" passthrough:"" help:"Its value; several are so many values of a list."`
}

// Help is printed by chive fleet config set --help.
func (fleetConfigSet) Help() string {
	return `Publishes what the fleet sets already, with this option changed, signed with the
key, and waits until every node that is there has said what it made of it. If one
rejects it or takes it back, what was set before is published again. A value with
blanks is one argument, in quotes. Flags stand before the option; a value that looks
like a flag comes after --.

Examples:
  chive fleet config set --key config.nk MaxCircuitDirtiness '5 minutes'
  chive fleet config set --key config.nk --canary 0.2 --watch 30s CircuitPoolMinSize 4
` + rolloutHelp
}

// Run publishes.
func (c fleetConfigSet) Run(std streams) error {
	values, err := given(c.Name, c.Values)
	if err != nil {
		return err
	}
	var lines []messages.ConfigLine
	for _, v := range values {
		lines = append(lines, messages.ConfigLine{Name: c.Name, Value: v})
	}
	return hinted(c.publish(std, func(before []messages.ConfigLine) ([]messages.ConfigLine, error) {
		return append(without(before, c.Name), lines...), nil
	}), c.Name, values)
}

// without leaves an option out.
func without(lines []messages.ConfigLine, name string) []messages.ConfigLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l messages.ConfigLine) bool { return strings.EqualFold(l.Name, name) })
}

type fleetConfigReset struct {
	publishFlags
	Names []string `arg:"" optional:"" help:"The options."`
	All   bool     `help:"All options."`
}

// Run publishes.
func (c fleetConfigReset) Run(std streams) error {
	if c.All == (len(c.Names) > 0) {
		return usage("name options, or say --all")
	}
	return c.publish(std, func(before []messages.ConfigLine) ([]messages.ConfigLine, error) {
		if c.All {
			return nil, nil
		}
		for _, n := range c.Names {
			if len(without(before, n)) == len(before) {
				return nil, usage("%s: the fleet does not set it", n)
			}
			before = without(before, n)
		}
		return before, nil
	})
}

type fleetConfigApply struct {
	publishFlags
	File string `arg:"" type:"existingfile" help:"Options as in a torrc."`
}

// Help is printed by chive fleet config apply --help.
func (fleetConfigApply) Help() string {
	return `Publishes what the file says in place of all that the fleet sets, as chive fleet
config set does.

Examples:
  chive fleet config apply --key config.nk fleet.torrc
` + rolloutHelp
}

// Run publishes.
func (c fleetConfigApply) Run(std streams) error {
	lines, err := linesOf(c.File)
	if err != nil {
		return err
	}
	return c.publish(std, func([]messages.ConfigLine) ([]messages.ConfigLine, error) { return lines, nil })
}

// linesOf reads options as a torrc says them.
func linesOf(file string) ([]messages.ConfigLine, error) {
	var r io.Reader = os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		defer f.Close()
		r = f
	}
	parsed, err := config.Parse(file, r)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	var lines []messages.ConfigLine
	for _, l := range parsed {
		lines = append(lines, messages.ConfigLine{Name: l.Key, Value: l.Value})
	}
	return lines, nil
}

type fleetConfigRevert struct {
	publishFlags
	Publication uint64 `arg:"" help:"The publication; chive fleet config history lists them."`
}

// Run publishes.
func (c fleetConfigRevert) Run(std streams) error {
	var old fleet.Published
	err := c.with(askTimeout, func(ctx context.Context, f *bridge.FleetConn) (err error) {
		old, err = f.At(ctx, c.Publication)
		return err
	})
	if err != nil {
		return err
	}
	return c.publish(std, func([]messages.ConfigLine) ([]messages.ConfigLine, error) { return old.Document.Lines, nil })
}

type fleetConfigSign struct {
	Key      string        `required:"" type:"existingfile" placeholder:"FILE" help:"The seed to sign with."`
	Fleet    string        `required:"" placeholder:"NAME" help:"The fleet's name."`
	Revision uint64        `required:"" placeholder:"N" help:"Higher than any before."`
	Expires  time.Duration `default:"720h" help:"How long nodes may begin with it."`
	Note     string        `help:"What it is for."`
	Nodes    []string      `sep:"," placeholder:"NODE" help:"Only these take it."`
	File     string        `arg:"" help:"Options as in a torrc; - is the standard input."`
}

// Help is printed by chive fleet config sign --help.
func (fleetConfigSign) Help() string {
	return `Nothing is published, and no node asked.

Example:
  chive fleet config sign --key config.nk --fleet f --revision 7 fleet.torrc |
    nats --context configure kv put chive-f-config all`
}

// Run signs.
func (c fleetConfigSign) Run(std streams) error {
	lines, err := linesOf(c.File)
	if err == nil {
		err = checkLines(lines)
	}
	if err != nil {
		return err
	}
	seed, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	value, err := fleet.Sign(seed, messages.FleetDocument{
		Fleet: c.Fleet, Revision: c.Revision, Time: now, Expires: now.Add(c.Expires), Note: c.Note, Nodes: c.Nodes, Lines: lines,
	})
	if err != nil {
		return usage("%w", err)
	}
	_, err = fmt.Fprintf(std.out, "%s\n", value)
	return err
}

// checkLines refuses what no node would take: what a node's own files say is not known
// here.
func checkLines(lines []messages.ConfigLine) error {
	var live []config.Live
	for _, l := range lines {
		if err := errors.Join(config.CheckName(l.Name, l.Value, false), config.AllowRemote(l.Name)); err != nil {
			return usage("%w", err)
		}
		name := config.Find(l.Name).Name
		at := slices.IndexFunc(live, func(o config.Live) bool { return o.Name == name })
		if at < 0 {
			live = append(live, config.Live{Name: name, Values: []string{l.Value}, Origin: config.FromFleet})
			continue
		}
		live[at].Values = append(live[at].Values, l.Value)
	}
	if _, err := (&config.Source{}).Load(live...); err != nil {
		return usage("%w", err)
	}
	return nil
}
