package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"chive/config"
)

// levelNotice lies between info and warn, as in C tor.
const levelNotice = slog.Level(2)

// level gives C tor's severities as slog's.
func level(s config.Severity) slog.Level {
	switch s {
	case config.Debug:
		return slog.LevelDebug
	case config.Info:
		return slog.LevelInfo
	case config.Notice:
		return levelNotice
	case config.Warn:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// openLogs makes one logger that writes to every Log line's target.
func openLogs(cfg *config.Config, std streams) (*slog.Logger, func(), error) {
	var all fanout
	var files []io.Closer
	closeAll := func() {
		for _, f := range files {
			_ = f.Close() // what it held is written already
		}
	}
	for _, l := range cfg.Logs {
		w := std.err
		switch l.Target {
		case config.TargetStdout:
			w = std.out
		case config.TargetFile:
			flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
			if cfg.TruncateLogFile {
				flags |= os.O_TRUNC
			}
			f, err := os.OpenFile(l.Path, flags, 0o600)
			if err != nil {
				closeAll()
				return nil, nil, err
			}
			files = append(files, f)
			w = f
		}
		all = append(all, slog.NewTextHandler(w, &slog.HandlerOptions{Level: level(l.Severity), ReplaceAttr: replace(cfg)}))
	}
	return slog.New(all), closeAll, nil
}

// replace rounds times as LogTimeGranularity says, and names the notice level.
func replace(cfg *config.Config) func([]string, slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch v := a.Value.Any().(type) {
		case time.Time:
			if a.Key == slog.TimeKey {
				return slog.Time(a.Key, v.Truncate(max(cfg.LogTimeGranularity, time.Millisecond)))
			}
		case slog.Level:
			if v == levelNotice {
				return slog.String(a.Key, "NOTICE")
			}
		}
		return a
	}
}

// fanout gives each record to every handler that wants it.
type fanout []slog.Handler

// Enabled reports whether any handler is.
func (f fanout) Enabled(ctx context.Context, l slog.Level) bool {
	for _, h := range f {
		if h.Enabled(ctx, l) {
			return true
		}
	}
	return false
}

// Handle implements slog.Handler.
func (f fanout) Handle(ctx context.Context, r slog.Record) error {
	var err error
	for _, h := range f {
		if h.Enabled(ctx, r.Level) {
			err = errors.Join(err, h.Handle(ctx, r.Clone()))
		}
	}
	return err
}

// WithAttrs implements slog.Handler.
func (f fanout) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make(fanout, len(f))
	for i, h := range f {
		out[i] = h.WithAttrs(attrs)
	}
	return out
}

// WithGroup implements slog.Handler.
func (f fanout) WithGroup(name string) slog.Handler {
	out := make(fanout, len(f))
	for i, h := range f {
		out[i] = h.WithGroup(name)
	}
	return out
}
