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
	"chive/config/logging"
	"chive/internal/cores"
	"chive/internal/safego"
)

type runCommand struct {
	TorrcFile string `short:"f" name:"torrc-file" placeholder:"TORRC" help:"The torrc; none means the defaults, on the public network."`
}

// Help is printed by chive run --help.
func (runCommand) Help() string {
	return `Runs until SIGINT or SIGTERM. The first signal stops accepting and lets open
streams finish for ShutdownWaitLength; a second one ends them at once. A listener
that cannot be opened at the start, as when another program has its address, is
told and ends the node at once, with 1.

Any torrc option may be added as --Option VALUE, or set in the environment as
CHIVE_OPTION=VALUE; the command line replaces the environment, and that the
torrc's lines.

A torrc that changes is taken over while the node runs, as a whole or not at
all; SIGHUP (chive reload) reads it again. No configuration ends a running node.

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
	source := &config.Source{File: c.TorrcFile, Environment: os.Environ(), Flags: options}
	loaded, err := source.Load()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	cfg := loaded.Config
	log, err := logging.New(cfg, logging.Standard{Out: std.out, Err: std.err})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer log.Close()
	for _, w := range cfg.Warnings {
		log.Warn(w.Error())
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // from here on it ends nothing
	defer signal.Stop(hangups)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	safego.Go("cores governor", func() { cores.Govern(ctx) }, func(p safego.Panic) { log.Error("cores governor", "panic", p.Reason()) })
	n, err := node.Start(context.Background(), node.Options{
		Config: cfg, Source: source, Log: log.Logger, Logs: log, Version: programVersion(), EndsUnheard: true,
	})
	if errors.Is(err, node.ErrInUse) {
		return &exitError{exitRunning, err}
	}
	if errors.Is(err, node.ErrOpen) {
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return err
	}
	if url := n.Status().NatsURL; url != "" {
		notice(log.Logger, "NATS listener is open", "url", url, "credential", cfg.NatsCredentialFile)
	}
	if cfg.PidFile != "" {
		if err := os.WriteFile(cfg.PidFile, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
			log.Warn("cannot write PidFile", "err", err)
		}
		defer os.Remove(cfg.PidFile)
	}
	reloadOn(ctx, hangups, log.Logger, n)
	if unheard := showProgress(std.err, log.Logger, n, signals); unheard != nil {
		log.Error("a listener cannot be opened; chive stops", "reason", unheard)
		n.Hurry()
		return errors.Join(unheard, endNode(n))
	}
	return stopNode(log.Logger, n, signals)
}

// reloadOn reads the configuration again at each signal, until ctx ends. What it
// comes to is in the node's log.
func reloadOn(ctx context.Context, hangups <-chan os.Signal, log *slog.Logger, n *node.Node) {
	safego.Go("reload on SIGHUP", func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				if _, err := n.Reload(ctx); err != nil {
					log.Error("reload", "err", err)
				}
			}
		}
	}, func(p safego.Panic) { log.Error("reload on SIGHUP", "panic", p.Reason()) })
}

func notice(log *slog.Logger, msg string, args ...any) {
	log.Log(context.Background(), logging.LevelNotice, msg, args...)
}

// showProgress tells listeners and the steps of bootstrapping until the first
// signal, or until a listener cannot be opened: to people on a terminal, to the logs elsewhere.
func showProgress(w io.Writer, log *slog.Logger, n *node.Node, signals <-chan os.Signal) error {
	f, ok := w.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	for {
		select {
		case <-signals:
			return nil
		case err := <-n.Failed():
			return err
		case a := <-n.Listening():
			notice(log, "listener is open", "address", a.String())
		case p := <-n.Bootstrap():
			if terminal {
				fmt.Fprintf(w, "Bootstrapped %3d%%  %s\n", p.Percent, p.Summary)
				log.Info("bootstrap", "percent", p.Percent, "phase", p.Phase, "summary", p.Summary)
				continue
			}
			notice(log, "bootstrap", "percent", p.Percent, "phase", p.Phase, "summary", p.Summary)
		}
	}
}

// stopNode has the node take nothing new, lets open streams finish for ShutdownWaitLength and
// other nodes do without this one, or until a second signal, and ends the node.
func stopNode(log *slog.Logger, n *node.Node, signals <-chan os.Signal) error {
	limit := n.Config().ShutdownWaitLength
	if s := n.Status(); s.Streams+s.Waiting > 0 {
		notice(log, "stopping when the open streams are done; another signal stops at once", "streams", s.Streams+s.Waiting, "at_most", limit)
	}
	if !drain(limit, n, signals) {
		n.Hurry()
	}
	notice(log, "stopping")
	return endNode(n)
}

// endNode ends the node, whatever is open.
func endNode(n *node.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return n.Stop(ctx)
}

// stopTimeout bounds the orderly end once no stream is waited for.
const stopTimeout = 10 * time.Second

// drain drains the node; false: a signal came before that was done.
func drain(limit time.Duration, n *node.Node, signals <-chan os.Signal) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	safego.Go("drain", func() {
		defer close(done)
		_ = n.Drain(ctx, limit) // fails only with ctx
	}, nil)
	select {
	case <-done:
		return true
	case <-signals:
		return false
	}
}
