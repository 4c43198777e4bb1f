package logging

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/config"
)

func toFile(path string) *config.Config {
	return &config.Config{Logs: []config.Log{{Severity: config.Notice, Max: config.Err, Target: config.TargetFile, Path: path}}, SafeLogging: true, LogTimeGranularity: time.Second}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func say(l *slog.Logger, msg string, args ...any) {
	l.Log(context.Background(), LevelNotice, msg, args...)
}

// A logger that was derived before follows; what was given to it is shown by the
// rules of the moment.
func TestPrepareChangesALoggerInUse(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	l, err := New(toFile(one), Standard{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	derived := l.With("client", Hide("192.0.2.1")).WithGroup("g")
	say(derived, "first", "a", 1)
	unsafe := toFile(two)
	unsafe.SafeLogging = false
	commit, _, err := l.Prepare(unsafe, false)
	if err != nil {
		t.Fatal(err)
	}
	say(derived, "second", "a", 2)
	_, settle := commit()
	settle()
	say(derived, "third", "a", 3)
	commit, _, err = l.Prepare(toFile(two), false)
	if err != nil {
		t.Fatal(err)
	}
	_, settle = commit()
	settle()
	say(derived, "fourth", "a", 4)
	if got := read(t, one); !strings.Contains(got, "first client=[scrubbed] g.a=1") || !strings.Contains(got, "second client=[scrubbed]") || strings.Contains(got, "third") {
		t.Errorf("first file:\n%s", got)
	}
	if got := read(t, two); !strings.Contains(got, "third client=192.0.2.1 g.a=3") || !strings.Contains(got, "fourth client=[scrubbed]") || strings.Contains(got, "second") {
		t.Errorf("second file:\n%s", got)
	}
}

func TestPrepareThatFailsOrIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	one := filepath.Join(dir, "one")
	l, err := New(toFile(one), Standard{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bad := toFile(filepath.Join(dir, "two"))
	bad.Logs = append(bad.Logs, config.Log{Severity: config.Notice, Max: config.Err, Target: config.TargetFile, Path: filepath.Join(one, "below")})
	if _, _, err := l.Prepare(bad, false); err == nil {
		t.Fatal("no error")
	}
	say(l.Logger, "still here")
	_, abort, err := l.Prepare(toFile(filepath.Join(dir, "three")), false)
	if err != nil {
		t.Fatal(err)
	}
	abort()
	commit, _, err := l.Prepare(toFile(filepath.Join(dir, "four")), false)
	if err != nil {
		t.Fatal(err)
	}
	undo, _ := commit()
	say(l.Logger, "in between")
	undo()
	say(l.Logger, "here again")
	if got := read(t, one); !strings.Contains(got, "still here") || !strings.Contains(got, "here again") || strings.Contains(got, "between") {
		t.Errorf("%s", got)
	}
}

// Reload and rotation: the file is opened anew only when asked, and never emptied.
func TestPrepareOpensAgain(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "log"), filepath.Join(dir, "log.1")
	cfg := toFile(path)
	cfg.TruncateLogFile = true
	l, err := New(cfg, Standard{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	follow := func(again bool) {
		t.Helper()
		commit, _, err := l.Prepare(cfg, again)
		if err != nil {
			t.Fatal(err)
		}
		_, settle := commit()
		settle()
	}
	say(l.Logger, "one")
	follow(true)
	say(l.Logger, "two")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	follow(false)
	say(l.Logger, "three")
	follow(true)
	say(l.Logger, "four")
	if got := strings.Count(read(t, moved), "\n"); got != 3 {
		t.Errorf("%d lines in the file that was moved away", got)
	}
	if got := read(t, path); !strings.Contains(got, "four") || strings.Contains(got, "three") {
		t.Errorf("%s", got)
	}
}

// No line is lost or cut while destinations change.
func TestNoLineIsLost(t *testing.T) {
	var before, after bytes.Buffer
	cfg := toStderr(config.Debug, config.Err)
	other := toStderr(config.Debug, config.Err)
	other.Logs[0].Target = config.TargetStdout
	l, err := New(cfg, Standard{Out: &before, Err: &after})
	if err != nil {
		t.Fatal(err)
	}
	const writers, lines = 8, 200
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range lines {
				say(l.Logger, "a line")
			}
		})
	}
	for i := range 100 {
		to := cfg
		if i%2 == 0 {
			to = other
		}
		commit, _, err := l.Prepare(to, false)
		if err != nil {
			t.Fatal(err)
		}
		_, settle := commit()
		settle()
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := before.String() + after.String()
	if n := strings.Count(all, "[notice] a line\n"); n != writers*lines || strings.Count(all, "\n") != n {
		t.Errorf("%d lines of %d", n, writers*lines)
	}
	say(l.Logger, "closed") // goes nowhere, and harms nobody
}
