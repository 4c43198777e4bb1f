package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"chive/actors/hosting"
	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
)

// verifyTimeout is how long a visit may take, with one before it.
const verifyTimeout = 2*time.Minute + askTimeout

type onionVerify struct {
	nodeFlags
	Service string `arg:"" help:"Its address, its folder, or the beginning of its address."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive onion verify --help.
func (onionVerify) Help() string {
	return `Has the node visit a service that it hosts: the descriptor is fetched from a directory,
never taken from memory; the service is introduced to at one of its introduction points,
and met at a rendezvous point, over circuits made for that. No stream is opened. It takes
some seconds. The exit code is 0 if they met and 1 if they did not; what was found counts
for the state of the service, too.

Examples:
  chive onion verify /var/lib/chive/site
  chive onion verify abcd -o json`
}

// Run asks and prints.
func (c onionVerify) Run(std streams) error {
	ctx, cancel := context.WithTimeout(context.Background(), verifyTimeout)
	defer cancel()
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := find(ctx, client, c.Service)
	if err != nil {
		return err
	}
	v, err := verify(ctx, client, s.ID)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = printJSON(std.out, v)
	} else {
		printVerification(std.out, v)
	}
	if err == nil && !v.OK {
		err = errors.New("the service is not reached")
	}
	return err
}

func verify(ctx context.Context, client *bridge.Client, id string) (hosting.Verification, error) {
	ask, err := json.Marshal(node.HostingVerifyRequest{Service: id})
	if err != nil {
		return hosting.Verification{}, err
	}
	answer, err := client.Request(ctx, messages.VerbHostingVerify, ask)
	if r := (*bridge.Refusal)(nil); errors.As(err, &r) {
		return hosting.Verification{}, errors.New(r.Reason)
	}
	if err != nil {
		return hosting.Verification{}, err
	}
	var a node.HostingVerifyAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return hosting.Verification{}, fmt.Errorf("the node's answer: %w", err)
	}
	return a.Verification, nil
}

// stageWords say what a stage of a visit is.
var stageWords = map[string]string{
	"directory":  "a directory gave the descriptor",
	"descriptor": "it is the newest, and opens",
	"rendezvous": "a relay waits for the service",
	"point":      "the introduction point is reached",
	"introduce":  "it passed the introduction on",
	"meeting":    "the service came",
}

func printVerification(w io.Writer, v hosting.Verification) {
	for _, s := range v.Stages {
		fmt.Fprintf(w, "%-10s %8s  %s\n", s.Stage, ms(s.Took), stageWords[s.Stage])
	}
	if v.OK {
		fmt.Fprintf(w, "verified   %8s  through introduction point %d\n", ms(v.Took), v.Point)
		return
	}
	fmt.Fprintf(w, "%-10s %8s  failed: %s", v.Stage, ms(v.Took), printable(v.Outcome))
	if v.Cause != "" {
		fmt.Fprintf(w, "; probably %s", printable(v.Cause))
	}
	fmt.Fprintln(w)
	if v.Point != 0 {
		fmt.Fprintf(w, "through introduction point %d, relay %s\n", v.Point, printable(v.Relay))
	}
	if v.Directory != "" {
		fmt.Fprintf(w, "by directory %s\n", printable(v.Directory))
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// verifiedAgo is for a column.
func verifiedAgo(h *hosting.Health, now time.Time) string {
	if h == nil || h.Verified.IsZero() {
		return "-"
	}
	return now.Sub(h.Verified).Round(time.Second).String()
}

// printHealth says whether a service is up.
func printHealth(line func(what, format string, args ...any), h *hosting.Health, now time.Time) {
	if h == nil {
		return
	}
	switch {
	case !h.Verified.IsZero():
		line("verified", "%s ago, by a %s", verifiedAgo(h, now), h.By)
	case h.Every == 0:
		line("verified", "never: OnionVerifyPeriod is 0")
	default:
		line("verified", "not yet")
	}
	if h.Cause != "" {
		line("cause", "%s", h.Cause)
	}
	if !h.Since.IsZero() {
		step := "no step was made"
		if h.Steps > 0 {
			step = fmt.Sprintf("%s made, the last %s", count(h.Steps, "step"), h.Step)
		}
		line("trouble", "since %s: %s", h.Since.UTC().Format(time.DateTime), step)
	}
	if v := h.Last; v != nil {
		text := "met it"
		if !v.OK {
			text = "failed at " + v.Stage + ": " + v.Outcome
		} else if v.Stage == "descriptor" {
			text = "found its descriptor good"
		}
		line("last visit", "%s ago %s, in %s", now.Sub(v.At).Round(time.Second), text, ms(v.Took))
	}
	if !h.Next.IsZero() {
		line("next visit", "in %s", h.Next.Sub(now).Round(time.Second))
	}
}
