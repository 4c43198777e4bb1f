package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
	Ls     onionList   `cmd:"" help:"List the onion services that the node hosts."`
	Show   onionShow   `cmd:"" help:"Show a hosted service with its introduction points and what is published."`
	Verify onionVerify `cmd:"" help:"Visit a hosted service as its clients do, and say how far that came."`
	Why    onionWhy    `cmd:"" help:"Tell when a hosted service was down, and why."`
	Add    onionAdd    `cmd:"" help:"Host one more onion service, from now on."`
	Rm     onionRemove `cmd:"" help:"Host a service that was added no longer; its keys stay."`

	Client   onionClient   `cmd:"" help:"Say who may find a hosted service."`
	Auth     onionAuth     `cmd:"" help:"Keys to find services with that not everybody may find."`
	Delegate onionDelegate `cmd:"" help:"Make keys for a host that does not get the identity key."`
}

const serviceDir = "HiddenServiceDir"

type onionList struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// Help is printed by chive onion ls --help.
func (onionList) Help() string {
	return `A service is up when somebody met it of late through what is published: a client, or the
node itself, which visits it (OnionVerifyPeriod); VERIFIED says how long ago that was. It is
impaired when one introduction point or directory is of no use, broken when nobody reaches
it, and unverified when there is no network to visit it by. Before the first visit it is
publishing, then published when both of its periods have a descriptor at a directory. On
standby another node of the fleet publishes it (HiddenServiceShared); failed, its folder
cannot be used, which the log explains; ending, the node is about to end, and it meets nobody
new. POINTS are its introduction points that work. CLIENTS are circuits on which somebody is
met now. FROM is where it comes from: the torrc, the environment, the command-line, or the
program that the node runs in; added is chive onion add, and transient the same for this run
alone. Addresses are shown on this machine only. Under the table stands which services' targets,
where HiddenServicePort leads to, did not answer the last client: no visit of the node asks them.

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
		err = table[hosting.Status]{
			head: "ADDRESS\tSTATE\tVERIFIED\tPORTS\tPOINTS\tSTORED\tCLIENTS\tMET\tFROM\tFOLDER", row: serviceRow, none: "onion services",
		}.print(std, c.Output, all, time.Now())
		if err != nil || c.Output == "json" {
			return err
		}
		for _, s := range all {
			printRefusing(std.out, s, s.Address+": ")
		}
		return nil
	})
}

// printRefusing says plainly what targets of a service do not answer: that it is up says
// nothing of them.
func printRefusing(w io.Writer, s hosting.Status, before string) {
	for _, t := range s.Targets {
		if t.State != "refuses" {
			continue
		}
		reach := "clients reach the service"
		if h := s.Health; s.State == hosting.Ending || h == nil || h.Verdict != "up" && h.Verdict != "impaired" {
			reach = "whether clients reach the service or not"
		}
		fmt.Fprintln(w, printable(fmt.Sprintf("%s%s, its target does not answer: %s", before, reach, targetWords(t))))
	}
}

// targetWords says how a target is.
func targetWords(t hosting.Target) string {
	to := fmt.Sprintf("port %d to %s", t.Port, t.Target)
	switch t.State {
	case "refuses":
		times := "1 stream"
		if t.Failed > 1 {
			times = fmt.Sprintf("%d streams in a row, the last at %s", t.Failed, t.Last.UTC().Format(time.DateTime))
		}
		return fmt.Sprintf("%s has refused since %s UTC, %s (%s)", to, t.Since.UTC().Format(time.DateTime), times, t.Reason)
	case "answers":
		return fmt.Sprintf("%s answered, last at %s UTC", to, t.Last.UTC().Format(time.DateTime))
	}
	return to + ", which no client has asked for yet"
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

func serviceRow(s hosting.Status, now time.Time) string {
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
	return cells(s.Address, s.State, verifiedAgo(s.Health, now), portList(s.Ports), fmt.Sprint(up), fmt.Sprintf("%d/%d", stored, directories),
		fmt.Sprint(s.Clients), fmt.Sprint(s.Met), fromWord(s.From), folder(s))
}

// folder is where a service's keys are.
func folder(s hosting.Status) string {
	if s.Dir == "" {
		return "(in memory)"
	}
	return s.Dir
}

// fromWord is one word for who says that a service is hosted.
func fromWord(from string) string {
	switch from {
	case config.FromAdded.String():
		return "added"
	case config.FromFile.String():
		return "torrc"
	}
	return strings.ReplaceAll(from, " ", "-")
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

// Help is printed by chive onion show --help.
func (onionShow) Help() string {
	return `Counts are those since the service started in this run of the node. Introductions are by
clients, and those of the points that are listed are a part of them: points come and go. The
node's own visits (OnionVerifyPeriod, chive onion verify) are told beside them and are in no
other figure. A target is where a port leads to; whether it answers is known from clients'
streams alone.

Examples:
  chive onion show 3g2upl4p
  chive onion show /var/lib/chive/site -o json`
}

// Run asks and prints.
func (c onionShow) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		s, err := find(ctx, client, c.Service)
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

// find asks the node for the one service that is meant.
func find(ctx context.Context, client *bridge.Client, name string) (hosting.Status, error) {
	all, err := hosted(ctx, client)
	if err != nil {
		return hosting.Status{}, err
	}
	return pick(all, name)
}

// errNotHosted: the node hosts nothing by that name.
var errNotHosted = errors.New("the node hosts no such onion service (chive onion ls lists them)")

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
		return hosting.Status{}, errNotHosted
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
	line("from", "%s", fromWord(s.From))
	line("state", "%s", s.State)
	line("ports", "%s", portList(s.Ports))
	for _, t := range s.Targets {
		line("target", "%s", targetWords(t))
	}
	if s.Restricted {
		line("found by", "authorised clients only")
	}
	line("clients", "%d now, %d met, %d missed", s.Clients, s.Met, s.Missed)
	line("introductions", "%d by clients, %d of them refused; and %s of the node itself", s.Introductions, s.Refused, count(int(s.Visits), "visit"))
	if s.Effort > 0 {
		line("proof of work", "effort %d is suggested", s.Effort)
	}
	if k := s.Keys; k != nil {
		line("keys", "%s", delegatedKeys(k, time.Now()))
	}
	if s.Shared != nil {
		line("shared", "%s", publisherOf(s.Shared))
		if s.Shared.Name != "" {
			line("in the fleet", "%s", s.Shared.Name)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Shared.Others)) {
			line("other node", "%s, %d introduction points", name, s.Shared.Others[name])
		}
	}
	if s.Problem != "" {
		line("problem", "%s", s.Problem)
	}
	printHealth(line, s.Health, time.Now())
	for _, p := range s.Points {
		line("introduction", "point %d: %s, relay %s, %d by clients and %s, until %s", p.ID, p.State, p.Relay, p.Introductions,
			count(int(p.Visits), "visit"), p.Expires.UTC().Format(time.DateTime))
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

// publisherOf says which of the nodes that share a service publishes it.
func publisherOf(s *hosting.SharedStatus) string {
	switch {
	case s.Away:
		return "this node takes no part, for it is drained or about to end (chive onion why says who published then)"
	case s.Publishes:
		return fmt.Sprintf("this node publishes the introduction points of all, epoch %d", s.Epoch)
	case s.Publisher != "":
		return fmt.Sprintf("%s publishes, epoch %d", s.Publisher, s.Epoch)
	}
	return "no node is known to publish"
}

type onionAdd struct {
	nodeFlags
	Folder    string   `arg:"" help:"The folder of its keys; it is made, with a new key, if it is not there."`
	Ports     []string `arg:"" help:"Its ports, each as in HiddenServicePort."`
	With      []string `sep:"none" help:"A further option of the service, as in a torrc; may be given many times."`
	Transient bool     `help:"For this run of the node alone."`
	DryRun    bool     `help:"Only say what it would do."`
	Output    string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive onion add --help.
func (onionAdd) Help() string {
	return `Has the running node host one more onion service, until chive onion rm, or chive config revert
--services to a revision without it: it is there again when the node starts again. The torrc is not changed;
the node remembers it, with the history of its configuration, in its DataDirectory. A value with
blanks is one argument, in quotes: '80 8080' is port 80, which leads to 8080 of this machine; 80 8080
are two ports, each of which leads to itself.

Examples:
  chive onion add /var/lib/chive/site 80
  chive onion add /var/lib/chive/site '80 127.0.0.1:8080' '22 unix:/run/ssh.sock'
  chive onion add /var/lib/chive/site 80 --with 'HiddenServiceMaxStreams 20'
  chive onion add /tmp/try 80 --transient`
}

// Run asks and prints.
func (c onionAdd) Run(std streams) error {
	if err := errors.Join(targetAlone(c.Ports), optionAlone(c.With)); err != nil {
		return err
	}
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
	r, err := c.changed(func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		return client.ProposeConfig(ctx, messages.ConfigProposal{
			Source: messages.ConfigFromControl, DryRun: c.DryRun, Keep: !c.Transient,
			Lines: []messages.ConfigLine{{Name: serviceDir, Value: value, Append: true}},
		})
	})
	if err != nil {
		return err
	}
	return errors.Join(c.print(std, folder, r), unkept(r))
}

// addedService is what chive onion add added.
type addedService struct {
	Address   string                `json:"address,omitempty"` // none yet, of a dry run
	Folder    string                `json:"folder"`
	Ports     []string              `json:"ports"` // as HiddenServicePort says them
	Transient bool                  `json:"transient,omitempty"`
	DryRun    bool                  `json:"dry_run,omitempty"`
	Revision  uint64                `json:"revision"` // of the configuration
	Notes     []messages.ConfigNote `json:"notes,omitempty"`
}

func (c onionAdd) print(std streams, folder string, r messages.ConfigResult) error {
	host, err := os.ReadFile(filepath.Join(folder, "hostname"))
	if err != nil && !c.DryRun {
		return fmt.Errorf("the service's address: %w", err)
	}
	a := addedService{
		Address: strings.TrimSpace(string(host)), Folder: folder, Ports: c.Ports, Transient: c.Transient, DryRun: c.DryRun,
		Revision: r.Revision, Notes: r.Notes,
	}
	if c.Output == "json" {
		return printJSON(std.out, a)
	}
	if a.Address == "" {
		a.Address = "a new one"
	}
	line := func(what, text string) { fmt.Fprintf(std.out, "%-8s %s\n", what, printable(text)) }
	line("address", a.Address)
	for _, p := range c.Ports {
		if to, err := config.ParseOnionPort(p); err == nil {
			p = fmt.Sprintf("%d to %s", to.Port, to.To())
		}
		line("port", p)
	}
	line("keys", folder)
	if c.Transient {
		line("kept", "no: for this run of the node")
	}
	printNotes(std.out, r.Notes)
	return nil
}

type onionRemove struct {
	nodeFlags
	Service string `arg:"" help:"Its address, its folder, or the beginning of its address."`
	DryRun  bool   `help:"Only say what it would do."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive onion rm --help.
func (onionRemove) Help() string {
	return `Takes out what chive onion add added, for ever; the folder with its keys stays. What stands
in the torrc is taken out there, and followed by chive reload.

Examples:
  chive onion rm /var/lib/chive/site
  chive onion rm 3g2upl4p`
}

// Run asks and prints.
func (c onionRemove) Run(std streams) error {
	var s hosting.Status
	r, err := c.changed(func(ctx context.Context, client *bridge.Client) (messages.ConfigResult, error) {
		all, err := hosted(ctx, client)
		if err != nil {
			return messages.ConfigResult{}, err
		}
		s, err = pick(all, c.Service)
		if err != nil && strings.Contains(c.Service, string(filepath.Separator)) { // one that could not be hosted again
			s.Dir, err = filepath.Abs(c.Service)
		}
		if errors.Is(err, errNotHosted) {
			err = fmt.Errorf("%w; one that was taken out is not listed any more, and its keys are in its folder still", err)
		}
		if err == nil && s.From == hosting.FromProgram {
			err = errors.New("the program that the node runs in hosts this service: only that can end it")
		}
		if err != nil {
			return messages.ConfigResult{}, err
		}
		return client.ProposeConfig(ctx, messages.ConfigProposal{
			Source: messages.ConfigFromControl, DryRun: c.DryRun,
			Lines: []messages.ConfigLine{{Name: serviceDir, Value: s.Dir, Remove: true}},
		})
	})
	switch {
	case err != nil:
		return err
	case c.Output == "json":
		return printResult(std, c.Output, r)
	}
	if s.Address != "" {
		fmt.Fprintf(std.out, "address  %s\n", printable(s.Address))
	}
	fmt.Fprintf(std.out, "keys     %s, where they stay\n", printable(s.Dir))
	printNotes(std.out, r.Notes)
	return unkept(r)
}
