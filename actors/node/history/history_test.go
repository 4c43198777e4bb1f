package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func start() *clock { return &clock{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

// maker makes events as a node does: stamped, a second apart.
type maker struct {
	clock *clock
	r     *messages.Recorder
}

func newMaker(c *clock) *maker { return &maker{c, messages.NewRecorder("n", c.now, 1)} }

func (m *maker) emit(e *chivev1.Envelope) *chivev1.Envelope {
	m.clock.at = m.clock.at.Add(time.Second)
	m.r.Emit(e)
	return e
}

// stream is the whole life of a stream.
func (m *maker) stream(id string) []*chivev1.Envelope {
	return []*chivev1.Envelope{
		m.emit(messages.Event(chivev1.Kind_KIND_STREAM, id, &chivev1.StreamRequested{Target: "secret.test:80", Isolation: "i"})),
		m.emit(messages.Event(chivev1.Kind_KIND_STREAM, id, &chivev1.StreamEnded{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})),
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func head(boot string) Head { return Head{Boot: boot, Node: "n", Fleet: "f", Version: "v"} }

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

func sameEvents(t *testing.T, got, want []*chivev1.Envelope) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if redacted := messages.Redact(want[i], chivev1.Tier_TIER_LIFECYCLE); !proto.Equal(got[i], redacted) {
			t.Fatalf("event %d: %v, want %v", i, got[i], redacted)
		}
	}
}

func TestWhatIsWrittenIsReadOverBoots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	c := start()
	var want [2][]*chivev1.Envelope
	for boot := range want {
		m, w := newMaker(c), NewWriter(dir, head(fmt.Sprintf("boot%d", boot)), Limits{Segment: 500}, c.now)
		for i := range 20 {
			life := m.stream(fmt.Sprintf("s%d-%d", boot, i))
			must(t, w.Append(life))
			want[boot] = append(want[boot], life...)
		}
		must(t, w.Close())
	}
	boots, err := Read(dir)
	must(t, err)
	if len(boots) != 2 {
		t.Fatalf("%d boots", len(boots))
	}
	for i, b := range boots {
		sameEvents(t, b.Events(), want[i])
		if b.Boot != fmt.Sprintf("boot%d", i) || b.Node != "n" || b.Fleet != "f" || b.Version != "v" || b.Damage != nil || b.Holes != 0 || len(b.Segments) < 2 {
			t.Errorf("boot %d: %+v, %d segments", i, b.Head, len(b.Segments))
		}
		if got := b.All(); got.StreamEnds["timeout"] != 20 || len(got.Streams) != 20 {
			t.Errorf("boot %d: %d streams of %v", i, len(got.Streams), got.StreamEnds)
		}
	}
}

func TestNothingForensicAndNobodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	c := start()
	w := NewWriter(dir, head("b"), Limits{}, c.now)
	must(t, w.Append(newMaker(c).stream("s")))
	must(t, w.Close())
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %v", info.Mode())
	}
	files, err := list(dir)
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	b, err := os.ReadFile(files[0].path)
	must(t, err)
	if bytes.Contains(b, []byte("secret")) {
		t.Error("the target is in the history")
	}
	info, err = os.Stat(files[0].path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("segment has mode %v", info.Mode())
	}
}

// Wherever a process is killed, what is whole before is read, and nothing else.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	c := start()
	m, w := newMaker(c), NewWriter(dir, head("b"), Limits{}, c.now)
	var want []*chivev1.Envelope
	for i := range 5 {
		life := m.stream(fmt.Sprint("s", i))
		must(t, w.Append(life))
		want = append(want, life...)
	}
	must(t, w.Close())
	path := filepath.Join(dir, fileName(1))
	whole, err := os.ReadFile(path)
	must(t, err)
	last := -1
	for cut := range len(whole) {
		var boots []*Boot
		err := readSegment(&boots, bytes.NewReader(whole[:cut]))
		if err != nil {
			if !errors.Is(err, ErrDamaged) || len(boots) != 0 || last >= 0 {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			continue
		}
		events := boots[0].Events()
		if len(events) < last {
			t.Fatalf("cut at %d: %d events, %d before", cut, len(events), last)
		}
		last = len(events)
		sameEvents(t, events, want[:last])
		if boots[0].Damage != nil && !errors.Is(boots[0].Damage, ErrDamaged) {
			t.Fatalf("cut at %d: %v", cut, boots[0].Damage)
		}
	}
	if last != len(want)-1 {
		t.Errorf("cut before its last byte, %d events are read", last)
	}
	// The next boot does not touch the damaged file, and both are read.
	must(t, os.WriteFile(path, whole[:len(whole)-1], 0o600))
	next := NewWriter(dir, head("b2"), Limits{}, c.now)
	must(t, next.Append(newMaker(c).stream("later")))
	must(t, next.Close())
	boots, err := Read(dir)
	must(t, err)
	if len(boots) != 2 || boots[0].Damage == nil || boots[1].Damage != nil {
		t.Fatalf("boots %+v", boots)
	}
	sameEvents(t, boots[0].Events(), want[:len(want)-1])
}

