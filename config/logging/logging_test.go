package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chive/config"
)

var noon = time.Date(2026, 11, 24, 12, 0, 1, 987654321, time.FixedZone("", 3600))

func line(t *testing.T, cfg *config.Config, level slog.Level, with func(*slog.Logger) *slog.Logger, msg string, attrs ...any) (out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	l, err := New(cfg, Standard{Out: &stdout, Err: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	logger := l.Logger
	if with != nil {
		logger = with(logger)
	}
	r := slog.NewRecord(noon, level, msg, 0)
	r.Add(attrs...)
	if logger.Enabled(context.Background(), level) {
		if err := logger.Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	return stdout.String(), stderr.String()
}

func toStderr(low, high config.Severity) *config.Config {
	return &config.Config{
		Logs:               []config.Log{{Severity: low, Max: high, Target: config.TargetStderr}},
		LogTimeGranularity: time.Second, SafeLogging: true,
	}
}

// onionAddress is the specification's example of one.
const onionAddress = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd"

func TestLine(t *testing.T) {
	tests := []struct {
		name  string
		with  func(*slog.Logger) *slog.Logger
		msg   string
		attrs []any
		want  string
	}{
		{"plain", nil, "circuit open", []any{"hops", 3, "took", 1500 * time.Millisecond}, "circuit open hops=3 took=1.5s"},
		{"quoted", nil, "x", []any{"a", "b c", "d", `e"f`, "g", "", "h", "i=j"}, `x a="b c" d="e\"f" g="" h="i=j"`},
		{"one line whatever comes in", nil, "x\ny", []any{"a", "b\nc", "k\r", 1}, `x\ny a="b\nc" k\r=1`},
		{"groups", func(l *slog.Logger) *slog.Logger { return l.With("n", 1).WithGroup("g").With("m", 2) }, "x", []any{"a", 1, slog.Group("h", "b", 2)}, "x n=1 g.m=2 g.a=1 g.h.b=2"},
		{"errors", nil, "x", []any{"err", errors.New("no route")}, `x err="no route"`},
		{"sensitive", func(l *slog.Logger) *slog.Logger { return l.With("client", Hide("192.0.2.1")) }, "x", []any{"target", Hide("secret.onion")}, "x client=[scrubbed] target=[scrubbed]"},
		{"addresses in names of files", nil, "x", []any{"folder", "/srv/" + onionAddress, "err", errors.New("open /k/" + strings.ToUpper(onionAddress) + ".auth_private: denied")}, `x folder=/srv/[scrubbed] err="open /k/[scrubbed].auth_private: denied"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := line(t, toStderr(config.Debug, config.Err), LevelNotice, tt.with, tt.msg, tt.attrs...)
			if want := "2026-11-24T11:00:01Z [notice] " + tt.want + "\n"; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestSafeLoggingOff(t *testing.T) {
	cfg := toStderr(config.Debug, config.Err)
	cfg.SafeLogging = false
	_, got := line(t, cfg, LevelNotice, nil, "x", "target", Hide("example.com:80"), "folder", onionAddress)
	if !strings.HasSuffix(got, "x target=example.com:80 folder="+onionAddress+"\n") {
		t.Errorf("%q", got)
	}
}

func TestSensitiveNeverPrintsItself(t *testing.T) {
	s := Hide("secret.onion")
	asJSON, err := json.Marshal(map[string]any{"a": s})
	if err != nil {
		t.Fatal(err)
	}
	var other bytes.Buffer
	slog.New(slog.NewTextHandler(&other, nil)).Info("x", "a", s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %d", s, s, s, s, s, s), fmt.Errorf("to %v", s).Error(), string(asJSON), other.String()} {
		if strings.Contains(text, "secret") || !strings.Contains(text, Scrubbed) {
			t.Errorf("%q", text)
		}
	}
}

func TestSeverities(t *testing.T) {
	levels := map[config.Severity]slog.Level{config.Debug: slog.LevelDebug, config.Info: slog.LevelInfo, config.Notice: LevelNotice, config.Warn: slog.LevelWarn, config.Err: slog.LevelError}
	for low := config.Debug; low <= config.Err; low++ {
		for high := low; high <= config.Err; high++ {
			for s, level := range levels {
				_, got := line(t, toStderr(low, high), level, nil, "x")
				if want := low <= s && s <= high; (got != "") != want {
					t.Errorf("%s in %s-%s: %q", s, low, high, got)
				} else if want && !strings.Contains(got, "["+s.String()+"]") {
					t.Errorf("%s written as %q", s, got)
				}
			}
		}
	}
}

func TestGranularity(t *testing.T) {
	for g, want := range map[time.Duration]string{
		time.Second: "2026-11-24T11:00:01Z ", time.Hour: "2026-11-24T11:00:00Z ", time.Millisecond: "2026-11-24T11:00:01.987Z ", 100 * time.Millisecond: "2026-11-24T11:00:01.900Z ",
	} {
		cfg := toStderr(config.Debug, config.Err)
		cfg.LogTimeGranularity = g
		if _, got := line(t, cfg, slog.LevelInfo, nil, "x"); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %q, want %q", g, got, want)
		}
	}
}

func TestDestinations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := toStderr(config.Warn, config.Err)
	cfg.Logs = append(cfg.Logs,
		config.Log{Severity: config.Debug, Max: config.Err, Target: config.TargetFile, Path: path},
		config.Log{Severity: config.Debug, Max: config.Err, Target: config.TargetStdout})
	out, errOut := line(t, cfg, slog.LevelInfo, nil, "x")
	if errOut != "" || !strings.HasSuffix(out, "[info] x\n") {
		t.Errorf("stdout %q, stderr %q", out, errOut)
	}
	content := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := content(); got != "before\n2026-11-24T11:00:01Z [info] x\n" {
		t.Errorf("file %q", got)
	}
	cfg.TruncateLogFile = true
	line(t, cfg, slog.LevelInfo, nil, "y")
	if got := content(); got != "2026-11-24T11:00:01Z [info] y\n" {
		t.Errorf("truncated file %q", got)
	}
	cfg.Logs[1].Path = filepath.Join(path, "below")
	var pathError *fs.PathError
	if _, err := New(cfg, Standard{}); !errors.As(err, &pathError) {
		t.Errorf("a path that can't be opened: %v", err)
	}
}
