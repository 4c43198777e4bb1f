package logging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	std Standard
	out *output
}

// New opens the destinations of cfg. Files are made with mode 0600.
func New(cfg *config.Config, std Standard) (*Logger, error) {
	l := &Logger{std: std, out: &output{}}
	commit, _, err := l.Prepare(cfg, false)
	if err != nil {
		return nil, err
	}
	commit()
	l.Logger = slog.New(&handler{out: l.out})
	return l, nil
}

// Prepare opens what cfg asks for and is not open. Then either commit, which
// makes it what is logged to from the next line on and gives the way back, or
// abort; undo and settle, of which one is to be called, end it. With again, files
// that are open are opened anew under their names: they may have been moved away.
func (l *Logger) Prepare(cfg *config.Config, again bool) (commit func() (undo, settle func()), abort func(), err error) {
	old := l.out.set.Load()
	next := &settings{granularity: cfg.LogTimeGranularity, safe: cfg.SafeLogging}
	var opened []*os.File
	abort = func() { _ = closeAll(opened) } // nothing was written to them
	for _, line := range cfg.Destinations() {
		d := destination{low: line.Severity, high: line.Max, path: line.Path}
		switch line.Target {
		case config.TargetStdout:
			d.w = l.std.Out
		case config.TargetStderr:
			d.w = l.std.Err
		case config.TargetFile:
			f := next.file(line.Path)
			if f == nil && !again {
				f = old.file(line.Path)
			}
			if f == nil {
				if f, err = openFile(line.Path, cfg.TruncateLogFile && old.file(line.Path) == nil); err != nil {
					return nil, nil, errors.Join(fmt.Errorf("log: %w", err), closeAll(opened))
				}
				opened = append(opened, f)
			}
			d.w = f
		}
		next.to = append(next.to, d)
	}
	return func() (undo, settle func()) {
		l.out.swap(next)
		return func() { l.out.swap(old); abort() }, func() { _ = closeAll(old.without(next)) } // every line is written: nothing is lost
	}, abort, nil
}

func openFile(path string, truncate bool) (*os.File, error) {
	mode := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if truncate {
		mode |= os.O_TRUNC
	}
	return os.OpenFile(path, mode, 0o600)
}

// Close closes the log files.
func (l *Logger) Close() error {
	set := l.out.set.Load()
	l.out.swap(&settings{})
	return closeAll(set.without(&settings{}))
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

type destination struct {
	w         io.Writer
	low, high config.Severity
	path      string // of a file
}

// settings is where lines go and how they look; immutable.
type settings struct {
	to          []destination
	granularity time.Duration
	safe        bool
}

// file finds the open file of a path.
func (s *settings) file(path string) *os.File {
	if s == nil {
		return nil
	}
	for _, d := range s.to {
		if f, ok := d.w.(*os.File); ok && d.path == path && path != "" {
			return f
		}
	}
	return nil
}

// without lists the open files that next does not use.
func (s *settings) without(next *settings) (out []*os.File) {
	if s == nil {
		return nil
	}
	for _, d := range s.to {
		f := s.file(d.path)
		if f != nil && next.file(d.path) != f && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// output is what all handlers derived from one logger share.
type output struct {
	mu  sync.Mutex // one line at a time
	set atomic.Pointer[settings]
}

// swap returns when no line goes to the old settings any more.
func (o *output) swap(next *settings) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.set.Store(next)
}

type handler struct {
	out    *output
	prefix string // of keys, from WithGroup
	fixed  []given
}

// given is an attribute from WithAttrs. It is written out anew for each line:
// SafeLogging may have changed.
type given struct {
	prefix string
	attr   slog.Attr
}

// Enabled reports whether some destination takes the level.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	s := severity(l)
	for _, d := range h.out.set.Load().to {
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
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	set := h.out.set.Load()
	line := h.line(set, s, r)
	var errs []error
	for _, d := range set.to {
		if d.low <= s && s <= d.high {
			_, err := d.w.Write(line)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (h *handler) line(set *settings, s config.Severity, r slog.Record) []byte {
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(set.stamp(r.Time))
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "[%s] %s", s, clean(r.Message))
	for _, g := range h.fixed {
		set.attr(&b, g.prefix, g.attr)
	}
	r.Attrs(func(a slog.Attr) bool {
		set.attr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	if set.safe {
		return address.ReplaceAll([]byte(b.String()), []byte(Scrubbed))
	}
	return []byte(b.String())
}

// address is an onion service's, without its ending. It may be in the name of a file or a folder,
// and so in an error of the system's, which no caller can mark.
var address = regexp.MustCompile(`(?i)[a-z2-7]{56}`)

func (s *settings) stamp(t time.Time) string {
	t = t.UTC()
	g := s.granularity
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
	fixed := slices.Clone(h.fixed)
	for _, a := range attrs {
		fixed = append(fixed, given{h.prefix, a})
	}
	return &handler{out: h.out, prefix: h.prefix, fixed: fixed}
}

// WithGroup gives a handler whose further keys start with the name.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{out: h.out, prefix: h.prefix + name + ".", fixed: h.fixed}
}

func (set *settings) attr(b *strings.Builder, prefix string, a slog.Attr) {
	if a.Value.Kind() == slog.KindLogValuer {
		if s, ok := a.Value.Any().(Sensitive); ok && !set.safe {
			a.Value = slog.AnyValue(s.value)
		}
	}
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			set.attr(b, prefix, inner)
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
