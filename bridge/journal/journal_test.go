package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/leak"

	"chive/messages"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	leak.Main(m)
}

// patience only bounds a failure.
const patience = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, o Options) *Journal {
	t.Helper()
	j, rec := openRecovered(t, o)
	if rec.Err != nil {
		t.Fatalf("recovery: %v", rec.Err)
	}
	return j
}

func openRecovered(t testing.TB, o Options) (*Journal, Recovery) {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	j, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return j, rec
}

func event(kind, data string) messages.JournalEvent {
	return messages.JournalEvent{Kind: kind, Version: 1, Data: []byte(data)}
}

func appendText1(t testing.TB, j *Journal, aggregate string, expected uint64, texts ...string) uint64 {
	t.Helper()
	a := messages.JournalAppend{Aggregate: aggregate, Expected: expected, ID: fmt.Sprintf("t-%d", expected)}
	for _, text := range texts {
		a.Events = append(a.Events, event("said", text))
	}
	n, err := j.Append(testContext(t), a)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fold is what Load gives, one string an entry; "=" stands before a state.
func fold(t testing.TB, load func(context.Context, string, messages.JournalSchema, func(messages.JournalEntry) error) (uint64, error), aggregate string) []string {
	t.Helper()
	var got []string
	last := uint64(0)
	n, err := load(testContext(t), aggregate, nil, func(e messages.JournalEntry) error {
		text := string(e.Event.Data)
		if e.State {
			text = "=" + text
		} else if len(got) > 0 && e.Sequence != last+1 {
			t.Errorf("event %d after %d", e.Sequence, last)
		}
		last = e.Sequence
		got = append(got, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n != last {
		t.Errorf("sequence %d, the last entry has %d", n, last)
	}
	return got
}

func wantFold(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEventsAreThereAgain(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	if n := appendText1(t, j, "guards", 0, "a"); n != 1 {
		t.Errorf("sequence %d, want 1", n)
	}
	if n := appendText1(t, j, "guards", 1, "b", "c"); n != 3 {
		t.Errorf("sequence %d, want 3", n)
	}
	appendText1(t, j, "config", 0, "x")
	for range 3 {
		wantFold(t, fold(t, j.Load, "guards"), "a", "b", "c")
		wantFold(t, fold(t, j.Load, "config"), "x")
		wantFold(t, fold(t, j.Load, "nothing"))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = open(t, Options{Dir: dir})
	}
	if n := appendText1(t, j, "guards", 3, "d"); n != 4 {
		t.Errorf("sequence %d, want 4", n)
	}
	if s, err := j.State(); s != messages.JournalReady || err != nil {
		t.Errorf("state %v, %v", s, err)
	}
}

func TestWhoDecidedOnAnOlderStateIsRefused(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	appendText1(t, j, "guards", 0, "a", "b")
	for _, expected := range []uint64{0, 1, 3, 100} {
		_, err := j.Append(testContext(t), messages.JournalAppend{Aggregate: "guards", Expected: expected, ID: fmt.Sprint(expected), Events: []messages.JournalEvent{event("said", "c")}})
		if !errors.Is(err, messages.ErrJournalConflict) {
			t.Errorf("append at %d: %v, want a conflict", expected, err)
		}
		if err := j.Snapshot(testContext(t), "guards", expected, event("all", "")); !errors.Is(err, messages.ErrJournalConflict) {
			t.Errorf("snapshot at %d: %v, want a conflict", expected, err)
		}
	}
	wantFold(t, fold(t, j.Load, "guards"), "a", "b")
}

func TestAnAppendIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, Keep: 1})
	first := messages.JournalAppend{Aggregate: "guards", ID: "first", Events: []messages.JournalEvent{event("said", "a"), event("said", "b")}}
	last := messages.JournalAppend{Aggregate: "guards", ID: "last", Expected: 2, Events: []messages.JournalEvent{event("said", "c")}}
	again := func(a messages.JournalAppend, want uint64) {
		t.Helper()
		if n, err := j.Append(testContext(t), a); n != want || err != nil {
			t.Errorf("append %s: %d, %v; want %d", a.ID, n, err, want)
		}
	}
	again(first, 2)
	again(last, 3)
	again(first, 2)
	again(last, 3)
	other := last
	other.Events = []messages.JournalEvent{event("said", "other")}
	if _, err := j.Append(testContext(t), other); !errors.Is(err, messages.ErrJournalInvalid) {
		t.Errorf("another append by the same id: %v", err)
	}
	j.Close()
	j = open(t, Options{Dir: dir, Keep: 1})
	again(first, 2)
	again(last, 3)
	if _, err := j.Append(testContext(t), other); !errors.Is(err, messages.ErrJournalInvalid) {
		t.Errorf("another append by the same id, later: %v", err)
	}
	for range 3 { // the last append's events go, its id stays
		if err := j.Snapshot(testContext(t), "guards", 3, event("all", "abc")); err != nil {
			t.Fatal(err)
		}
	}
	j.open.store.purgeBefore(t, "guards", j.open.aggregates["guards"])
	j.Close()
	j = open(t, Options{Dir: dir, Keep: 1})
	wantFold(t, fold(t, j.History, "guards"), "=abc")
	again(last, 3)
	wantFold(t, fold(t, j.Load, "guards"), "=abc")
}

// purgeBefore drops all but the last state.
func (s *store) purgeBefore(t *testing.T, name string, a *aggregate) {
	t.Helper()
	if err := s.purge(name, a.marks[a.state].number); err != nil {
		t.Fatal(err)
	}
	a.dropped(a.marks[a.state].number)
}

func TestManyIDsAreForgottenInOrder(t *testing.T) {
	a := newAggregate()
	for n := range uint64(maxIDs + 10) {
		a.add(n+1, &record{before: n, sequence: n + 1, id: fmt.Sprint(n), events: []messages.JournalEvent{event("said", "x")}})
	}
	if len(a.ids) != maxIDs || len(a.order) != maxIDs {
		t.Errorf("%d and %d ids", len(a.ids), len(a.order))
	}
	if _, ok, _ := a.known("9", nil); ok {
		t.Error("the oldest is known")
	}
	if n, ok, err := a.known("10", []messages.JournalEvent{event("said", "x")}); n != 11 || !ok || err != nil {
		t.Error(n, ok, err)
	}
}

func TestInvalid(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	ok := func() messages.JournalAppend {
		return messages.JournalAppend{Aggregate: "guards", ID: "x", Events: []messages.JournalEvent{event("said", "a")}}
	}
	tests := map[string]func(*messages.JournalAppend){
		"no aggregate":     func(a *messages.JournalAppend) { a.Aggregate = "" },
		"a subject":        func(a *messages.JournalAppend) { a.Aggregate = "a.b" },
		"all":              func(a *messages.JournalAppend) { a.Aggregate = "*" },
		"a path":           func(a *messages.JournalAppend) { a.Aggregate = "../x" },
		"upper case":       func(a *messages.JournalAppend) { a.Aggregate = "Guards" },
		"long name":        func(a *messages.JournalAppend) { a.Aggregate = strings.Repeat("a", maxName+1) },
		"no id":            func(a *messages.JournalAppend) { a.ID = "" },
		"a line in the id": func(a *messages.JournalAppend) { a.ID = "a\r\nb" },
		"long id":          func(a *messages.JournalAppend) { a.ID = strings.Repeat("a", maxID+1) },
		"no events":        func(a *messages.JournalAppend) { a.Events = nil },
		"many events":      func(a *messages.JournalAppend) { a.Events = make([]messages.JournalEvent, messages.MaxJournalEvents+1) },
		"no kind":          func(a *messages.JournalAppend) { a.Events[0].Kind = "" },
		"no version":       func(a *messages.JournalAppend) { a.Events[0].Version = 0 },
		"large":            func(a *messages.JournalAppend) { a.Events[0].Data = make([]byte, messages.MaxJournalData+1) },
		"far":              func(a *messages.JournalAppend) { a.Expected = 1 << 60 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			a := ok()
			change(&a)
			if n, err := j.Append(testContext(t), a); !errors.Is(err, messages.ErrJournalInvalid) {
				t.Errorf("%d, %v; want ErrJournalInvalid", n, err)
			}
		})
	}
	a := ok()
	a.Events = slices.Repeat([]messages.JournalEvent{{Kind: strings.Repeat("k", maxName), Version: 1 << 31, Data: make([]byte, messages.MaxJournalData/messages.MaxJournalEvents)}}, messages.MaxJournalEvents)
	if n, err := j.Append(testContext(t), a); n != messages.MaxJournalEvents || err != nil {
		t.Errorf("the largest append: %d, %v", n, err)
	}
	if _, err := j.Load(testContext(t), "a.b", nil, nil); !errors.Is(err, messages.ErrJournalInvalid) {
		t.Errorf("load: %v", err)
	}
}

func TestStatesReplaceWhatCameBefore(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, Keep: 3})
	n := uint64(0)
	for i := range 10 {
		n = appendText1(t, j, "guards", n, fmt.Sprint(i))
	}
	if err := j.Snapshot(testContext(t), "guards", n, event("all", "0-9")); err != nil {
		t.Fatal(err)
	}
	n = appendText1(t, j, "guards", n, "10", "11")
	check := func() {
		t.Helper()
		wantFold(t, fold(t, j.Load, "guards"), "=0-9", "10", "11")
		wantFold(t, fold(t, j.History, "guards"), "7", "8", "9", "=0-9", "10", "11")
	}
	check()
	j.Close()
	j = open(t, Options{Dir: dir, Keep: 3})
	check()
	if err := j.Snapshot(testContext(t), "guards", n, event("all", "0-11")); err != nil {
		t.Fatal(err)
	}
	wantFold(t, fold(t, j.History, "guards"), "9", "=0-9", "10", "11", "=0-11")
	wantFold(t, fold(t, j.Load, "guards"), "=0-11")
}

