package config

import (
	"fmt"
	"strings"
)

// Redacted is shown in place of a secret that is set. No layer may set an option to it:
// what chive has shown cannot become the secret by accident.
const Redacted = "[set]"

// Secret is a value that is shown nowhere: however it is printed, Redacted stands for it.
type Secret string

// Reveal gives the value to who needs it.
func (s Secret) Reveal() string { return string(s) }

// Format keeps the value out of every fmt verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = f.Write([]byte(Redacted))
	}
}

// MarshalText keeps the value out of JSON and the like.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// credential is a secret of 1 to 255 bytes, which no message repeats.
func credential(name, doc string, field func(*Config) *Secret) Option {
	o := Option{
		Name: name, Type: "text", Default: "", Secret: true, Class: Rebuild, Effect: newProxy, RemoteDenied: deniedPrivacy, Range: "1 to 255 bytes",
		Doc: doc + " It is shown nowhere: " + Redacted + " stands for it, in `chive config show`, differences and the history, which do not tell whether it was another one before. On a command line other users of the machine may see it; in the torrc and the environment they do not.",
	}
	o.apply = func(b *builder, l Line) {
		switch {
		case l.Value == Redacted:
			b.fail(l, ErrValue, "%s stands for a value that chive does not show: write the value itself", Redacted)
		case len(l.Value) < 1 || len(l.Value) > 255:
			b.fail(l, ErrValue, "is not %s", o.Range)
		default:
			*field(&b.cfg) = Secret(l.Value)
		}
	}
	o.show = func(c *Config) []string { return set(field(c).Reveal()) }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

// shown is what may be told of an option's values.
func (o *Option) shown(values []string) []string {
	if !o.Secret || len(values) == 0 {
		return values
	}
	out := make([]string, len(values))
	for i := range out {
		out[i] = Redacted
	}
	return out
}

// named is what a message may repeat of an option's name: one that holds an equals sign is
// a name and a value.
func named(key string) string {
	if name, _, both := strings.Cut(key, "="); both {
		return name + "=…"
	}
	return key
}

// located is what a message may repeat of an address: what is before an @ is a name and a
// password.
func located(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}
