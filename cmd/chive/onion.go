package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chive/actors/hosting"
	"chive/actors/node"
	"chive/bridge"
	"chive/config"
	"chive/messages"
)

type onionCommand struct {
	Ls   onionList   `cmd:"" help:"List the onion services that the node hosts."`
	Show onionShow   `cmd:"" help:"Show one with its introduction points and what is published."`
	Add  onionAdd    `cmd:"" help:"Host one more, for this run of the node."`
	Rm   onionRemove `cmd:"" help:"Host one no more, for this run of the node; its keys stay."`
}

const serviceDir = "HiddenServiceDir"

type onionList struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// Help is printed by chive onion ls --help.
func (onionList) Help() string {
	return `A service is published when both of its periods have a descriptor at a directory; UP are
its introduction points that work. CLIENTS are circuits on which somebody is met now.
Addresses are shown on this machine only.

Examples:
  chive onion ls
  chive onion ls -o json`
}

// Run asks and prints.
func (c onionList) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		all, err := hosted(ctx, client)
		if err != nil {
			return err
		}
		return table[hosting.Status]{
			head: "ADDRESS\tSTATE\tPORTS\tUP\tSTORED\tCLIENTS\tMET\tFOLDER", row: serviceRow, none: "onion services",
		}.print(std, c.Output, all, time.Now())
	})
}

func hosted(ctx context.Context, client *bridge.Client) ([]hosting.Status, error) {
	answer, err := client.Request(ctx, messages.VerbHosting, nil)
	if err != nil {
		return nil, err
	}
	var a node.HostingAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("the node's answer: %w", err)
	}
	return a.Services, nil
}

func serviceRow(s hosting.Status, _ time.Time) string {
	up, stored, directories := 0, 0, 0
	for _, p := range s.Points {
		if p.State == "up" {
			up++
		}
	}
	for _, p := range s.Periods {
		stored += p.Stored
		directories += p.Directories
	}
	return cells(s.Address, s.State, portList(s.Ports), fmt.Sprint(up), fmt.Sprintf("%d/%d", stored, directories),
		fmt.Sprint(s.Clients), fmt.Sprint(s.Met), folder(s))
}

// folder is where a service's keys are.
func folder(s hosting.Status) string {
	if s.Dir == "" {
		return "(in memory)"
	}
	return s.Dir
}

func portList(ports []uint16) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprint(p)
	}
	return strings.Join(words, ",")
}

