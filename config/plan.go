package config

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one option that differs between two configurations.
type Change struct {
	Option   *Option
	Old, New []string // as a torrc would say them, but for secrets; none: not set
}

// Diff lists what differs, in the order of the table. Both must come from Load.
func Diff(old, next *Config) (out []Change) {
	for i := range table {
		o := &table[i]
		if was, is := o.show(old), o.show(next); !slices.Equal(was, is) {
			out = append(out, Change{Option: o, Old: o.shown(was), New: o.shown(is)})
		}
	}
	return out
}

// Values is what a torrc would have to say about the option for c; none: not
// set, or what is compiled in. For a secret that is set it is Redacted.
func (o *Option) Values(c *Config) []string { return o.shown(o.show(c)) }

// Apply gives the configuration that a running node has when it follows next
// without a restart: a copy of next with the options of class Restart as they
// are. pending lists those that differ.
func Apply(running, next *Config) (applied *Config, pending []Change) {
	c := *next
	pending = slices.DeleteFunc(Diff(running, next), func(ch Change) bool { return ch.Option.Class != Restart })
	for _, ch := range pending {
		ch.Option.keep(&c, running)
	}
	return &c, pending
}

// Class is the most that any change asks for; Hot when there is none.
func MostOf(changes []Change) Class {
	most := Hot
	for _, ch := range changes {
		switch {
		case ch.Option.Class == Restart:
			return Restart
		case ch.Option.Class == Rebuild:
			most = Rebuild
		}
	}
	return most
}

// RemoteError refuses what a remote publisher may not set.
type RemoteError struct{ Option, Why string }

// Error names the option and the reason.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("%s cannot be set remotely: %s; set it in the torrc of the node", e.Option, e.Why)
}

// AllowRemote checks that a remote publisher may set the option; an option that
// chive does not have is for Load to refuse. The error is a *RemoteError.
func AllowRemote(name string) error {
	o := Find(strings.TrimLeft(name, "+/"))
	if o == nil || o.RemoteDenied == "" {
		return nil
	}
	return &RemoteError{Option: o.Name, Why: o.RemoteDenied}
}

// Setting is one option as it is in force.
type Setting struct {
	Option *Option
	Values []string
	Origin Origin
}

// Settings lists every option as c has it, in the order of Options.
func Settings(c *Config, origins map[string]Origin) []Setting {
	all := Options()
	out := make([]Setting, len(all))
	for i := range all {
		o := Find(all[i].Name)
		out[i] = Setting{Option: o, Values: o.Values(c), Origin: origins[o.Name]}
	}
	return out
}

// Torrc writes one option as lines of a torrc.
func Torrc(name string, values []string) string {
	var b strings.Builder
	for _, v := range values {
		if strings.ContainsAny(v, "#\\") || strings.HasPrefix(v, `"`) || strings.IndexFunc(v, unprintable) >= 0 || v != strings.Trim(v, blank) {
			v = quote(v)
		}
		fmt.Fprintf(&b, "%s %s\n", name, v)
	}
	return b.String()
}

// CheckName finds out whether chive has the option, and refuses a value that no
// line of a torrc could hold: for what reaches the node otherwise. The error is an
// Errors or says what is wrong. A reset has no value to check.
func CheckName(name, value string, reset bool) error {
	switch {
	case len(value) > MaxValueBytes:
		return fmt.Errorf("%s: the value is longer than %d bytes", clip(named(name)), MaxValueBytes)
	case strings.IndexFunc(name+value, unprintable) >= 0:
		return fmt.Errorf("%q: a control character in the name or the value", clip(named(name)))
	case !reset && strings.Trim(value, blank) == "":
		return fmt.Errorf("%s: needs a value", clip(named(name)))
	case Find(name) != nil:
		return nil
	}
	b := &builder{}
	if b.known(Line{Key: name, Value: value}); len(b.errs) > 0 {
		return b.errs
	}
	return fmt.Errorf("%s: %s is what chive does anyway", clip(named(name)), clip(value))
}
