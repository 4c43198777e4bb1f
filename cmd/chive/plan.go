package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"chive/config"
	"chive/messages"
)

type planCommand struct {
	Old    string `arg:"" help:"The torrc a node runs with."`
	New    string `arg:"" help:"The torrc it would change to; - is standard input."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive plan --help.
func (planCommand) Help() string {
	return `Compares two torrcs and says, option by option, what a node that runs with the
first would do if it got the second: hot (it takes effect in the running node),
rebuild (likewise, and circuits built before take no new streams) or restart. No
node is asked, and nothing is opened or changed. Exits with 2 when one of the two
is not right.

Examples:
  chive plan torrc torrc.new
  git show HEAD:torrc | chive plan torrc - -o json`
}

// Run compares and prints.
func (c planCommand) Run(std streams) error {
	var both [2]*config.Config
	for i, file := range []string{c.Old, c.New} {
		l, err := (&config.Source{File: file}).Load()
		if err != nil {
			return &exitError{exitUsage, err}
		}
		both[i] = l.Config
	}
	var changes []messages.ConfigChange
	for _, ch := range config.Diff(both[0], both[1]) {
		changes = append(changes, messages.ConfigChange{
			Option: ch.Option.Name, Old: strings.Join(ch.Old, "\n"), New: strings.Join(ch.New, "\n"),
			Effect: string(ch.Option.Class), Note: ch.Option.Effect,
		})
	}
	if c.Output == "json" {
		return printJSON(std.out, changes)
	}
	printChanges(std.out, changes)
	return nil
}

// printChanges shows a plan or a difference, a change a paragraph, what asks
// most of the node last.
func printChanges(w io.Writer, changes []messages.ConfigChange) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "no difference")
		return
	}
	for _, effect := range []config.Class{config.Hot, config.Rebuild, config.Restart} {
		for _, c := range changes {
			if c.Effect != string(effect) {
				continue
			}
			fmt.Fprintf(w, "%-8s %s\n", c.Effect, c.Option)
			printValue(w, "-", c.Old)
			printValue(w, "+", c.New)
			fmt.Fprintf(w, "         %s\n", c.Note)
		}
	}
}

func printValue(w io.Writer, sign, values string) {
	if values == "" {
		return
	}
	for v := range strings.SplitSeq(values, "\n") {
		fmt.Fprintf(w, "       %s %s\n", sign, v)
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
