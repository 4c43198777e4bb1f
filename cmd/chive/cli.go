package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"chive/internal/testnet"
	"chive/messages"
)

// Exit codes. They are part of the interface: scripts rely on them.
const (
	exitOK      = 0 // done, or stopped by a signal as asked
	exitFailed  = 1 // it was tried and failed
	exitUsage   = 2 // the command line or the torrc is wrong; nothing was done
	exitRunning = 3 // another node uses the data directory
	exitNoNode  = 4 // no node, or no test network, is there to answer
)

const exitCodes = `Exit codes:
  0  done, or stopped by a signal as asked
  1  it was tried and failed
  2  the command line or the torrc is wrong; nothing was done
  3  another node uses the data directory
  4  no node, or no test network, is there to answer`

// streams are the three standard ones.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func standardStreams() streams { return streams{os.Stdin, os.Stdout, os.Stderr} }

// exitError is an error and the code to exit with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// grammar is the command line; the commands' Help methods have the examples.
type grammar struct {
	Run    runCommand    `cmd:"" help:"Run a node: SOCKS5 in, Tor circuits out."`
	Check  checkCommand  `cmd:"" help:"Check a torrc and say everything that is wrong with it."`
	Plan   planCommand   `cmd:"" help:"Say what changing from one torrc to another would do to a running node."`
	Reload reloadCommand `cmd:"" help:"Have the running node read its configuration again."`
	Config configCommand `cmd:"" help:"Show and change the running node's configuration."`
	Status statusCommand `cmd:"" help:"Show what the running node is doing."`
	Events eventsCommand `cmd:"" help:"Show or follow the running node's events."`

	Why         whyCommand         `cmd:"" help:"Say why a circuit, stream, connection or guard came to its end."`
	Circuits    circuitsCommand    `cmd:"" help:"List circuits, now or as of a past moment; forget how long they take."`
	Streams     streamsCommand     `cmd:"" help:"List streams, now or as of a past moment."`
	Connections connectionsCommand `cmd:"" help:"List connections to relays, now or as of a past moment."`
	Renew       renewCommand       `cmd:"" help:"Use other circuits from now on, for one identity."`
	Identities  identitiesCommand  `cmd:"" help:"List the identities that use the node."`
	Onion       onionCommand       `cmd:"" help:"List, show, add and remove the onion services that the node hosts."`
	Profile     profileCommand     `cmd:"" help:"Take a profile of a running node: cpu, heap or mutex."`
	Newnym      newnymCommand      `cmd:"" help:"Use other circuits from now on, for all identities; at most once in 10 seconds."`
	Guards      guardsCommand      `cmd:"" help:"List guards, now or as of a past moment; try failed ones again."`

	Fleet fleetCommand `cmd:"" help:"Run many nodes: who is there, their configuration, draining."`

	Options optionsCommand `cmd:"" help:"List the torrc options."`
	Testnet testnetCommand `cmd:"" help:"A private Tor network on this machine, for trying things."`
	Version versionCommand `cmd:"" help:"Print the version; --version and -v do, too."`
}

const description = `A Tor client whose every connection, circuit and stream is a supervised actor.

Quick start, on a private Tor network on this machine:
  chive testnet up                  start it (needs Debian's tor)
  chive run -f TORRC                with the torrc that testnet up names
  curl --socks5-hostname 127.0.0.1:9050 http://…

On the public network: chive run

Help with one command: chive help COMMAND, or chive COMMAND --help

` + exitCodes

// execute runs one command line and gives the exit code.
func execute(args []string, std streams) int {
	err := command(args, std)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
	}
	if text := err.Error(); text != "" {
		for line := range strings.Lines(text) {
			fmt.Fprintf(std.err, "chive: %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return code
}

// stop unwinds kong when it has printed help and asks to exit.
type stop struct{ code int }

// asCommand is what --version, -v, help and help COMMAND stand for.
func asCommand(args []string) []string {
	if len(args) == 0 {
		return args
	}
	switch args[0] {
	case "--version", "-v":
		return append([]string{"version"}, args[1:]...)
	case "help":
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

func command(args []string, std streams) (err error) {
	defer func() {
		if s, ok := recover().(stop); ok {
			err = nil
			if s.code != 0 {
				err = &exitError{s.code, errors.New("")}
			}
		}
	}()
	if len(args) > 0 && args[0] == testnet.TargetCommand {
		if code := testnet.TargetMain(args[1:]); code != 0 {
			return &exitError{code, errors.New("")}
		}
		return nil
	}
	args, options, err := splitOverrides(joinMoments(asCommand(args)))
	if err != nil {
		return err
	}
	var g grammar
	parser, err := kong.New(&g,
		kong.Name("chive"),
		kong.Description(description),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(stop{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Bind(std, options),
		homeFirst("path"), homeFirst("existingfile"),
		kong.Vars{"testnetDir": defaultTestnetDir(), "purposes": strings.Join(messages.Purposes(), ", ")},
	)
	if err != nil {
		return fmt.Errorf("command line grammar: %w", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	var wrong *kong.ParseError
	if errors.As(err, &wrong) {
		parsed = wrong.Context
	}
	if err := flagsBehind(parsed); err != nil {
		return err
	}
	if err != nil {
		return usage("%w\n(chive --help, chive COMMAND --help)", err)
	}
	return parsed.Run()
}
