package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"chive/bridge"
	"chive/config"
	"chive/messages"
)

// changeTimeout is how long a change of the configuration may take.
const changeTimeout = 60 * time.Second

type configCommand struct {
	Show    configShow    `cmd:"" help:"Show what is in force, and where it comes from."`
	Set     configSet     `cmd:"" help:"Set an option for this run of the node, over what the files say."`
	Reset   configReset   `cmd:"" help:"Take back what chive config set has set."`
	History configHistory `cmd:"" help:"List the revisions and what was refused."`
	Diff    configDiff    `cmd:"" help:"Show what differs between two revisions."`
	Revert  configRevert  `cmd:"" help:"Go back to a revision."`
}

type configShow struct {
	nodeFlags
	Name   string `arg:"" optional:"" help:"Only this option."`
	Set    bool   `help:"Only options that something sets, as a torrc."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive config show --help.
func (configShow) Help() string {
	return `Examples:
  chive config show
  chive config show MaxCircuitDirtiness
  chive config show --set > torrc`
}

// Run asks and prints.
func (c configShow) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		v, err := client.ConfigView(ctx)
		switch {
		case err != nil:
			return err
		case c.Name != "":
			return c.one(std.out, v)
		case c.Output == "json":
			return printJSON(std.out, v)
		case c.Set:
			for _, s := range v.Settings {
				if s.Origin != config.FromDefault.String() {
					fmt.Fprint(std.out, config.Torrc(s.Option, s.Values))
				}
			}
			return nil
		}
		printView(std.out, v)
		return nil
	})
}

func (c configShow) one(w io.Writer, v messages.ConfigView) error {
	for _, s := range v.Settings {
		if !strings.EqualFold(s.Option, c.Name) {
			continue
		}
		if c.Output == "json" {
			return printJSON(w, s)
		}
		for _, value := range s.Values {
			fmt.Fprintln(w, value)
		}
		return nil
	}
	return usage("%s: unknown option (chive options lists them)", c.Name)
}

func printView(w io.Writer, v messages.ConfigView) {
	fmt.Fprintf(w, "# revision %d\n", v.Revision)
	for _, s := range v.Settings {
		if len(s.Values) == 0 {
			fmt.Fprintf(w, "# %-29s (%s)\n", s.Option, s.Origin)
		}
		for _, value := range s.Values {
			fmt.Fprintf(w, "%-30s %s  # %s\n", s.Option, value, s.Origin)
		}
	}
	if len(v.Waiting) > 0 {
		fmt.Fprintln(w, "\n# waits for a restart:")
		printChanges(w, v.Waiting)
	}
	if v.Rejected != "" {
		fmt.Fprintf(w, "\n# the last change was refused: %s\n", strings.ReplaceAll(v.Rejected, "\n", "\n# "))
	}
}

type configSet struct {
	nodeFlags
	Name   string   `arg:"" help:"The option."`
	Values []string `arg:"" passthrough:"" help:"Its value; several are so many values of a list."`
	DryRun bool     `help:"Only say what it would do."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive config set --help.
func (configSet) Help() string {
	return `Sets an option in the running node, over what the torrc, the environment and the
command line say, until chive config reset or the end of the run. A value with
blanks is one argument, in quotes. Flags stand before the option; a value that looks
like a flag comes after --.

Examples:
  chive config set LogLevel debug
  chive config set --dry-run MaxCircuitDirtiness '5 minutes'
  chive config set SocksPort 9050 '9150 IsolateDestAddr'`
}

// Run asks and prints.
func (c configSet) Run(std streams) error {
	values, err := given(c.Name, c.Values)
	if err != nil {
		return err
	}
	p := messages.ConfigProposal{Source: messages.ConfigFromControl, DryRun: c.DryRun}
	for _, v := range values {
		p.Lines = append(p.Lines, messages.ConfigLine{Name: c.Name, Value: v})
	}
	return hinted(c.propose(std, c.Output, p), c.Name, values)
}

type configReset struct {
	nodeFlags
	Names  []string `arg:"" optional:"" help:"The options."`
	All    bool     `help:"All options."`
	DryRun bool     `help:"Only say what it would do."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive config reset --help.
func (configReset) Help() string {
	return `Examples:
  chive config reset LogLevel
  chive config reset --all`
}

// Run asks and prints.
func (c configReset) Run(std streams) error {
	if c.All == (len(c.Names) > 0) {
		return usage("name options, or say --all")
	}
	p := messages.ConfigProposal{Source: messages.ConfigFromControl, DryRun: c.DryRun, Replace: c.All}
	for _, n := range c.Names {
		p.Lines = append(p.Lines, messages.ConfigLine{Name: n, Reset: true})
	}
	return c.propose(std, c.Output, p)
}

func (f nodeFlags) propose(std streams, output string, p messages.ConfigProposal) error {
	return f.change(std, output, func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		return client.ProposeConfig(ctx, p)
	})
}

type configHistory struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Run asks and prints.
func (c configHistory) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		all, err := client.ConfigHistory(ctx)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(std.out, all)
		}
		for _, r := range all {
			fmt.Fprintln(std.out, historyLine(r))
		}
		return nil
	})
}

func historyLine(r messages.ConfigRevision) string {
	number := "rejected"
	if r.Revision > 0 {
		number = fmt.Sprint(r.Revision)
	}
	line := fmt.Sprintf("%8s  %s  %-7s", number, r.Time.UTC().Format(time.DateTime), r.Source)
	var names []string
	for _, c := range r.Changes {
		names = append(names, c.Option)
	}
	if r.FleetRevision > 0 {
		names = append(names, fmt.Sprintf("(fleet's revision %d)", r.FleetRevision))
	}
	if r.RevertOf > 0 {
		names = append(names, fmt.Sprintf("(back to %d)", r.RevertOf))
	}
	if r.Reason != "" {
		reason, _, more := strings.Cut(r.Reason, "\n")
		if more {
			reason += " …"
		}
		names = append(names, reason)
	}
	return strings.TrimRight(line+"  "+strings.Join(names, " "), " ")
}

type configDiff struct {
	nodeFlags
	From   uint64 `arg:"" optional:"" help:"The one revision."`
	To     uint64 `arg:"" optional:"" help:"The other; none is what is in force."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive config diff --help.
func (configDiff) Help() string {
	return `Examples:
  chive config history
  chive config diff 3
  chive config diff 2 3`
}

// Run asks and prints.
func (c configDiff) Run(std streams) error {
	if c.From == 0 {
		return usage("name the revision to compare with what is in force, or two revisions: chive config history lists them")
	}
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		changes, err := client.ConfigDiff(ctx, c.From, c.To)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(std.out, changes)
		}
		printChanges(std.out, changes)
		return nil
	})
}

