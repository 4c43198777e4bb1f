package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chive/messages"
)

// filled makes a folder with 30 events, "e1" to "e30", of one aggregate, a state of the
// first 10 among them, and some of another.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	for n := range uint64(30) {
		appendText1(t, j, "guards", n, fmt.Sprint("e", n+1))
		if n == 9 {
			if err := j.Snapshot(testContext(t), "guards", 10, event("all", "e1-e10")); err != nil {
				t.Fatal(err)
			}
		}
		if n < 3 {
			appendText1(t, j, "config", n, fmt.Sprint("c", n+1))
		}
	}
	j.Close()
	return dir
}

// files lists those of the store, without the folder that they are in.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(dir, storeFolder), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func block(t *testing.T, dir string) string {
	t.Helper()
	for _, path := range files(t, dir) {
		if strings.HasSuffix(path, ".blk") {
			return path
		}
	}
	t.Fatal("no block")
	return ""
}

// change writes what f makes of a file's content.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spoil flips a bit of the text in the record that holds it.
func spoil(text string) func([]byte) []byte {
	return func(b []byte) []byte {
		b[textAt(b, text)] ^= 1
		return b
	}
}

// textAt is where an event's text begins. Its length and kind stand before it, so that no
// checksum is taken for it.
func textAt(b []byte, text string) int {
	before := string(appendText(nil, "said")) + "\x01" + string(rune(len(text)))
	if strings.HasPrefix(text, "e1-") {
		before = string(appendText(nil, "all")) + "\x01" + string(rune(len(text)))
	}
	return bytes.Index(b, []byte(before+text)) + len(before)
}

func TestDamage(t *testing.T) {
	all := func(from, to int) []string {
		var out []string
		for n := from; n <= to; n++ {
			out = append(out, fmt.Sprint("e", n))
		}
		return out
	}
	tests := []struct {
		name    string
		damage  func(t *testing.T, dir string)
		quiet   bool     // nothing to tell: nothing was lost
		guards  []string // what History gives
		config  []string
		noAside bool
	}{
		{name: "nothing", damage: func(*testing.T, string) {}, quiet: true, guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 30)), config: []string{"c1", "c2", "c3"}},
		{
			name: "a bit of an event after the state", damage: func(t *testing.T, dir string) { change(t, block(t, dir), spoil("e25")) },
			guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 24)), config: []string{"c1", "c2", "c3"},
		},
		{
			name: "a bit of an event before the state", damage: func(t *testing.T, dir string) { change(t, block(t, dir), spoil("e5")) },
			guards: slices.Concat(all(6, 10), []string{"=e1-e10"}, all(11, 30)), config: []string{"c1", "c2", "c3"},
		},
		{
			name: "a bit of the state", damage: func(t *testing.T, dir string) { change(t, block(t, dir), spoil("e1-e10")) },
			guards: all(1, 30), config: []string{"c1", "c2", "c3"},
		},
		{
			name: "a bit of the last event", damage: func(t *testing.T, dir string) { change(t, block(t, dir), spoil("e30")) },
			guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 29)), config: []string{"c1", "c2", "c3"},
		},
		{
			name: "a bit of the other aggregate", damage: func(t *testing.T, dir string) { change(t, block(t, dir), spoil("c1")) },
			guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 30)),
		},
		{name: "the server's part of a record", damage: func(t *testing.T, dir string) {
			change(t, block(t, dir), func(b []byte) []byte { b[textAt(b, "e12")+3+4] ^= 1; return b })
		}, guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 30)), config: []string{"c1", "c2", "c3"}},
		{name: "a folder with all that is in it", damage: func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, storeFolder)); err != nil {
				t.Fatal(err)
			}
		}, noAside: true},
		{name: "a file in place of the folder", damage: func(t *testing.T, dir string) {
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, storeFolder)), os.WriteFile(filepath.Join(dir, storeFolder), []byte("x"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "an empty block", damage: func(t *testing.T, dir string) { change(t, block(t, dir), func([]byte) []byte { return nil }) }},
		{name: "zeros for a block", damage: func(t *testing.T, dir string) {
			change(t, block(t, dir), func(b []byte) []byte { clear(b); return b })
		}},
		{name: "a record half written at the end", damage: func(t *testing.T, dir string) {
			change(t, block(t, dir), func(b []byte) []byte { return append(b, b[len(b)-150:len(b)-20]...) })
		}, quiet: true, guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 30)), config: []string{"c1", "c2", "c3"}},
		{name: "the end of the last record", damage: func(t *testing.T, dir string) {
			change(t, block(t, dir), func(b []byte) []byte { return b[:len(b)-4] })
		}, quiet: true, guards: slices.Concat(all(1, 10), []string{"=e1-e10"}, all(11, 30)), config: []string{"c1", "c2", "c3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filled(t)
			tt.damage(t, dir)
			j, rec := openRecovered(t, Options{Dir: dir})
			if tt.quiet != (rec.Err == nil) {
				t.Fatalf("recovery: %v", rec.Err)
			}
			if !tt.quiet {
				if !errors.Is(rec.Err, messages.ErrJournalCorrupt) || !strings.Contains(rec.Err.Error(), filepath.Join(dir, storeFolder)) {
					t.Errorf("recovery: %v", rec.Err)
				}
				if _, err := os.Lstat(rec.Aside); (err != nil) != tt.noAside || !tt.noAside && !strings.Contains(rec.Err.Error(), rec.Aside) {
					t.Errorf("aside: %q, %v", rec.Aside, err)
				}
				t.Log(rec.Err)
			}
			for range 2 {
				wantFold(t, fold(t, j.History, "guards"), tt.guards...)
				wantFold(t, fold(t, j.History, "config"), tt.config...)
				n := uint64(len(fold(t, j.History, "more")))
				appendText1(t, j, "more", n, "after")
				j.Close()
				j = open(t, Options{Dir: dir})
			}
		})
	}
}

