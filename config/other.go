package config

import (
	"net/netip"
	"strconv"
	"strings"
)

func (b *builder) longLivedPorts(l Line) {
	var ports []uint16
	for _, word := range strings.FieldsFunc(l.Value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		port, err := parsePort(word)
		if err != nil {
			b.fail(l, ErrValue, "%v", err)
			return
		}
		ports = append(ports, port)
	}
	b.cfg.LongLivedPorts = ports
}

func showPorts(c *Config) []string {
	words := make([]string, len(c.LongLivedPorts))
	for i, p := range c.LongLivedPorts {
		words[i] = strconv.Itoa(int(p))
	}
	return []string{strings.Join(words, ",")}
}

func showOutboundBind(c *Config) (out []string) {
	for _, a := range []netip.Addr{c.OutboundBindAddress4, c.OutboundBindAddress6} {
		if a.IsValid() {
			out = append(out, a.String())
		}
	}
	return out
}

func showLogs(c *Config) (out []string) {
	for _, l := range c.Logs {
		out = append(out, l.String())
	}
	return out
}

func (b *builder) logLevel(l Line) {
	level, ok := severity(strings.ToLower(l.Value))
	if !ok {
		b.fail(l, ErrValue, "unknown severity %q: use debug, info, notice, warn or err", clip(l.Value))
		return
	}
	b.cfg.LogLevel = level.String()
}

func (b *builder) outboundBind(l Line) {
	addr, err := netip.ParseAddr(strings.Trim(l.Value, "[]"))
	if err != nil || addr.Zone() != "" {
		b.fail(l, ErrValue, "%q is not an IP address", clip(l.Value))
		return
	}
	field, version := &b.cfg.OutboundBindAddress4, 4
	if addr = addr.Unmap(); addr.Is6() {
		field, version = &b.cfg.OutboundBindAddress6, 6
	}
	if field.IsValid() {
		b.fail(l, ErrConflict, "a second IPv%d address", version)
		return
	}
	*field = addr
}

// log reads "SEVERITY[-SEVERITY] stderr|stdout|file PATH"; "Log notice" alone
// means stderr, and "Log file PATH" means notice.
func (b *builder) log(l Line) {
	if strings.HasPrefix(l.Value, "[") {
		b.fail(l, ErrUnsupported, "log domains in brackets are not supported yet")
		return
	}
	out := Log{Severity: Notice, Max: Err, Target: TargetStderr}
	word, rest := cutWord(l.Value)
	if word == "" {
		b.fail(l, ErrValue, "needs a severity and a destination, as in notice stderr")
		return
	}
	if isTarget(word) {
		rest = l.Value
	} else if err := out.severities(word); err != "" {
		b.fail(l, ErrValue, "%s", err)
		return
	}
	target, path := cutWord(rest)
	switch strings.ToLower(target) {
	case "", "stderr":
	case "stdout":
		out.Target = TargetStdout
	case "file":
		out.Target = TargetFile
		p, err := absolute(strings.Trim(path, `"`))
		if err != nil {
			b.fail(l, ErrValue, "file: %v", err)
			return
		}
		out.Path, path = p, ""
	case "syslog", "android":
		b.fail(l, ErrUnsupported, "logging to %s is not supported yet: use stderr, stdout or file PATH", target)
		return
	default:
		b.fail(l, ErrValue, "unknown destination %q: use stderr, stdout or file PATH", clip(target))
		return
	}
	if path != "" {
		b.fail(l, ErrValue, "text after the destination: %q", clip(path))
		return
	}
	b.cfg.Logs = append(b.cfg.Logs, out)
}

func isTarget(word string) bool {
	switch strings.ToLower(word) {
	case "stderr", "stdout", "file", "syslog":
		return true
	}
	return false
}

// severities reads "notice" or "debug-info"; it returns what is wrong.
func (out *Log) severities(word string) string {
	low, high, isRange := strings.Cut(strings.ToLower(word), "-")
	var ok bool
	if out.Severity, ok = severity(low); !ok {
		return "unknown severity " + clip(low) + ": use debug, info, notice, warn or err"
	}
	if !isRange {
		return ""
	}
	if out.Max, ok = severity(high); !ok {
		return "unknown severity " + clip(high) + ": use debug, info, notice, warn or err"
	}
	if out.Max < out.Severity {
		return "the range " + word + " is empty: write the lower severity first"
	}
	return ""
}

func severity(word string) (Severity, bool) {
	switch word {
	case "warning":
		return Warn, true
	case "error":
		return Err, true
	}
	for i, name := range severityNames {
		if word == name {
			return Severity(i), true
		}
	}
	return 0, false
}

func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, blank)
	if i := strings.IndexAny(s, blank); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], blank)
	}
	return s, ""
}
