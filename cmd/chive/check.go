package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"chive/actors/node"
	"chive/config"
)

type checkCommand struct {
	TorrcFile string `short:"f" name:"torrc-file" placeholder:"TORRC" help:"The torrc to check; - is standard input."`
}

// Help is printed by chive check --help.
func (checkCommand) Help() string {
	return `Reads the torrc as run would and prints every mistake with its line, then
warnings. The DataDirectory, the CacheDirectory and the folders of onion services, and
of keys to visit some with, are looked at if they are there. Nothing is opened, made or contacted. Exits with 2 when something is
wrong, 0 otherwise.

Any torrc option may be added as --Option VALUE; CHIVE_OPTION variables of the
environment count, as they do for run.

Examples:
  chive check -f torrc
  chive check -f torrc --SocksPort 9150
  chive check -f - < torrc`
}

// Run checks and prints.
func (c checkCommand) Run(std streams, options overrides) error {
	if c.TorrcFile == "" && len(options) == 0 {
		return usage("check needs a torrc: chive check -f TORRC")
	}
	source := &config.Source{File: c.TorrcFile, Environment: os.Environ(), Flags: options}
	loaded, err := source.Load()
	var wrong config.Errors
	if errors.As(err, &wrong) {
		for _, e := range wrong {
			fmt.Fprintf(std.out, "error: %v\n", e)
		}
		return &exitError{exitUsage, fmt.Errorf("%s in the configuration", count(len(wrong), "mistake"))}
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	cfg := loaded.Config
	for _, w := range cfg.Warnings {
		fmt.Fprintf(std.out, "warning: %v\n", w)
	}
	notes, err := node.LookAtPlaces(cfg)
	printNotes(std.out, append(notes, node.LookAtFolders(cfg, time.Now())...))
	if err != nil {
		fmt.Fprintf(std.out, "error: %s\n", printable(err.Error()))
		return &exitError{exitUsage, errors.New("a node does not start with that DataDirectory")}
	}
	network := "public network"
	if !cfg.PublicNetwork {
		network = "private network"
	}
	fmt.Fprintf(std.out, "ok: %s, %s, %s, %s\n", network, count(len(cfg.DirAuthorities), "authority"),
		count(len(cfg.FallbackDirs), "fallback directory"), count(len(cfg.Listeners()), "listener"))
	return nil
}

func count(n int, noun string) string {
	if n != 1 {
		stem, y := strings.CutSuffix(noun, "y")
		noun += "s"
		if y {
			noun = stem + "ies"
		}
	}
	return fmt.Sprintf("%d %s", n, noun)
}
