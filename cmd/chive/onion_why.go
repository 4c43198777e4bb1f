package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"chive/actors/hosting"
	"chive/actors/keystore"
	"chive/bridge"
	"chive/messages/fold/story"
)

type onionWhy struct {
	nodeFlags
	Service string `arg:"" help:"Its address or the beginning of it, or its folder; when no node runs, its folder."`
	Since   string `placeholder:"TIME" help:"Only what was so since then: RFC 3339, 15:04:05 (UTC), or how long ago: 1h."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive onion why --help.
func (onionWhy) Help() string {
	return `Tells when a service was down and why, what was done to have it up again and what came of
that, from the node's events: those of this run, and those that are kept on disk
(EventHistory), over restarts and when no node runs. A running node adds which target of the
service did not answer the last client. Of a service that several nodes host
(HiddenServiceShared) it is the view of one, which is named, with the node that publishes.
docs/why.md explains the answer.

Examples:
  chive onion why 3g2upl4p
  chive onion why /var/lib/chive/site --since 1h
  chive onion why site -o json`
}

// Run tells.
func (c onionWhy) Run(std streams) error {
	var since time.Time
	if c.Since != "" {
		var err error
		if since, err = parseMoment("--since", c.Since, time.Now()); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	s, running, err := c.service(ctx)
	if err != nil {
		return err
	}
	names, err := keystore.Names(s.Dir)
	if err != nil {
		note(std.err, "only this run is known: %v", err)
	}
	if s.ID != "" && !slices.Contains(names, s.ID) {
		names = append(names, s.ID)
	}
	if len(names) == 0 {
		return fmt.Errorf("no chive has hosted a service from %s: is that its folder?", s.Dir)
	}
	logs, err := whyCommand{nodeFlags: c.nodeFlags}.logs(ctx, std)
	if err != nil {
		return err
	}
	runs := make([]story.Run, len(logs))
	for i, log := range logs {
		runs[i] = log.events
	}
	st := story.Hosted(runs, names, map[string]map[uint64]string{s.ID: relaysOf(s)}, since, time.Now(), running)
	if st == nil {
		return errors.New("nothing is in the history about that service (EventHistory says how long it is kept)")
	}
	view := serviceView{Service: st, Targets: s.Targets}
	sharedNow(st, s.Shared)
	if c.Output == "json" {
		return printJSON(std.out, view)
	}
	return printServiceStory(std, view, s)
}

// serviceView is the story of a service as its node tells it.
type serviceView struct {
	*story.Service
	Targets []hosting.Target `json:"targets,omitempty"` // of the running node
}

// sharedNow adds what the running node knows of who publishes, which is newer than its events;
// but one that takes no part knows less than they tell.
func sharedNow(st *story.Service, now *hosting.SharedStatus) {
	switch {
	case now == nil:
	case now.Away:
		st.Shared = true
		st.Leave()
	case now.Publishes:
		st.Know(st.Node)
	default:
		st.Know(now.Publisher)
	}
}

// viewOf says whose view of a shared service the story is.
func viewOf(st *story.Service) string {
	publisher := "which node publishes it is not known"
	switch {
	case st.Away && st.Publisher == "":
		publisher = "it takes no part now, being drained or about to end, and does not hear which node publishes it"
	case st.Away:
		publisher = "it takes no part now, being drained or about to end; when it left, node " + st.Publisher + " published it"
	case st.Publisher == "":
	case st.Publisher == st.Node:
		publisher = "it publishes the introduction points of all"
	default:
		publisher = "node " + st.Publisher + " publishes it"
	}
	return fmt.Sprintf("several nodes host it; this is the view of node %s: %s; the others tell theirs (chive onion why there)", st.Node, publisher)
}

// relaysOf are the relays of introduction points by number.
func relaysOf(s hosting.Status) map[uint64]string {
	out := map[uint64]string{}
	for text, relay := range s.Relays {
		if point, err := strconv.ParseUint(text, 10, 64); err == nil {
			out[point] = relay
		}
	}
	return out
}

// service is the one that is meant: of the running node, or one that only its folder tells
// of; and whether a node runs.
func (c onionWhy) service(ctx context.Context) (s hosting.Status, running bool, err error) {
	folder, err := filepath.Abs(c.Service)
	if err != nil {
		return hosting.Status{}, false, err
	}
	client, err := c.connect(ctx)
	if errors.Is(err, bridge.ErrNoNode) {
		names, nameErr := keystore.Names(folder)
		if nameErr == nil && len(names) == 0 {
			return hosting.Status{}, false, &exitError{exitNoNode, fmt.Errorf("%w; with the service's folder in place of its address the history tells of it", err)}
		}
		return hosting.Status{Dir: folder}, false, nameErr
	}
	if err != nil {
		return hosting.Status{}, false, err
	}
	defer client.Close()
	all, err := hosted(ctx, client)
	if err != nil {
		return hosting.Status{}, true, err
	}
	s, err = pick(all, c.Service)
	if err != nil { // one that was hosted before
		if names, nameErr := keystore.Names(folder); nameErr == nil && len(names) > 0 {
			return hosting.Status{Dir: folder}, true, nil
		}
	}
	if errors.Is(err, errNotHosted) {
		err = fmt.Errorf("%w; of one that it hosted before, the history tells by the service's folder in place of its address", err)
	}
	return s, true, err
}

// printServiceStory writes what became of a service for people; times are UTC.
func printServiceStory(std streams, st serviceView, s hosting.Status) error {
	fmt.Fprintln(std.out, st.Summary)
	if st.Shared {
		fmt.Fprintln(std.out, printable(viewOf(st.Service)))
	}
	printRefusing(std.out, s, "")
	day := ""
	for i := range st.Spells {
		s := &st.Spells[i]
		if d := s.Began.UTC().Format(time.DateOnly); d != day {
			day = d
			fmt.Fprintf(std.out, "\n%s (UTC)\n", day)
		}
		printSpell(std, s)
	}
	return nil
}

func printSpell(std streams, s *story.Spell) {
	lasted := "for " + brief(s.Lasted)
	if s.Ended.IsZero() {
		lasted += ", until now"
	}
	fmt.Fprintf(std.out, "%s  %s %s: %s%s\n", s.Began.UTC().Format("15:04:05"), s.State, lasted, printable(s.Text), ofRelay(s.Relay))
	t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	line := func(at time.Time, what, text string) {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", at.UTC().Format("15:04:05.000"), what, printable(text))
	}
	type dated struct {
		at         time.Time
		what, text string
	}
	var all []dated
	for _, x := range s.Happened {
		all = append(all, dated{x.Time, "", times(x) + ofRelay(x.Relay)})
	}
	for _, x := range s.Meanwhile {
		all = append(all, dated{x.Time, x.Kind, times(x)})
	}
	for _, h := range s.Healing {
		outcome := h.Outcome
		if h.Took > 0 {
			outcome += " after " + brief(h.Took)
		}
		all = append(all, dated{h.Time, "repair", h.Text + ofRelay(h.Relay) + ": " + outcome})
	}
	slices.SortStableFunc(all, func(a, b dated) int { return a.at.Compare(b.at) })
	for _, d := range all {
		line(d.at, d.what, d.text)
	}
	_ = t.Flush() // to std.out, which the lines above went to as well
}

func times(s story.Step) string {
	if s.Count > 1 {
		return fmt.Sprintf("%s (%d such, this is the last)", s.Text, s.Count)
	}
	return s.Text
}

func ofRelay(fingerprint string) string {
	if fingerprint == "" {
		return ""
	}
	return ", relay " + strings.ToUpper(fingerprint)
}
