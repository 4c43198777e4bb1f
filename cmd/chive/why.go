package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold/story"
)

type whyCommand struct {
	Kind string `arg:"" enum:"circuit,stream,connection,guard" help:"circuit, stream, connection or guard."`
	ID   string `arg:"" optional:"" help:"Its id; the beginning is enough if no other begins so."`
	nodeFlags
	Last   bool   `help:"The last one that came to a bad end, instead of an id."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive why --help.
func (whyCommand) Help() string {
	return `Tells what happened to it, what it followed from, back to the root, and what it led
to, from the node's events: those of the running node, and those it kept on disk
(EventHistory), over restarts and after it stopped. docs/why.md explains the answer.

Examples:
  chive why stream --last
  chive why stream z4rb
  chive why circuit udgeqxtpc4ap2 -o json`
}

// Run tells.
func (c whyCommand) Run(std streams) error {
	if (c.ID == "") != c.Last {
		return usage("why %s needs an id or --last (chive %ss --all lists them)", c.Kind, c.Kind)
	}
	kind, err := messages.ParseKind(c.Kind)
	if err != nil {
		return usage("%w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	logs, err := c.logs(ctx, std)
	if err != nil {
		return err
	}
	run, about, err := c.find(logs, kind)
	if err != nil {
		return err
	}
	st := run.log().Tell(about)
	if c.Output == "json" {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	return printStory(std.out, st)
}

// boot is the events of one, and whether its node is gone.
type boot struct {
	events []*chivev1.Envelope
	over   bool
}

func (b boot) log() *story.Log {
	l := story.NewLog(b.events)
	if b.over {
		l.NodeEnded()
	}
	return l
}

// logs are the events by boot, the latest last.
func (c whyCommand) logs(ctx context.Context, std streams) ([]boot, error) {
	m, err := c.remember(ctx, std)
	if err != nil {
		return nil, err
	}
	var out []boot
	for _, b := range m.boots {
		out = append(out, boot{b.Events(), b != m.live})
	}
	if m.live != nil {
		return out, nil
	}
	// It keeps nothing on disk: what it remembers has to do.
	client, err := c.connect(ctx)
	if err != nil {
		if len(out) > 0 {
			return out, nil
		}
		return nil, err
	}
	defer client.Close()
	recent, err := client.History(ctx)
	return append(out, boot{events: recent}), err
}

// find is the boot and the subject that is meant.
func (c whyCommand) find(logs []boot, kind chivev1.Kind) (boot, story.Subject, error) {
	if c.Last {
		for _, run := range slices.Backward(logs) {
			if about, ok := run.log().LastFailed(kind); ok {
				return run, about, nil
			}
		}
		return boot{}, story.Subject{}, fmt.Errorf("no %s came to a bad end, as far as the history goes", c.Kind)
	}
	id := strings.ToLower(c.ID)
	found := map[string]int{} // id → index of its log
	for i, run := range logs {
		for _, e := range run.events {
			if e.GetKind() == kind && strings.HasPrefix(e.GetActorId(), id) {
				found[e.GetActorId()] = i
			}
		}
	}
	if _, whole := found[id]; whole {
		found = map[string]int{id: found[id]}
	}
	switch len(found) {
	case 0:
		return boot{}, story.Subject{}, c.unknown(logs, kind, id)
	case 1:
		for id, i := range found {
			return logs[i], story.Subject{Kind: kind, ID: id}, nil
		}
	}
	return boot{}, story.Subject{}, c.ambiguous(logs, kind, found)
}

// most is how many alternatives are named.
const most = 10

func (c whyCommand) ambiguous(logs []boot, kind chivev1.Kind, found map[string]int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q is ambiguous; it may be", c.Kind, c.ID)
	ids := make([]string, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for i, id := range ids {
		if i == most {
			fmt.Fprintf(&b, "\n  … and %d more", len(ids)-most)
			break
		}
		st := only(logs[found[id]], kind, id).log().Tell(story.Subject{Kind: kind, ID: id})
		fmt.Fprintf(&b, "\n  %s  %s, began %s", id, strings.TrimSpace(st.State+" "+st.Outcome), stamp(st.Began))
	}
	return &exitError{exitUsage, fmt.Errorf("%s", b.String())}
}

func only(run boot, kind chivev1.Kind, id string) boot {
	out := boot{over: run.over}
	for _, e := range run.events {
		if e.GetKind() == kind && e.GetActorId() == id {
			out.events = append(out.events, e)
		}
	}
	return out
}

// unknown names what the id is instead, or the ids most like it.
func (c whyCommand) unknown(logs []boot, kind chivev1.Kind, id string) error {
	since := time.Time{}
	alike := map[string]int{}
	for _, run := range logs {
		for _, e := range run.events {
			if since.IsZero() {
				since = e.GetTime().AsTime()
			}
			if e.GetKind() == kind && e.GetActorId() != "" {
				alike[e.GetActorId()] = 0
				continue
			}
			other := messages.KindToken(e.GetKind())
			if strings.HasPrefix(e.GetActorId(), id) && slices.Contains([]string{"circuit", "stream", "connection", "guard"}, other) {
				return fmt.Errorf("%q is no %s but a %s: chive why %s %s", c.ID, c.Kind, other, other, c.ID)
			}
		}
	}
	text := fmt.Sprintf("no %s %q in the history", c.Kind, c.ID)
	if !since.IsZero() {
		text += ", which begins at " + stamp(since)
	}
	if names := nearest(alike, id); len(names) > 0 {
		return fmt.Errorf("%s; the nearest are %s", text, strings.Join(names, ", "))
	}
	return fmt.Errorf("%s, nor any other", text)
}

// nearest are the three ids that differ least.
func nearest(ids map[string]int, id string) []string {
	names := make([]string, 0, len(ids))
	for name := range ids {
		// What was typed may be a beginning: compare with as much.
		ids[name] = distance(id, name[:min(len(name), max(len(id), 1))])
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(ids[a], ids[b]), cmp.Compare(a, b)) })
	return names[:min(len(names), 3)]
}

// distance is how many letters must be changed, added or left out (Levenshtein);
// what is typed is cut at 64.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}

// printStory writes a story for people; times are UTC.
func printStory(w io.Writer, st *story.Story) error {
	fmt.Fprintln(w, printable(st.Summary))
	if st.Hint != "" {
		fmt.Fprintf(w, "  %s\n", st.Hint)
	}
	if st.Missing != "" {
		fmt.Fprintf(w, "  %s\n", st.Missing)
	}
	for _, part := range []struct {
		title string
		steps []story.Step
	}{
		{"because", st.Because},
		{"meanwhile, while it waited for a circuit", st.Meanwhile},
		{"what happened, from " + st.Began.UTC().Format(time.DateOnly) + " on (UTC)", st.Happened},
		{"what it led to", st.LedTo},
		{"how else ended what it carried", st.Carried},
	} {
		if len(part.steps) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", part.title)
		if err := printSteps(w, st, part.steps); err != nil {
			return err
		}
	}
	return nil
}

func printSteps(w io.Writer, st *story.Story, steps []story.Step) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range steps {
		subject := s.Kind + " " + s.ID
		switch {
		case s.Kind == st.Kind && s.ID == st.ID:
			subject = "it"
		case messages.Only(s.Kind, s.ID):
			subject = s.Kind
		}
		text := s.Text
		if s.Count > 1 {
			text += fmt.Sprintf(" (%d such, this is the last)", s.Count)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", s.Time.UTC().Format("15:04:05.000"), since(s.Time.Sub(st.Began)), printable(subject), printable(text))
	}
	return t.Flush()
}

// since is a difference of time with its sign.
func since(d time.Duration) string {
	if d < 0 {
		return "-" + brief(-d)
	}
	return "+" + brief(d)
}