type configRevert struct {
	nodeFlags
	Revision uint64 `arg:"" help:"The revision to go back to."`
	Services bool   `help:"Onion services that were added (chive onion add) go back, too."`
	DryRun   bool   `help:"Only say what it would do."`
	Output   string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive config revert --help.
func (configRevert) Help() string {
	return `Sets what differs from the revision, as chive config set would; files stay as
they are. Options that need a restart cannot go back. Onion services that were
added since (chive onion add) stay, and what chive onion rm took out stays out; the
answer says how many. With --services they go back, too, for later runs as well: those
that were added since are hosted no longer, and their keys stay.

Examples:
  chive config history
  chive config revert --dry-run 3
  chive config revert 3
  chive config revert --services 3`
}

// Run asks and prints.
func (c configRevert) Run(std streams) error {
	return c.change(std, c.Output, func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		return client.RevertConfig(ctx, messages.ConfigRevert{Revision: c.Revision, Services: c.Services, DryRun: c.DryRun})
	})
}

// say asks a node one thing and prints the answer: as JSON, or what text makes of it.
func say[T any](f nodeFlags, std streams, output, verb string, question []byte, text func(T) string) error {
	return f.with(func(ctx context.Context, client *bridge.Client) error {
		answer, err := client.Request(ctx, verb, question)
		if err != nil {
			return err
		}
		var a T
		if err := json.Unmarshal(answer, &a); err != nil {
			return fmt.Errorf("the node's answer: %w", err)
		}
		if output == "json" {
			return printJSON(std.out, a)
		}
		_, err = fmt.Fprintln(std.out, text(a))
		return err
	})
}

// with reaches the node for a question.
func (f nodeFlags) with(ask func(context.Context, *bridge.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	client, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return ask(ctx, client)
}