// One flipped bit is found wherever it is: an event is read as it was written or
// not at all.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	c := start()
	m, w := newMaker(c), NewWriter(dir, head("b"), Limits{}, c.now)
	want := append(m.stream("s1"), m.stream("s2")...)
	must(t, w.Append(want))
	must(t, w.Close())
	whole, err := os.ReadFile(filepath.Join(dir, fileName(1)))
	must(t, err)
	for i := range len(whole) * 8 {
		bad := bytes.Clone(whole)
		bad[i/8] ^= 1 << (i % 8)
		var boots []*Boot
		if err := readSegment(&boots, bytes.NewReader(bad)); err != nil {
			continue
		}
		if boots[0].Damage == nil {
			t.Fatalf("bit %d: not found", i)
		}
		events := boots[0].Events()
		sameEvents(t, events, want[:len(events)])
	}
}

func TestAMomentInThePast(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "history")
		must(t, err)
		defer os.RemoveAll(dir)
		c := start()
		m := newMaker(c)
		w := NewWriter(dir, head("b"), Limits{Segment: int64(rapid.IntRange(1, 3000).Draw(rt, "segment"))}, c.now)
		var all, batch []*chivev1.Envelope
		for i := range rapid.IntRange(1, 40).Draw(rt, "streams") {
			life := m.stream(fmt.Sprint("s", i))
			all = append(all, life...)
			for _, e := range life {
				batch = append(batch, e)
				if rapid.Bool().Draw(rt, "write") {
					must(t, w.Append(batch))
					batch = nil
				}
			}
		}
		must(t, w.Append(batch))
		must(t, w.Close())
		moment := all[rapid.IntRange(0, len(all)-1).Draw(rt, "moment")].GetTime().AsTime()
		want := &fold.Node{}
		for _, e := range all {
			if !e.GetTime().AsTime().After(moment) {
				want.Apply(e)
			}
		}
		want.Trim()
		boots, err := Read(dir)
		must(t, err)
		if got := boots[0].At(moment); asJSON(t, got) != asJSON(t, want) {
			rt.Fatalf("at %v of %d segments:\n%s\nwant\n%s", moment, len(boots[0].Segments), asJSON(t, got), asJSON(t, want))
		}
		if boots[0].At(start().at.Add(-time.Hour)) != nil {
			rt.Fatal("a state before the beginning")
		}
	})
}

func TestBounds(t *testing.T) {
	dir := t.TempDir()
	c := start()
	m, w := newMaker(c), NewWriter(dir, head("b"), Limits{Bytes: 64 << 10, Age: time.Hour}, c.now)
	size := func() (total int64, n int) {
		files, err := list(dir)
		must(t, err)
		for _, f := range files {
			total += f.size
		}
		return total, len(files)
	}
	for i := range 3000 {
		must(t, w.Append(m.stream(fmt.Sprint("s", i))))
		if total, _ := size(); total > (64<<10)*5/4 {
			t.Fatalf("%d bytes after %d streams", total, i)
		}
		c.at = c.at.Add(-2 * time.Second) // time alone must not decide this
	}
	must(t, w.Close())
	boots, err := Read(dir)
	must(t, err)
	events := boots[0].Events()
	if last := events[len(events)-1]; last.GetActorId() != "s2999" || boots[0].Segments[0].State == nil {
		t.Errorf("the last event is %v", last)
	}
	if got := boots[0].At(boots[0].Until()).StreamEnds["timeout"]; got != 3000 {
		t.Errorf("%d streams ended, want 3000 though the oldest events are gone", got)
	}
	// Files are as old as they say: the operating system's time, not this clock's.
	old := c.at.Add(-2 * time.Hour)
	files, err := list(dir)
	must(t, err)
	for _, f := range files[:len(files)-1] {
		must(t, os.Chtimes(f.path, old, old))
	}
	must(t, os.Chtimes(files[len(files)-1].path, c.at, c.at))
	must(t, w.Prune())
	if _, n := size(); n != 1 {
		t.Errorf("%d segments are kept beyond their age", n-1)
	}
	must(t, w.Clear())
	if _, n := size(); n != 0 {
		t.Errorf("%d segments are left", n)
	}
}

