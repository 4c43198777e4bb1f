package logging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"chive/config"
)

// LevelNotice is what C tor's notice is in slog: above Info, below Warn.
const LevelNotice = slog.LevelInfo + 2

// severity is the torrc's word for a slog level.
func severity(l slog.Level) config.Severity {
	switch {
	case l < slog.LevelInfo:
		return config.Debug
	case l < LevelNotice:
		return config.Info
	case l < slog.LevelWarn:
		return config.Notice
	case l < slog.LevelError:
		return config.Warn
	}
	return config.Err
}

// Standard is where stdout and stderr lines go.
type Standard struct{ Out, Err io.Writer }

// Logger is a logger over every destination of a Config; Close it when nothing
// logs any more.
type Logger struct {
	*slog.Logger
	files []*os.File
}

// New opens the destinations of cfg.Logs. Files are made with mode 0600.
func New(cfg *config.Config, std Standard) (*Logger, error) {
	l := &Logger{}
	h := &handler{out: &output{granularity: cfg.LogTimeGranularity, safe: cfg.SafeLogging}}
	for _, line := range cfg.Logs {
		d := destination{low: line.Severity, high: line.Max}
		switch line.Target {
		case config.TargetStdout:
			d.w = std.Out
		case config.TargetStderr:
			d.w = std.Err
		case config.TargetFile:
			mode := os.O_WRONLY | os.O_CREATE | os.O_APPEND
			if cfg.TruncateLogFile {
				mode |= os.O_TRUNC
			}
			f, err := os.OpenFile(line.Path, mode, 0o600)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("log: %w", err), l.Close())
			}
			l.files = append(l.files, f)
			d.w = f
		}
		h.out.to = append(h.out.to, d)
	}
	l.Logger = slog.New(h)
	return l, nil
}

// Close closes the log files.
func (l *Logger) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	l.files = nil
	return errors.Join(errs...)
}

type destination struct {
	w         io.Writer
	low, high config.Severity
}

// output is what all handlers derived from one logger share.
type output struct {
	mu          sync.Mutex // one line at a time
	to          []destination
	granularity time.Duration
	safe        bool
}

type handler struct {
	out    *output
	prefix string // of keys, from WithGroup
	fixed  string // attributes from WithAttrs, already written out
}

// Enabled reports whether some destination takes the level.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	s := severity(l)
	for _, d := range h.out.to {
		if d.low <= s && s <= d.high {
			return true
		}
	}
	return false
}

// Handle writes one line to every destination that takes its level. All are
// tried; the errors are joined.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	s := severity(r.Level)
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(h.stamp(r.Time))
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "[%s] %s", s, clean(r.Message))
	b.WriteString(h.fixed)
	r.Attrs(func(a slog.Attr) bool {
		h.attr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	line := []byte(b.String())

	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	var errs []error
	for _, d := range h.out.to {
		if d.low <= s && s <= d.high {
			_, err := d.w.Write(line)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (h *handler) stamp(t time.Time) string {
	t = t.UTC()
	g := h.out.granularity
	if g > 0 {
		t = t.Truncate(g)
	}
	if g > 0 && g%time.Second == 0 {
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

// WithAttrs gives a handler whose lines carry the attributes.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		h.attr(&b, h.prefix, a)
	}
	return &handler{out: h.out, prefix: h.prefix, fixed: h.fixed + b.String()}
}

// WithGroup gives a handler whose further keys start with the name.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{out: h.out, prefix: h.prefix + name + ".", fixed: h.fixed}
}

func (h *handler) attr(b *strings.Builder, prefix string, a slog.Attr) {
	if a.Value.Kind() == slog.KindLogValuer {
		if s, ok := a.Value.Any().(Sensitive); ok && !h.out.safe {
			a.Value = slog.AnyValue(s.value)
		}
	}
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			h.attr(b, prefix, inner)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := v.String()
	if v.Kind() == slog.KindTime {
		text = v.Time().UTC().Format(time.RFC3339)
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(b, " %s%s=%s", prefix, clean(a.Key), text)
}

// clean keeps a line one line.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
