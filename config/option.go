package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Option is what chive knows about one torrc option. docs/configuration.md and
// `chive options` are written from these.
type Option struct {
	Name           string
	Type           string // as a reader should write it: 0|1, time, folder, …
	Default        string // in torrc syntax; "" when there is none
	TestingDefault string // instead of Default under TestingTorNetwork; "" when the same
	Unit           string // of a number without one; "" when the value is no quantity
	Range          string // in words; "" when the type says it all
	List           bool   // may be given many times
	Own            bool   // chive's own: C tor does not know it
	Secret         bool   // its value is shown nowhere; Redacted stands for it
	Doc            string // one paragraph
	Differs        string // how chive differs from C tor; "" when it doesn't
	Class          Class
	Effect         string // when a change takes effect, or why it needs a restart
	RemoteDenied   string // why a remote publisher may not set it; "" when it may

	apply func(*builder, Line)       // one line into the Config
	show  func(*Config) []string     // the values that would give the Config again; none: the default
	keep  func(dst, running *Config) // take over what the running node has; set for Restart only
}

// Class says what a change of an option asks of a running node.
type Class string

// The classes, least to most.
const (
	Hot     Class = "hot"     // takes effect in the running node
	Rebuild Class = "rebuild" // likewise, and new circuits replace the old; open streams stay
	Restart Class = "restart" // takes effect when the node starts again
)

// Options lists what chive honours, by name.
func Options() []Option {
	out := append([]Option(nil), table...)
	sort.Slice(out, func(i, j int) bool { return strings.ToLower(out[i].Name) < strings.ToLower(out[j].Name) })
	return out
}

// builder gathers a Config and everything that is wrong with it.
type builder struct {
	cfg     Config
	errs    Errors
	set     map[string]Line   // options that some line has set, by canonical name
	origin  map[string]Origin // of these
	testing bool              // TestingTorNetwork 1: some defaults differ

	off      [protocols]*Line             // SocksPort 0 and the like
	explicit [protocols][]map[string]bool // flags that each listener names, lower case
}

func (b *builder) fail(l Line, kind error, format string, args ...any) {
	b.errs = append(b.errs, l.errorf(kind, format, args...))
}

func (b *builder) warn(l Line, format string, args ...any) {
	b.cfg.Warnings = append(b.cfg.Warnings, l.errorf(nil, format, args...))
}

func flag(o Option, field func(*Config) *bool) Option {
	o.Type = "0|1"
	o.apply = func(b *builder, l Line) {
		switch l.Value {
		case "0", "1":
			*field(&b.cfg) = l.Value == "1"
		default:
			b.fail(l, ErrValue, "%q is not a switch: write 1 for yes or 0 for no", clip(l.Value))
		}
	}
	o.show = func(c *Config) []string { return []string{digit(*field(c))} }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

// auto is a switch that may be left to the node.
func auto(o Option, field func(*Config) *string) Option {
	o.Type, o.Range = "auto|0|1", "auto, 0 or 1"
	o.apply = func(b *builder, l Line) {
		switch v := strings.ToLower(l.Value); v {
		case "auto", "0", "1":
			*field(&b.cfg) = v
		default:
			b.fail(l, ErrValue, "%q is not auto, 0 or 1", clip(l.Value))
		}
	}
	return textual(o, field)
}

func digit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// number is a whole one from least to most.
func number(o Option, unit string, least, most int, field func(*Config) *int) Option {
	o.Type, o.Unit = "number", unit
	o.Range = fmt.Sprintf("%d to %d", least, most)
	o.apply = func(b *builder, l Line) {
		n, err := strconv.Atoi(l.Value)
		if err != nil || n < least || n > most {
			b.fail(l, ErrValue, "%q is not a whole number from %s", clip(l.Value), o.Range)
			return
		}
		*field(&b.cfg) = n
	}
	o.show = func(c *Config) []string { return []string{strconv.Itoa(*field(c))} }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

// interval is a time with a unit; shortest and longest bound it.
func interval(o Option, unit, shortest, longest time.Duration, field func(*Config) *time.Duration) Option {
	o.Type, o.Unit = "time", unitName(unit)
	o.Range = fmt.Sprintf("%s to %s", Interval(shortest), Interval(longest))
	o.apply = func(b *builder, l Line) {
		d, err := parseInterval(l.Value, unit)
		switch {
		case err != nil:
			b.fail(l, ErrValue, "%v", err)
		case d < shortest || d > longest:
			b.fail(l, ErrValue, "%s is out of range: %s", clip(l.Value), o.Range)
		default:
			*field(&b.cfg) = d
		}
	}
	o.show = func(c *Config) []string { return []string{Interval(*field(c))} }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

func unitName(unit time.Duration) string {
	if unit == time.Millisecond {
		return "milliseconds"
	}
	return "seconds"
}

// path is a file or folder; "~/" is the home folder, and a relative one counts
// from the working directory.
func path(o Option, kind string, field func(*Config) *string) Option {
	o.Type = kind
	o.apply = func(b *builder, l Line) {
		p, err := absolute(l.Value)
		if err != nil {
			b.fail(l, ErrValue, "%v", err)
			return
		}
		*field(&b.cfg) = p
	}
	return textual(o, field)
}

// textual shows a string as it is; an empty one is not set.
func textual(o Option, field func(*Config) *string) Option {
	o.show = func(c *Config) []string { return set(*field(c)) }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

func set(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// token is one part of a NATS subject.
func token(o Option, field func(*Config) *string) Option {
	o.Type = "name"
	o.Range = "1 to 63 of a-z, 0-9 and inner dashes"
	o.apply = func(b *builder, l Line) {
		if !validToken(l.Value) {
			b.fail(l, ErrValue, "%q is not a name of %s", clip(l.Value), o.Range)
			return
		}
		*field(&b.cfg) = l.Value
	}
	return textual(o, field)
}

// validToken is the rule of messages.ValidName, which config does not import.
func validToken(s string) bool {
	if len(s) < 1 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func custom(o Option, kind string, apply func(*builder, Line), show func(*Config) []string) Option {
	o.Type, o.apply, o.show = kind, apply, show
	return o
}

// kept says how a custom option keeps what the running node has.
func kept(o Option, keep func(dst, running *Config)) Option {
	o.keep = keep
	return o
}
