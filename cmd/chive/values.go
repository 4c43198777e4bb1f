package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"chive/config"
	"chive/internal/shell"
)

// flagsBehind refuses flags of a command among the values of an option, where kong takes them for
// values; after -- they are.
func flagsBehind(parsed *kong.Context) error {
	if parsed == nil {
		return nil
	}
	command := parsed.Selected()
	for _, at := range parsed.Path {
		if at.Positional == nil || !at.Positional.Passthrough {
			continue
		}
		values, _ := parsed.Value(at).Interface().([]string)
		for _, v := range values {
			if v == "--" {
				break
			}
			if isFlag(command, v) {
				return usage("%s is a flag of %s: flags stand before the option, and a value that looks like one comes after --, as in -- %s",
					v, command.FullPath(), shell.Quote(v))
			}
		}
	}
	return nil
}

// given are the values of an option on the command line.
func given(option string, args []string) ([]string, error) {
	values := args
	if at := slices.Index(args, "--"); at >= 0 {
		values = slices.Concat(args[:at], args[at+1:])
	}
	o := config.Find(option)
	switch {
	case len(values) == 0:
		return nil, usage("%s: needs a value", option)
	case o != nil && !o.List && len(values) > 1:
		return nil, usage("%s takes one value, and %d were given\n%s", o.Name, len(values), inQuotes(option, values))
	}
	return values, nil
}

// isFlag: is it one of the command's, with or without its value?
func isFlag(command *kong.Node, arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	for _, group := range command.AllFlags(false) {
		for _, f := range group {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return true
			}
		}
	}
	return false
}

// inQuotes says what to do if the values were meant to be one.
func inQuotes(option string, values []string) string {
	example := strings.Join(values, " ")
	if o := config.Find(option); o == nil || o.Secret {
		example = "VALUE WITH BLANKS"
	}
	return fmt.Sprintf("if one value with blanks is meant, put it in quotes: %s %s", option, shell.Quote(example))
}

// hinted adds inQuotes to what came of a wrong one of several values.
func hinted(err error, option string, values []string) error {
	var e *exitError
	if len(values) < 2 || !errors.As(err, &e) || e.code != exitUsage {
		return err
	}
	return usage("%w\n%s", err, inQuotes(option, values))
}

// targetAlone refuses a port of an onion service that is the target of one: both are one argument.
func targetAlone(ports []string) error {
	for i, p := range ports {
		if _, err := netip.ParseAddrPort(strings.Replace(p, "localhost:", "127.0.0.1:", 1)); err != nil && !strings.HasPrefix(p, "unix:") {
			continue
		}
		port := "80"
		if i > 0 && !strings.ContainsAny(ports[i-1], " :") {
			port = ports[i-1]
		}
		return usage("%s is where a port leads to, and no port: write both in quotes, as one argument: %s", p, shell.Quote(port+" "+p))
	}
	return nil
}

// optionAlone refuses an option of --with whose value is not in its argument.
func optionAlone(with []string) error {
	for _, w := range with {
		if !strings.ContainsAny(strings.TrimSpace(w), " \t") {
			return usage("--with %s: needs the option's value in the same argument, in quotes: --with %s", w, shell.Quote(w+" VALUE"))
		}
	}
	return nil
}
