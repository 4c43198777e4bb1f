package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"chive/internal/testnet"
)

type testnetCommand struct {
	Up     testnetUp     `cmd:"" help:"Start the network; it stays until down."`
	Down   testnetDown   `cmd:"" help:"Stop the network and every process of it."`
	Status testnetStatus `cmd:"" help:"Show its processes and its consensus."`
}

// Help is printed by chive testnet --help.
func (testnetCommand) Help() string {
	return `Starts Debian's tor as directory authorities, relays, exits and an onion service
on 127.0.0.0/8. Nothing leaves this machine. Needs Linux and the package tor.

Examples:
  chive testnet up
  chive run -f ~/.local/share/chive-testnet/network.torrc --DataDirectory /tmp/c1
  chive testnet down`
}

// networkDir is where the network of the three subcommands lives.
type networkDir struct {
	Dir string `type:"path" default:"${testnetDir}" help:"The network's folder."`
}

func defaultTestnetDir() string {
	base := os.Getenv("XDG_DATA_HOME")
	if home, err := os.UserHomeDir(); err == nil && !filepath.IsAbs(base) {
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "chive-testnet")
}

type testnetUp struct {
	networkDir
	Relays int    `default:"6" help:"Relays that do not exit."`
	Exits  int    `default:"3" help:"Exits."`
	Onions int    `default:"1" help:"Onion services; 0 for none."`
	Params string `default:"public" enum:"public,fast,public+dos,none" help:"Consensus parameters: public, fast, public+dos or none."`
}

// Run starts the network and says how to use it.
func (c testnetUp) Run(std streams) error {
	if c.Relays < 1 || c.Exits < 1 || c.Onions < 0 {
		return usage("--relays %d --exits %d --onions %d: a network has one relay and one exit at least", c.Relays, c.Exits, c.Onions)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	onions := c.Onions
	if onions == 0 {
		onions = -1 // 0 means the default there
	}
	err := testnet.Up(ctx, c.Dir, testnet.Options{
		Relays: c.Relays, Exits: c.Exits, Onions: onions, Params: testnet.ParamSet(c.Params),
	}, func(step string) { fmt.Fprintf(std.err, "testnet: %s\n", step) })
	if err != nil {
		return fmt.Errorf("testnet: %w", err)
	}
	torrc := filepath.Join(c.Dir, "network.torrc")
	fmt.Fprintf(std.out, "The network is up. A client of it:\n\n  chive run -f %s --DataDirectory %s\n\nStop it with: chive testnet down%s\n",
		torrc, filepath.Join(c.Dir, "clients", "chive"), c.flag())
	return nil
}

// flag is what the other subcommands need to find the same network.
func (d networkDir) flag() string {
	if d.Dir == defaultTestnetDir() {
		return ""
	}
	return " --dir " + d.Dir
}

type testnetDown struct{ networkDir }

// Run stops the network.
func (c testnetDown) Run(std streams) error {
	err := testnet.Down(c.Dir)
	if errors.Is(err, testnet.ErrNoNetwork) {
		return &exitError{exitNoNode, err}
	}
	if err != nil {
		return fmt.Errorf("testnet: %w", err)
	}
	fmt.Fprintln(std.out, "The network is down.")
	return nil
}

type testnetStatus struct{ networkDir }

// Run prints the processes and the consensus.
func (c testnetStatus) Run(std streams) error {
	err := testnet.Status(c.Dir, std.out)
	if errors.Is(err, testnet.ErrNoNetwork) {
		return &exitError{exitNoNode, err}
	}
	return err
}
