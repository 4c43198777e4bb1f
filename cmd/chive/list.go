package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"chive/messages"
	"chive/messages/fold"
)

// listFlags are common to circuits, streams, connections and guards.
type listFlags struct {
	nodeFlags
	At     string `placeholder:"TIME" help:"As it was then: RFC 3339, 15:04:05 (UTC), or how long ago: 5m, or -5m."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// endedFlags are for what comes to an end.
type endedFlags struct {
	All     bool     `short:"a" help:"Also those that have ended, as far as the history goes."`
	State   []string `sep:"," placeholder:"STATE" help:"Only in these states."`
	Purpose []string `sep:"," placeholder:"PURPOSE" help:"Only for these: ${purposes}."`
	Outcome []string `sep:"," placeholder:"OUTCOME" help:"Only those that ended so (timeout, connect-refused, …); implies --all."`
}

func (f endedFlags) all(states ...string) bool {
	if f.All || len(f.Outcome) > 0 {
		return true
	}
	for _, s := range f.State {
		for _, ended := range states {
			if s == ended {
				return true
			}
		}
	}
	return false
}

// check refuses states, purposes and outcomes that there are not.
func (f endedFlags) check(states ...string) error {
	for _, flag := range []struct {
		name       string
		given, all []string
	}{{"--state", f.State, states}, {"--purpose", f.Purpose, messages.Purposes()}, {"--outcome", f.Outcome, messages.Outcomes()}} {
		for _, s := range flag.given {
			if !among(flag.all, s) {
				return usage("%s %s: want one of %s", flag.name, s, strings.Join(flag.all, ", "))
			}
		}
	}
	return nil
}

func (f endedFlags) want(state, purpose, outcome string) bool {
	return among(f.State, state) && among(f.Purpose, purpose) && among(f.Outcome, outcome)
}

// among is true of everything if nothing is asked for.
func among(wanted []string, have string) bool {
	if len(wanted) == 0 {
		return true
	}
	for _, w := range wanted {
		if strings.EqualFold(w, have) {
			return true
		}
	}
	return false
}

// begins is true of every id if no prefix is asked for.
func begins(id, prefix string) bool { return strings.HasPrefix(id, strings.ToLower(prefix)) }

// joinMoments makes "--at -5m" one argument, and --since likewise: it begins like a flag, as
// does what is no moment and is refused as such.
func joinMoments(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if (args[i] == "--at" || args[i] == "--since") && i+1 < len(args) && strings.HasPrefix(args[i+1], "-") {
			if ago := args[i+1][1:]; ago != "" && '0' <= ago[0] && ago[0] <= '9' {
				out = append(out, args[i]+"="+args[i+1])
				i++
				continue
			}
		}
		out = append(out, args[i])
	}
	return out
}

// parseMoment reads a moment of the past; now is when it is asked.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	at := now
	if ago, err := time.ParseDuration(strings.TrimSuffix(strings.TrimSpace(text), " ago")); err == nil {
		at = now.Add(-ago.Abs())
	} else if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		at = t
	} else if t, err := time.Parse(time.DateTime, text); err == nil {
		at = t
	} else if t, err := time.Parse("15:04:05", strings.TrimSuffix(text, "Z")); err == nil {
		utc := now.UTC()
		at = time.Date(utc.Year(), utc.Month(), utc.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
		if at.After(now) {
			at = at.AddDate(0, 0, -1)
		}
	} else {
		return at, usage("%s %q: want a time like 2026-11-24T12:00:00Z or 12:00:00 (UTC), or how long ago, like 5m or 1h30m", flag, text)
	}
	if at.After(now) {
		return at, usage("%s %s is in the future", flag, at.UTC().Format(time.RFC3339))
	}
	return at, nil
}

// node is the node at the moment asked for, and that moment.
func (f listFlags) node(ctx context.Context, std streams, all bool) (*fold.Node, time.Time, error) {
	now := time.Now()
	if f.At != "" {
		at, err := parseMoment("--at", f.At, now)
		if err != nil {
			return nil, at, err
		}
		n, err := f.past(ctx, std, at)
		return n, at, err
	}
	if all {
		n, err := f.ended(ctx, std)
		if err != nil || n != nil {
			return n, now, err
		}
	}
	n, err := f.present(ctx)
	return n, now, err
}

// table prints rows in columns, or says that there are none.
type table[T any] struct {
	head string // titles, with tabs between
	row  func(v T, at time.Time) string
	none string // "circuits"
	hint string // what may show more
}

// print writes rows as JSON or as a table of cells, without control characters:
// everything in them is from events, which are printed as they are nowhere.
func (t table[T]) print(std streams, output string, rows []T, at time.Time) error {
	if output == "json" {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(std.err, "chive: no %s%s\n", t.none, t.hint)
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, t.head)
	for _, r := range rows {
		fmt.Fprintln(w, t.row(r, at))
	}
	return w.Flush()
}

// cells joins the cells of a row; an empty one is a dash.
func cells(all ...string) string {
	for i, c := range all {
		all[i] = printable(c)
		if c == "" {
			all[i] = "-"
		}
	}
	return strings.Join(all, "\t")
}

// printable has no character that could move the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// age is the time since it began, as people say it.
func age(since, at time.Time) string {
	if since.IsZero() {
		return ""
	}
	return brief(at.Sub(since))
}

// brief is a duration with two units at most.
func brief(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func millis(ms int64) string {
	if ms == 0 {
		return ""
	}
	return brief(time.Duration(ms) * time.Millisecond)
}

// note tells something on standard error, apart from the answer.
func note(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "chive: "+format+"\n", args...)
}