// Whatever happens to whichever file, a journal opens, and has what can be verified.
func TestEveryFile(t *testing.T) {
	want := files(t, filled(t))
	for n := range want {
		for name, f := range map[string]func(t *testing.T, path string){
			"gone":  func(t *testing.T, path string) { _ = os.Remove(path) },
			"empty": func(t *testing.T, path string) { change(t, path, func([]byte) []byte { return nil }) },
			"half":  func(t *testing.T, path string) { change(t, path, func(b []byte) []byte { return b[:len(b)/2] }) },
			"garbage": func(t *testing.T, path string) {
				change(t, path, func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) })
			},
			"more": func(t *testing.T, path string) {
				change(t, path, func(b []byte) []byte { return append(b, "more"...) })
			},
		} {
			dir := filled(t)
			path := files(t, dir)[n]
			t.Run(filepath.Base(path)+" "+name, func(t *testing.T) {
				f(t, path)
				j, rec := openRecovered(t, Options{Dir: dir})
				t.Log(rec.Err)
				got := fold(t, j.Load, "guards")
				if !strings.HasSuffix(path, ".blk") && (len(got) != 21 || got[20] != "e30") {
					t.Errorf("got %q, all records are there", got)
				}
				j.Close()
				j = open(t, Options{Dir: dir})
				wantFold(t, fold(t, j.Load, "guards"), got...)
			})
		}
	}
}

func TestARecoveryThatIsCutShortIsDoneAgain(t *testing.T) {
	dir := filled(t)
	change(t, block(t, dir), spoil("e25"))
	const aside = asidePrefix + "x"
	if err := writeMarker(dir, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, storeFolder), filepath.Join(dir, aside)); err != nil {
		t.Fatal(err)
	}
	// A part of the copy is there.
	x, err := openIndexed(Options{Dir: dir, Timeout: patience}.withDefaults())
	if err == nil {
		_, err = x.store.append("guards", 0, "", (&record{aggregate: "guards", id: "x", sequence: 1, events: []messages.JournalEvent{event("said", "e1")}}).encode())
		x.store.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	j, rec := openRecovered(t, Options{Dir: dir})
	if !errors.Is(rec.Err, messages.ErrJournalCorrupt) || rec.Kept != 24+3 || rec.Lost < 5 {
		t.Errorf("recovery: %+v", rec)
	}
	if got := fold(t, j.Load, "guards"); got[len(got)-1] != "e24" {
		t.Errorf("got %q", got)
	}
	j.Close()
	open(t, Options{Dir: dir}).Close()

	// Not even moved yet.
	if err := writeMarker(dir, asidePrefix+"y"); err != nil {
		t.Fatal(err)
	}
	j = open(t, Options{Dir: dir})
	if got := fold(t, j.Load, "guards"); got[len(got)-1] != "e24" {
		t.Errorf("got %q", got)
	}
}

func TestOnlyTheLastDamagedStoresAreKept(t *testing.T) {
	dir := filled(t)
	for range keepAside + 2 {
		change(t, block(t, dir), spoil("c1"))
		j, rec := openRecovered(t, Options{Dir: dir})
		if rec.Err == nil {
			t.Fatal("no damage")
		}
		appendText1(t, j, "config", 0, "c1")
		j.Close()
	}
	kept, err := filepath.Glob(filepath.Join(dir, asidePrefix+"*"))
	if err != nil || len(kept) != keepAside {
		t.Errorf("%q, %v", kept, err)
	}
}

// A store whose files go bad while it is open tells so, and is opened anew.
func TestDamageWhileOpen(t *testing.T) {
	dir := filled(t)
	told := make(chan Recovery, 1)
	j := open(t, Options{Dir: dir, OnRecovery: func(r Recovery) { told <- r }})
	appendText1(t, j, "config", 3, "c4")
	<-j.turn
	j.failed(errors.New("the disk said no"))
	j.next = j.o.Now()
	change(t, block(t, dir), spoil("e25"))
	j.give()
	if s, err := j.State(); s != messages.JournalDegraded || err == nil {
		t.Errorf("state %v, %v", s, err)
	}
	got := fold(t, j.Load, "guards")
	if got[len(got)-1] != "e24" {
		t.Errorf("got %q", got)
	}
	if r := <-told; !errors.Is(r.Err, messages.ErrJournalCorrupt) {
		t.Errorf("told %+v", r)
	}
	appendText1(t, j, "config", 4, "c5")
	if s, err := j.State(); s != messages.JournalReady || err != nil {
		t.Errorf("state %v, %v", s, err)
	}
}

func TestMarker(t *testing.T) {
	for text, want := range map[string]marker{
		"":                                      {existed: true},
		"chive journal 1\n":                     {existed: true},
		"chive journal":                         {existed: true},
		"\x00\x00\x00":                          {existed: true},
		"chive journal 1\nrebuild damaged-1\n":  {existed: true, rebuild: "damaged-1"},
		"chive journal 1\nrebuild damaged-1":    {existed: true},
		"chive journal 1\nrebuild ../damaged\n": {existed: true},
		"chive journal 1\nrebuild damaged-/x\n": {existed: true},
		"chive journal 1\nrebuild jetstream\n":  {existed: true},
	} {
		if got, err := parseMarker([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}
