package config

import (
	_ "embed"
	"fmt"
	"sort"
	"strings"
)

//go:embed foreign.txt
var foreignText string

// foreign is every option of C tor that chive does not honour. A line that
// names one is refused, unless its value asks for what chive does anyway.
var foreign = parseForeign(foreignText)

type foreignOption struct {
	name     string
	class    string   // later, never, relay, authority or obsolete
	accepted []string // values that ask for what chive does anyway
	instead  string   // what to do, in words; may be empty
}

func parseForeign(text string) []foreignOption {
	var out []foreignOption
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "#" {
			continue
		}
		o := foreignOption{name: f[0], class: f[1], instead: strings.Join(f[3:], " ")}
		if f[2] != "-" {
			o.accepted = strings.Split(f[2], ",")
		}
		out = append(out, o)
	}
	return out
}

func findForeign(name string) *foreignOption {
	for i := range foreign {
		if strings.EqualFold(foreign[i].name, name) {
			return &foreign[i]
		}
	}
	return nil
}

func (f *foreignOption) accepts(value string) bool {
	for _, v := range f.accepted {
		if strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

func (f *foreignOption) refusal() string {
	var why string
	switch f.class {
	case "relay":
		why = "an option of relays; chive is a client"
	case "authority":
		why = "an option of directory authorities; chive is a client"
	case "never":
		why = "not supported, and not to come"
	case "obsolete":
		why = "obsolete: C tor ignores it; remove the line"
	default:
		why = "not supported yet"
	}
	if f.instead != "" {
		why += ": " + f.instead
	}
	if len(f.accepted) > 0 {
		why += fmt.Sprintf(" (accepted: %s)", strings.Join(f.accepted, " or "))
	}
	return why
}

// Refused is an option that C tor has and chive refuses.
type Refused struct {
	Name     string
	Reason   string
	Accepted []string // values that ask for what chive does anyway
}

// RefusedOptions lists them by name.
func RefusedOptions() []Refused {
	var out []Refused
	for i := range foreign {
		f := &foreign[i]
		out = append(out, Refused{Name: f.name, Reason: f.refusal(), Accepted: f.accepted})
	}
	sort.Slice(out, func(i, j int) bool { return strings.ToLower(out[i].Name) < strings.ToLower(out[j].Name) })
	return out
}