type onionShow struct {
	nodeFlags
	Service string `arg:"" help:"Its address, its folder, or the beginning of its address."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Run asks and prints.
func (c onionShow) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		all, err := hosted(ctx, client)
		if err != nil {
			return err
		}
		s, err := pick(all, c.Service)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(std.out, s)
		}
		printService(std, s)
		return nil
	})
}

// pick finds the one service that is meant.
func pick(all []hosting.Status, name string) (hosting.Status, error) {
	folder, _ := filepath.Abs(name) // fails only without a working directory: then it is an address
	var found []hosting.Status
	for _, s := range all {
		if s.Address != "" && strings.HasPrefix(s.Address, strings.ToLower(name)) || s.Dir == folder || s.ID == name {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return hosting.Status{}, errors.New("the node hosts no such onion service (chive onion ls lists them)")
	case 1:
		return found[0], nil
	}
	return hosting.Status{}, usage("%d onion services begin like that", len(found))
}

func printService(std streams, s hosting.Status) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(std.out, "%-14s %s\n", what, printable(fmt.Sprintf(format, args...)))
	}
	line("address", "%s", s.Address)
	line("folder", "%s", folder(s))
	if s.Program {
		line("hosted by", "the program that the node runs in")
	}
	line("state", "%s", s.State)
	line("ports", "%s", portList(s.Ports))
	if s.Restricted {
		line("found by", "authorised clients only")
	}
	line("clients", "%d now, %d met, %d missed", s.Clients, s.Met, s.Missed)
	line("introductions", "%d, %d of them refused", s.Introductions, s.Refused)
	if s.Effort > 0 {
		line("proof of work", "effort %d is suggested", s.Effort)
	}
	if s.Problem != "" {
		line("problem", "%s", s.Problem)
	}
	for _, p := range s.Points {
		line("introduction", "point %d: %s, relay %s, %d introductions, until %s", p.ID, p.State, p.Relay, p.Introductions, p.Expires.UTC().Format(time.DateTime))
	}
	for _, p := range s.Periods {
		text := "not published"
		if !p.Published.IsZero() {
			text = fmt.Sprintf("%d introduction points, at %d of %d directories, since %s, anew at %s", p.Points, p.Stored, p.Directories,
				p.Published.UTC().Format(time.DateTime), p.Next.UTC().Format(time.DateTime))
		}
		if p.Problem != "" {
			text += ": " + p.Problem
		}
		line("period", "%d: %s", p.Number, text)
	}
}

type onionAdd struct {
	nodeFlags
	Folder string   `arg:"" help:"The folder of its keys; it is made, with a new key, if it is not there."`
	Ports  []string `arg:"" help:"Its ports, each as in HiddenServicePort."`
	With   []string `sep:"none" help:"A further option of the service, as in a torrc; may be given many times."`
	DryRun bool     `help:"Only say what it would do."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive onion add --help.
func (onionAdd) Help() string {
	return `Has the running node host one more onion service, until chive onion rm or the end of the
run. To have it for ever put the lines into the torrc. A value with blanks is one argument.

Examples:
  chive onion add /var/lib/chive/site 80
  chive onion add /var/lib/chive/site '80 127.0.0.1:8080' '22 unix:/run/ssh.sock'
  chive onion add /var/lib/chive/site 80 --with 'HiddenServiceMaxStreams 20'`
}

// Run asks and prints.
func (c onionAdd) Run(std streams) error {
	folder, err := filepath.Abs(c.Folder)
	if err != nil {
		return usage("%w", err)
	}
	value := folder
	for _, p := range c.Ports {
		value += "; HiddenServicePort " + p
	}
	for _, w := range c.With {
		value += "; " + w
	}
	err = c.rewrite(std, c.Output, c.DryRun, func(values []string) ([]string, error) { return append(values, value), nil })
	if err != nil || c.DryRun || c.Output == "json" {
		return err
	}
	host, err := os.ReadFile(filepath.Join(folder, "hostname"))
	if err != nil {
		return fmt.Errorf("the service's address: %w", err)
	}
	_, err = fmt.Fprint(std.out, printable(strings.TrimSpace(string(host))), "\n")
	return err
}

type onionRemove struct {
	nodeFlags
	Service string `arg:"" help:"Its address, its folder, or the beginning of its address."`
	DryRun  bool   `help:"Only say what it would do."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Run asks and prints.
func (c onionRemove) Run(std streams) error {
	var dir string
	err := c.with(func(ctx context.Context, client *bridge.Client) error {
		all, err := hosted(ctx, client)
		if err != nil {
			return err
		}
		s, err := pick(all, c.Service)
		dir = s.Dir
		if err == nil && s.Program {
			err = errors.New("the program that the node runs in hosts this service: only that can end it")
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.rewrite(std, c.Output, c.DryRun, func(values []string) ([]string, error) {
		left := slices.DeleteFunc(slices.Clone(values), func(v string) bool {
			return v == dir || strings.HasPrefix(v, dir+";")
		})
		if len(left) == len(values) {
			return nil, errors.New("the node's configuration has no such service")
		}
		return left, nil
	})
}

// rewrite changes the services of the running node.
func (f nodeFlags) rewrite(std streams, output string, dryRun bool, change func([]string) ([]string, error)) error {
	return f.change(std, output, func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		v, err := client.ConfigView(ctx)
		if err != nil {
			return messages.ConfigResult{}, err
		}
		i := slices.IndexFunc(v.Settings, func(s messages.ConfigSetting) bool { return s.Option == serviceDir })
		if i < 0 {
			return messages.ConfigResult{}, errors.New("the node hosts no onion services: it is of another version")
		}
		values, err := change(v.Settings[i].Values)
		if err != nil {
			return messages.ConfigResult{}, err
		}
		p := messages.ConfigProposal{Source: messages.ConfigFromControl, DryRun: dryRun}
		for _, value := range values {
			p.Lines = append(p.Lines, messages.ConfigLine{Name: serviceDir, Value: value})
		}
		if len(values) == 0 {
			if v.Settings[i].Origin != config.FromOperator.String() {
				return messages.ConfigResult{}, errors.New("it is the only one, and stands in the torrc: take its lines out there, then chive reload")
			}
			p.Lines = []messages.ConfigLine{{Name: serviceDir, Reset: true}}
		}
		return client.ProposeConfig(ctx, p)
	})
}
