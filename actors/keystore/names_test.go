package keystore

import (
	crand "crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	s, err := OpenService(dir, false, crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := Names(dir); err != nil || len(names) != 0 {
		t.Errorf("%q %v", names, err)
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, name := range []string{"one", "one", "two", "one"} { // a name once in a row
		if err := s.NoteName(name, at); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := Names(dir); err != nil || strings.Join(names, " ") != "one two one" {
		t.Errorf("%q %v", names, err)
	}
	if info, err := os.Stat(filepath.Join(dir, namesFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	for i := range maxNames {
		if err := s.NoteName(fmt.Sprint("n", i), at); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := Names(dir); err != nil || len(names) != maxNames || names[0] != "n0" {
		t.Errorf("%d from %q, %v", len(names), names[0], err)
	}
	if err := os.WriteFile(filepath.Join(dir, namesFile), make([]byte, maxNames*nameSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Names(dir); err == nil {
		t.Error("a file of any size is read")
	}
	if err := s.NoteName("x", at); err == nil {
		t.Error("a file that is not ours is written over")
	}
}