func TestHolesAreTold(t *testing.T) {
	dir := t.TempDir()
	c := start()
	m, w := newMaker(c), NewWriter(dir, head("b"), Limits{}, c.now)
	must(t, w.Append(m.stream("s1")))
	w.Missed(7)
	huge := m.emit(messages.Event(chivev1.Kind_KIND_NODE, "n", &chivev1.ActorFailed{Reason: strings.Repeat("x", maxEvent)}))
	must(t, w.Append([]*chivev1.Envelope{huge}))
	must(t, w.Append(m.stream("s2")))
	must(t, w.Close())
	boots, err := Read(dir)
	must(t, err)
	if boots[0].Holes != 8 || len(boots[0].Events()) != 4 || boots[0].Damage != nil {
		t.Errorf("%d missing, %d events, %v", boots[0].Holes, len(boots[0].Events()), boots[0].Damage)
	}
}

// A disk that cannot be written costs what came meanwhile, which is told.
func TestDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	must(t, os.WriteFile(dir, nil, 0o600)) // a file where the folder should be
	c := start()
	m, w := newMaker(c), NewWriter(dir, head("b"), Limits{}, c.now)
	if err := w.Append(m.stream("s1")); err == nil || !strings.Contains(err.Error(), "history") {
		t.Fatalf("err = %v", err)
	}
	must(t, os.Remove(dir))
	must(t, w.Append(m.stream("s2")))
	must(t, w.Close())
	boots, err := Read(dir)
	must(t, err)
	if boots[0].Holes != 2 || len(boots[0].Events()) != 2 {
		t.Errorf("%d missing, %d events", boots[0].Holes, len(boots[0].Events()))
	}
	if got := boots[0].At(boots[0].Until()).StreamEnds["timeout"]; got != 2 {
		t.Errorf("%d streams ended, want 2: the state knows of the lost ones", got)
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		fileName(1): "something else entirely", fileName(2): magic[:7] + "\x02", fileName(3): magic[:5], fileName(4): "", "notes.txt": "mine",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	boots, err := Read(dir)
	if len(boots) != 0 || !errors.Is(err, ErrNotSegment) || !errors.Is(err, ErrNewer) || !errors.Is(err, ErrDamaged) {
		t.Errorf("%d boots, err %v", len(boots), err)
	}
	if strings.Contains(err.Error(), fileName(4)) {
		t.Errorf("an empty file is a fault: %v", err)
	}
	c := start()
	w := NewWriter(dir, head("b"), Limits{}, c.now)
	must(t, w.Append(newMaker(c).stream("s")))
	must(t, w.Close())
	if boots, _ := Read(dir); len(boots) != 1 {
		t.Errorf("%d boots", len(boots))
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); errors.Is(err, fs.ErrNotExist) {
		t.Error("somebody's file is gone")
	}
	if boots, err := Read(filepath.Join(dir, "nothing")); len(boots) != 0 || err != nil {
		t.Errorf("no folder: %d boots, %v", len(boots), err)
	}
}

func FuzzSegment(f *testing.F) {
	c := start()
	m := newMaker(c)
	state := &fold.Node{}
	state.Apply(m.stream("s0")[0])
	h := head("b")
	h.State = state
	b, err := appendHead([]byte(magic), h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, e := range m.stream("s1") {
		if b, err = appendEvent(b, e); err != nil {
			f.Fatal(err)
		}
	}
	if b, err = appendHole(b, 3); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		var boots []*Boot
		if err := readSegment(&boots, bytes.NewReader(b)); err != nil {
			if len(boots) != 0 {
				t.Error("an error and a boot")
			}
			return
		}
		boot := boots[0]
		n := boot.At(boot.Until())
		if n == nil || n.Clone() == nil || len(boot.Events()) > len(b) {
			t.Fatalf("state %v, %d events of %d bytes", n, len(boot.Events()), len(b))
		}
		n.CircuitViews(true)
		n.StreamViews(true)
		n.ConnectionViews(true)
		n.GuardViews()
		boot.All()
	})
}

// BenchmarkAppend is what an event costs on disk: bytes, and CPU with the fold
// that the next segment begins with.
func BenchmarkAppend(b *testing.B) {
	c := start()
	m, w := newMaker(c), NewWriter(b.TempDir(), head("b"), Limits{}, c.now)
	batch := make([]*chivev1.Envelope, 0, 200)
	for i := range 100 {
		batch = append(batch, m.stream(fmt.Sprint("s", i))...)
	}
	for _, e := range batch {
		e.Time = timestamppb.New(c.at)
	}
	written := int64(0)
	for b.Loop() {
		before := w.size
		if err := w.Append(batch); err != nil {
			b.Fatal(err)
		}
		if w.size > before {
			written = w.size - before
		}
	}
	must(b, w.Close())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/event")
	b.ReportMetric(float64(written)/float64(len(batch)), "B/event")
}
