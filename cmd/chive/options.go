package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"chive/config"
)

type optionsCommand struct {
	Name   string `arg:"" optional:"" help:"Only this option, in full."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
	All    bool   `help:"Also list C tor's options that chive refuses, with the reason."`
}

// Help is printed by chive options --help.
func (optionsCommand) Help() string {
	return `Examples:
  chive options
  chive options SocksPort
  chive options --all | grep Guard`
}

// Run prints the option table.
func (c optionsCommand) Run(std streams) error {
	all, refused := config.Options(), config.RefusedOptions()
	if c.Name != "" {
		return c.one(std.out, all, refused)
	}
	if c.Output == "json" {
		return c.json(std.out, all, refused)
	}
	for _, o := range all {
		fmt.Fprintf(std.out, "%-30s %-10s %s\n", o.Name, o.Type, o.Default)
	}
	if c.All {
		fmt.Fprintln(std.out)
		for _, r := range refused {
			fmt.Fprintf(std.out, "%-30s refused: %s\n", r.Name, r.Reason)
		}
	}
	return nil
}

func (c optionsCommand) one(out io.Writer, all []config.Option, refused []config.Refused) error {
	for _, o := range all {
		if strings.EqualFold(o.Name, c.Name) {
			return c.show(out, o)
		}
	}
	for _, r := range refused {
		if strings.EqualFold(r.Name, c.Name) {
			_, err := fmt.Fprintf(out, "%s is refused: %s\n", r.Name, r.Reason)
			return err
		}
	}
	return usage("%s: unknown option", c.Name)
}

func (c optionsCommand) show(out io.Writer, o config.Option) error {
	if c.Output == "json" {
		return json.NewEncoder(out).Encode(o)
	}
	fmt.Fprintf(out, "%s %s\n", o.Name, strings.ToUpper(o.Type))
	for _, row := range [][2]string{
		{"default", o.Default},
		{"in a test network", o.TestingDefault},
		{"unit of a bare number", o.Unit},
		{"values", o.Range},
		{"may be repeated", yes(o.List)},
		{"chive's own", yes(o.Own)},
		{"a secret", yes(o.Secret)},
		{"a change is", string(o.Class)},
		{"takes effect", o.Effect},
		{"the fleet may not set it", o.RemoteDenied},
		{"differs from C tor", o.Differs},
	} {
		if row[1] != "" {
			fmt.Fprintf(out, "  %s: %s\n", row[0], row[1])
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", o.Doc)
	return err
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (c optionsCommand) json(out io.Writer, all []config.Option, refused []config.Refused) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	if !c.All {
		return e.Encode(all)
	}
	return e.Encode(map[string]any{"options": all, "refused": refused})
}