func TestManyReadInOrder(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	var want []string
	n := uint64(0)
	for i := range 2500 / messages.MaxJournalEvents * 10 { // more than one batch of messages
		var texts []string
		for k := range 25 {
			texts = append(texts, fmt.Sprint(i, ".", k))
		}
		want = append(want, texts...)
		n = appendText1(t, j, "guards", n, texts...)
	}
	wantFold(t, fold(t, j.Load, "guards"), want...)
}

func TestConcurrentWritersAreFenced(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	const writers, each = 8, 10
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			ctx := testContext(t)
			for done := 0; done < each; {
				n, err := j.Load(ctx, "guards", nil, func(messages.JournalEntry) error { return nil })
				if err != nil {
					t.Error(err)
					return
				}
				_, err = j.Append(ctx, messages.JournalAppend{
					Aggregate: "guards", Expected: n, ID: fmt.Sprintf("%d-%d", w, done), Events: []messages.JournalEvent{event("said", fmt.Sprintf("%d-%d", w, done))},
				})
				if err == nil {
					done++
				} else if !errors.Is(err, messages.ErrJournalConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for _, text := range fold(t, j.Load, "guards") {
		seen[text]++
	}
	if len(seen) != writers*each {
		t.Errorf("%d appends, want %d", len(seen), writers*each)
	}
	for text, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", text, n)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	_, _, err := Open(Options{Dir: dir})
	if !errors.Is(err, messages.ErrJournalUnavailable) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second journal of a folder: %v", err)
	}
}

func TestClosed(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	j.Close()
	if err := j.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_, err := j.Append(testContext(t), messages.JournalAppend{Aggregate: "a", ID: "x", Events: []messages.JournalEvent{event("said", "a")}})
	if !errors.Is(err, messages.ErrJournalClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := j.OpenLane(testContext(t), laneOptions(), nil); !errors.Is(err, messages.ErrJournalClosed) {
		t.Errorf("lane: %v", err)
	}
	if s, _ := j.State(); s != messages.JournalClosed {
		t.Errorf("state %v", s)
	}
}

func TestContextEndsTheWaiting(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	<-j.turn // somebody writes
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := j.Append(ctx, messages.JournalAppend{Aggregate: "a", ID: "x", Events: []messages.JournalEvent{event("said", "a")}})
	if !errors.Is(err, messages.ErrJournalUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	j.give()
}

func TestOldVersionsAreBroughtUp(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	_, err := j.Append(testContext(t), messages.JournalAppend{Aggregate: "a", ID: "x", Events: []messages.JournalEvent{
		{Kind: "said", Version: 1, Data: []byte("one")}, {Kind: "said", Version: 3, Data: []byte("three")}, {Kind: "heard", Version: 1, Data: []byte("x")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	plus := func(s string) func([]byte) ([]byte, error) {
		return func(b []byte) ([]byte, error) { return append(b, s...), nil }
	}
	var got []string
	collect := func(e messages.JournalEntry) error {
		got = append(got, fmt.Sprintf("%s %d %s", e.Event.Kind, e.Event.Version, e.Event.Data))
		return nil
	}
	said := messages.JournalKind{Version: 3, Upcast: map[uint32]func([]byte) ([]byte, error){1: plus("+2"), 2: plus("+3")}}
	if _, err := j.Load(testContext(t), "a", messages.JournalSchema{"said": said, "heard": {Version: 1}}, collect); err != nil {
		t.Fatal(err)
	}
	wantFold(t, got, "said 3 one+2+3", "said 3 three", "heard 1 x")
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		schema messages.JournalSchema
		want   error
	}{
		"a newer version": {messages.JournalSchema{"said": {Version: 1}, "heard": {Version: 1}}, messages.ErrJournalNewer},
		"a newer kind":    {messages.JournalSchema{"said": said}, messages.ErrJournalNewer},
		"no way up":       {messages.JournalSchema{"said": {Version: 3}, "heard": {Version: 1}}, messages.ErrJournalInvalid},
		"broken data": {messages.JournalSchema{"said": {Version: 3, Upcast: map[uint32]func([]byte) ([]byte, error){
			1: func([]byte) ([]byte, error) { return nil, broken },
		}}}, messages.ErrJournalCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := j.Load(testContext(t), "a", tt.schema, collect); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestTheFolderOfANewerChiveIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	appendText1(t, j, "guards", 0, "a")
	j.Close()
	path := filepath.Join(dir, markerFile)
	if err := os.WriteFile(path, []byte("chive journal 2\nwhatever\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(Options{Dir: dir})
	if !errors.Is(err, messages.ErrJournalNewer) || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v", err)
	}
	if err := os.WriteFile(path, []byte("chive journal 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, Options{Dir: dir})
	wantFold(t, fold(t, j.Load, "guards"), "a")
	// The same folder, with a record of a later format in it.
	newer := (&record{aggregate: "guards", id: "x", before: 1, sequence: 2, events: []messages.JournalEvent{event("said", "b")}}).encode()
	newer[len(magic)-1]++
	if _, err := j.open.store.append("guards", j.open.aggregates["guards"].number, "", newer); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if _, _, err := Open(Options{Dir: dir}); !errors.Is(err, messages.ErrJournalNewer) {
		t.Errorf("open: %v", err)
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, asidePrefix+"*")); len(entries) > 0 {
		t.Errorf("moved aside: %v", entries)
	}
}
