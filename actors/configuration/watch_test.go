package configuration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// until waits for an event that says so.
func (d *desk) until(what string) string {
	d.t.Helper()
	deadline := time.After(time.Minute)
	for {
		for _, told := range d.told() {
			if strings.HasPrefix(told, what) {
				return told
			}
		}
		select {
		case <-d.stir:
		case <-deadline:
			d.t.Fatalf("not told: %s", what)
		}
	}
}

// The ways in which files change. Each is noticed by itself, by what it says.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	do := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	// write puts a file into place at once: half of one could stay for long enough to be read.
	beside := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		next := filepath.Join(beside, "next")
		do(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, at(name)))
	}
	top := "DataDirectory " + dir + "\n%include " + dir + "/more\n%include " + dir + "/linked/torrc\n"
	do(os.Mkdir(at("more"), 0o700), os.Mkdir(at("v1"), 0o700), os.Mkdir(at("v2"), 0o700))
	write("v1/torrc", "MaxCircuitDirtiness 11 seconds\n")
	write("v2/torrc", "MaxCircuitDirtiness 12 seconds\n")
	do(os.Symlink("v1", at("linked")))
	source := settings(t, "")
	source.File = at("torrc")
	write("torrc", top)
	d := watchingDesk(t, source)

	t.Run("written in place", func(t *testing.T) {
		f, err := os.OpenFile(at("torrc"), os.O_WRONLY|os.O_APPEND, 0)
		do(err)
		_, err = f.WriteString("SocksTimeout 20 seconds\n")
		do(err, f.Close())
		d.until("applied 2 file SocksTimeout")
	})
	t.Run("an older file renamed into place", func(t *testing.T) {
		write("aside", top+"SocksTimeout 30 seconds\n")
		old := time.Unix(1_000_000_000, 0)
		do(os.Chtimes(at("aside"), old, old), os.Rename(at("aside"), at("torrc")))
		d.until("applied 3 file SocksTimeout")
	})
	t.Run("a file more in an included folder", func(t *testing.T) {
		write("more/a", "LogLevel debug\n")
		d.until("applied 4 file LogLevel")
	})
	t.Run("a link to another folder", func(t *testing.T) {
		do(os.Symlink("v2", at("next")), os.Rename(at("next"), at("linked")))
		d.until("applied 5 file MaxCircuitDirtiness")
	})
	t.Run("a mistake is told once, and changes nothing", func(t *testing.T) {
		before := d.state.Current()
		write("more/a", "LogLevel loud\n")
		d.until("rejected file read: LogLevel: bad value")
		if d.state.Current() != before {
			t.Error("something has changed")
		}
		write("more/a", "LogLevel louder\n") // had the first been told again, this would be the third
		d.until("rejected file read: LogLevel: bad value")
		if n := len(d.state.book.Load().rejected); n != 2 {
			t.Errorf("%d rejections of 2 mistakes", n)
		}
	})
	t.Run("and taken back", func(t *testing.T) {
		write("more/a", "LogLevel debug\nNewCircuitPeriod 7 seconds\n")
		d.until("applied 6 file NewCircuitPeriod")
	})
	t.Run("emptied", func(t *testing.T) {
		do(os.Truncate(at("torrc"), 0))
		d.until("rejected file read: see the node's log")
		if c := d.state.Current(); c.LogLevel != "debug" {
			t.Error("an empty file was taken over")
		}
	})
	t.Run("gone", func(t *testing.T) {
		do(os.Remove(at("torrc")))
		d.until("rejected file read")
		write("torrc", top+"SocksTimeout 40 seconds\n")
		d.until("applied 7 file SocksTimeout")
	})
}

// A file that is being written is left alone until it stays the same.
func TestWatchWaitsForTheEnd(t *testing.T) {
	source := settings(t, "")
	w := &watcher{source: source, seen: source.Look().Hash}
	told := 0
	w.tell = func() { told++ }
	dir := filepath.Dir(source.File)
	for i, text := range []string{"S", "SocksTimeout 1", "SocksTimeout 10 seconds\n"} {
		writeTorrc(t, dir, text)
		if !w.look(nil) || told != 0 {
			t.Fatalf("step %d: told %d", i, told)
		}
	}
	if w.look(nil) || told != 1 {
		t.Fatalf("told %d", told)
	}
	if w.look(nil) || told != 1 {
		t.Fatalf("told again: %d", told)
	}
	// Changed and changed back: nothing happened.
	writeTorrc(t, dir, "SocksTimeout 11 seconds\n")
	w.look(nil)
	writeTorrc(t, dir, "SocksTimeout 10 seconds\n")
	if w.look(nil) || told != 1 {
		t.Fatalf("told %d", told)
	}
}
