package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"

	"chive/actors/node"
	"chive/config"
)

type runCommand struct {
	TorrcFile string `short:"f" name:"torrc-file" placeholder:"TORRC" help:"The torrc; none means the defaults, on the public network."`
}

// Help is printed by chive run --help.
func (runCommand) Help() string {
	return `Runs until SIGINT or SIGTERM. The first signal stops accepting and lets open
streams finish for ShutdownWaitLength; a second one ends them at once.

Any torrc option may be added as --Option VALUE; it replaces the torrc's lines.

Examples:
  chive run
  chive run -f torrc --SocksPort 9150 --DataDirectory /tmp/chive
  curl --socks5-hostname 127.0.0.1:9050 https://check.torproject.org/api/ip

` + exitCodes
}

// collectAt keeps the heap small: a client's live heap is a few MiB, so
// collecting more often costs little.
const collectAt = 50

// Run runs a node until a signal.
func (c runCommand) Run(std streams, options overrides) error {
	cfg, err := config.Load(c.TorrcFile, options)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	log, closeLogs, err := openLogs(cfg, std)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer closeLogs()
	for _, w := range cfg.Warnings {
		log.Warn(w.Error())
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	n, err := node.Start(context.Background(), node.Options{Config: cfg, Log: log, Version: programVersion()})
	if errors.Is(err, node.ErrInUse) {
		return &exitError{exitRunning, err}
	}
	if err != nil {
		return err
	}
	if url := n.Status().NatsURL; url != "" {
		log.Info("NATS listener is open", "url", url, "credential", cfg.NatsCredentialFile)
	}
	if cfg.PidFile != "" {
		if err := os.WriteFile(cfg.PidFile, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
			log.Warn("cannot write PidFile", "err", err)
		}
		defer os.Remove(cfg.PidFile)
	}
	showProgress(std.err, log, n, signals)
	return stopNode(cfg, log, n, signals)
}

// showProgress tells the steps of bootstrapping until the first signal.
func showProgress(w io.Writer, log *slog.Logger, n *node.Node, signals <-chan os.Signal) {
	f, ok := w.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	for {
		select {
		case <-signals:
			return
		case p := <-n.Bootstrap():
			if !terminal {
				log.Log(context.Background(), levelNotice, "bootstrap", "percent", p.Percent, "summary", p.Summary)
				continue
			}
			fmt.Fprintf(w, "\r\x1b[KBootstrapped %3d%%  %s", p.Percent, p.Summary)
			if p.Percent == 100 {
				fmt.Fprintln(w)
			}
		}
	}
}

func stopNode(cfg *config.Config, log *slog.Logger, n *node.Node, signals <-chan os.Signal) error {
	log.Log(context.Background(), levelNotice, "stopping")
	drain := time.NewTimer(cfg.ShutdownWaitLength)
	defer drain.Stop()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	n.StopListening()
	for waiting := true; waiting; {
		select {
		case <-signals:
			waiting = false
		case <-drain.C:
			waiting = false
		case <-poll.C:
			s := n.Status()
			waiting = s.Streams+s.Waiting > 0
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Stop(ctx)
}
