package configuration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chive/config"
	"chive/messages"
)

func revision(n uint64) Revision {
	return Revision{
		ConfigRevision: messages.ConfigRevision{
			Revision: n, Time: time.Unix(1_800_000_000, 0).UTC(), Source: messages.ConfigFromFleet, FleetRevision: n, Author: "U",
			Changes: []messages.ConfigChange{{Option: "LogLevel", New: "debug", Effect: "hot"}},
		},
		Values: map[string][]string{"LogLevel": {"debug"}},
		Fleet:  []config.Live{{Name: "LogLevel", Values: []string{"debug"}, Origin: config.FromFleet}},
	}
}

func TestFileStoreKeepsTheLast(t *testing.T) {
	dir := t.TempDir()
	s := NewFileStore(dir)
	if got, err := s.Load(); err != nil || len(got) != 0 {
		t.Fatalf("%v %v", got, err)
	}
	for n := uint64(1); n <= maxRevisions+6; n++ {
		if err := s.Append(revision(n)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := NewFileStore(dir).Load()
	if err != nil || len(got) != maxRevisions || got[0].Revision != 7 {
		t.Fatalf("%d revisions, %v", len(got), err)
	}
	if diff := cmp.Diff(revision(maxRevisions+6), got[len(got)-1]); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files left behind: %v", entries)
	}
}

// Revisions of many large values: what is written can be read again.
func TestFileStoreStaysReadable(t *testing.T) {
	dir := t.TempDir()
	s := NewFileStore(dir)
	large := []string{strings.Repeat("x", maxHistoryBytes/5)}
	for n := uint64(1); n <= 12; n++ {
		r := revision(n)
		r.Values["Log"] = large
		if err := s.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := NewFileStore(dir).Load()
	if err != nil || len(got) < 2 || got[len(got)-1].Revision != 12 {
		t.Fatalf("%d revisions, %v", len(got), err)
	}
}

func TestBrokenHistoryIsKeptAside(t *testing.T) {
	for name, text := range map[string]string{
		"cut short":      `{"format":1,"revisions":[{"revision":1`,
		"other format":   `{"format":2}`,
		"out of order":   `{"format":1,"revisions":[{"revision":2},{"revision":1}]}`,
		"no number":      `{"format":1,"revisions":[{}]}`,
		"too many":       `{"format":1,"revisions":[` + strings.Repeat(`{"revision":1},`, maxRevisions) + `{"revision":2}]}`,
		"not JSON":       "\x00\x00\x00",
		"nothing at all": "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := NewFileStore(dir)
			if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := s.Load()
			if err == nil || len(got) != 0 || !strings.Contains(err.Error(), ".broken") {
				t.Fatalf("%v %v", got, err)
			}
			if kept, err := os.ReadFile(s.path + ".broken"); err != nil || string(kept) != text {
				t.Errorf("kept %q, %v", kept, err)
			}
			if err := s.Append(revision(1)); err != nil {
				t.Error(err)
			}
			if got, err := NewFileStore(dir).Load(); err != nil || len(got) != 1 {
				t.Errorf("afterwards %v %v", got, err)
			}
		})
	}
}

func TestStoreThatCannotWrite(t *testing.T) {
	s := NewFileStore(filepath.Join(t.TempDir(), "missing"))
	if err := s.Append(revision(1)); err == nil {
		t.Error("no error")
	}
}

// Whatever the file holds: an error, or revisions that ascend.
func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"format":1,"revisions":[{"revision":1,"source":"file","values":{"LogLevel":["debug"]},"fleet":[{"Name":"LogLevel"}]}]}`))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decodeHistory(text)
		if err != nil {
			return
		}
		last := uint64(0)
		for _, r := range got {
			if r.Revision <= last {
				t.Fatal(fmt.Sprint(got))
			}
			last = r.Revision
			allowed(r.Fleet)
			between(r.Values, got[0].Values)
		}
	})
}
