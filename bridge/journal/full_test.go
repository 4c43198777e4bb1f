package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chive/messages"
)

func largeAppend(aggregate string, expected uint64) messages.JournalAppend {
	return messages.JournalAppend{
		Aggregate: aggregate, Expected: expected, ID: fmt.Sprint("large-", expected),
		Events: []messages.JournalEvent{event("said", strings.Repeat("x", 8<<10))},
	}
}

func TestAFullJournalSaysSo(t *testing.T) {
	dir := t.TempDir()
	told := make(chan messages.JournalState, 10)
	o := Options{Dir: dir, MaxBytes: 256 << 10, OnState: func(s messages.JournalState, _ error) { told <- s }}
	j := open(t, o)
	n := uint64(0)
	var err error
	for err == nil && n < 1000 {
		if _, err = j.Append(testContext(t), largeAppend("guards", n)); err == nil {
			n++
		}
	}
	if !errors.Is(err, messages.ErrJournalFull) || !strings.Contains(err.Error(), dir) || n < 10 {
		t.Fatalf("after %d: %v", n, err)
	}
	if s := <-told; s != messages.JournalDegraded {
		t.Errorf("told %v", s)
	}
	if s, err := j.State(); s != messages.JournalDegraded || !errors.Is(err, messages.ErrJournalFull) {
		t.Errorf("state %v, %v", s, err)
	}
	if got := fold(t, j.Load, "guards"); uint64(len(got)) != n {
		t.Errorf("%d events, %d were written", len(got), n)
	}
	j.Close()
	o.MaxBytes *= 2 // as an operator might
	j = open(t, o)
	if got := fold(t, j.Load, "guards"); uint64(len(got)) != n {
		t.Errorf("%d events, %d were written", len(got), n)
	}
	if err := j.Snapshot(testContext(t), "guards", n, event("all", "small")); err != nil {
		t.Fatal(err)
	}
	// With a state, there is always room: what came before it goes.
	for range 400 {
		if n, err = j.Append(testContext(t), largeAppend("guards", n)); err == nil && n%20 == 0 {
			err = j.Snapshot(testContext(t), "guards", n, event("all", "small"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s, err := j.State(); s != messages.JournalReady || err != nil {
		t.Errorf("state %v, %v", s, err)
	}
}

// On a disk that is full nothing that was acknowledged is lost, the error says what is
// wrong, and when there is room again it goes on.
func TestAFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	j := open(t, Options{Dir: filepath.Join(dir, "journal")})
	appendText1(t, j, "guards", 0, "first")
	ballast := filepath.Join(dir, "ballast")
	fill := func() {
		t.Helper()
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
		f.Close()
	}
	fill()
	n := uint64(1)
	var err error
	for err == nil && n < 1000 {
		if _, err = j.Append(testContext(t), largeAppend("guards", n)); err == nil {
			n++
		}
	}
	if !errors.Is(err, messages.ErrJournalUnavailable) && !errors.Is(err, messages.ErrJournalFull) {
		t.Fatalf("after %d: %v", n, err)
	}
	t.Logf("after %d: %v", n, err)
	if s, err := j.State(); s != messages.JournalDegraded || err == nil {
		t.Errorf("state %v, %v", s, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	<-j.turn
	j.next = j.o.Now() // the wait is over
	j.give()
	if got, err := j.Append(testContext(t), largeAppend("guards", n)); err != nil || got != n+1 {
		t.Fatalf("with room again: %d, %v", got, err)
	}
	if got := fold(t, j.Load, "guards"); uint64(len(got)) != n+1 || got[0] != "first" {
		t.Errorf("%d events, want %d", len(got), n+1)
	}
	if s, err := j.State(); s != messages.JournalReady || err != nil {
		t.Errorf("state %v, %v", s, err)
	}
	j.Close()

	// And from the start.
	fill()
	full := filepath.Join(dir, "another")
	if _, _, err := Open(Options{Dir: full}); err == nil {
		t.Log("a new journal fits")
	} else if !errors.Is(err, messages.ErrJournalUnavailable) {
		t.Errorf("open: %v", err)
	}
	j2, rec, err := Open(Options{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		if !errors.Is(err, messages.ErrJournalUnavailable) {
			t.Errorf("open: %v", err)
		}
	} else {
		j2.Close()
	}
	t.Logf("on a full disk: %v, %v", err, rec.Err)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	j, rec = openRecovered(t, Options{Dir: filepath.Join(dir, "journal")})
	t.Logf("with room again: %v", rec.Err)
	if got := fold(t, j.Load, "guards"); uint64(len(got)) != n+1 {
		t.Errorf("%d events, want %d", len(got), n+1)
	}
	j.Close()
}
