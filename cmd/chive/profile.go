package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
)

type profileCommand struct {
	Kind string `arg:"" enum:"cpu,heap,mutex" help:"cpu, heap or mutex."`
	nodeFlags
	For  time.Duration `default:"10s" help:"How long cpu and mutex are watched, at most 1m."`
	File string        `short:"f" type:"path" help:"Where to write it (default: chive-KIND.pprof here). It must not exist."`
}

// Help is printed by chive profile --help.
func (profileCommand) Help() string {
	return `Writes a profile of a running node, for go tool pprof: where its time goes (cpu), what
its memory holds (heap), or what waits for locks (mutex). It names functions of chive
alone: no address, no target, no key. Only the operator of this machine can take one,
no role of a fleet.

Examples:
  chive profile cpu --for 30s
  chive profile heap -f before.pprof
  go tool pprof -top chive-cpu.pprof`
}

// Run asks, waits and writes the file.
func (c profileCommand) Run(std streams) error {
	ask := node.ProfileAsk{Kind: c.Kind, Seconds: int(c.For / time.Second)}
	if c.Kind == node.ProfileHeap {
		ask.Seconds = 0
	} else if c.For < time.Second || c.For > node.MaxProfileTime || c.For%time.Second != 0 {
		return usage("--for %s: want whole seconds, 1s to %s", c.For, node.MaxProfileTime)
	}
	question, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	if c.File == "" {
		c.File = "chive-" + c.Kind + ".pprof"
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(ask.Seconds)*time.Second+askTimeout)
	defer cancel()
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	// Made before it is asked for: a name that cannot be written costs no minute.
	out, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := writeProfile(ctx, client, question, out); err != nil {
		return fmt.Errorf("%w%s", err, removed(os.Remove(c.File)))
	}
	_, err = fmt.Fprintln(std.out, c.File)
	return err
}

func writeProfile(ctx context.Context, client *bridge.Client, question []byte, out *os.File) error {
	defer func() { _ = out.Close() }() // after an error that is told
	profile, err := client.Request(ctx, messages.VerbProfile, question)
	if err != nil {
		return err
	}
	if _, err := out.Write(profile); err != nil {
		return err
	}
	return out.Close()
}

func removed(err error) string {
	if err != nil {
		return "; and an empty file is left: " + err.Error()
	}
	return ""
}
