package main

import (
	"slices"
	"strings"

	"chive/config"
)

// overrides are the torrc options of the command line, in order.
type overrides []config.Override

// takesOptions are the commands whose unknown flags are torrc options.
var takesOptions = []string{"run", "check"}

// ownFlags of these commands are kong's; every other long flag is a torrc
// option, as in C tor. True: the next argument is its value.
var ownFlags = map[string]bool{"--torrc-file": true, "--help": false}

// splitOverrides takes "--Option value" and "--Option=value" out of the
// arguments of run and check.
func splitOverrides(args []string) (rest []string, out overrides, err error) {
	if len(args) == 0 || !slices.Contains(takesOptions, args[0]) {
		return args, nil, nil
	}
	rest = args[:1:1]
	for i := 1; i < len(args); i++ {
		arg := args[i]
		name, value, inline := strings.Cut(arg, "=")
		takesValue, own := ownFlags[name]
		switch {
		case arg == "-f" || own && takesValue && !inline:
			rest = append(rest, arg)
			if i++; i < len(args) {
				rest = append(rest, args[i])
			}
			continue
		case own || !strings.HasPrefix(arg, "--") || arg == "--":
			rest = append(rest, arg)
			continue
		}
		name = strings.TrimPrefix(name, "--")
		if !inline {
			if i++; i >= len(args) || strings.HasPrefix(args[i], "--") {
				return nil, nil, usage("--%s needs a value: --%s VALUE", name, name)
			}
			value = args[i]
		}
		out = append(out, config.Override{Name: name, Value: value})
	}
	return rest, out, nil
}
