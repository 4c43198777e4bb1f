package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	diary "chive/actors/node/history"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
	"chive/messages/fold/story"
)

// eventually REGEXP ARGS… runs chive until its standard output matches, or its standard error.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually REGEXP ARGS…")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		_ = ts.Exec("chive", args[1:]...) // it may fail until then
		if want.MatchString(ts.ReadFile("stdout")) || want.MatchString(ts.ReadFile("stderr")) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("no %s in\n%s%s", args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

// teller writes a history as a node does, with times of its own.
type teller struct {
	t   *testing.T
	at  time.Time
	dir string
	r   *messages.Recorder
	w   *diary.Writer
}

func tell(t *testing.T, dir, boot string, at time.Time) *teller {
	t.Helper()
	x := &teller{t: t, at: at, dir: dir}
	now := func() time.Time { return x.at }
	x.r = messages.NewRecorder("n", now, 1)
	x.w = diary.NewWriter(diary.Dir(dir), diary.Head{Boot: boot, Node: "n", Fleet: "f", Version: "1"}, diary.Limits{}, now)
	t.Cleanup(func() {
		if err := x.w.Close(); err != nil {
			t.Error(err)
		}
	})
	x.add(messages.Event(chivev1.Kind_KIND_NODE, "n", &chivev1.NodeStarted{}))
	return x
}

func (x *teller) add(events ...*chivev1.Envelope) {
	x.t.Helper()
	for _, e := range events {
		x.at = x.at.Add(time.Second)
		x.r.Emit(e)
		if err := x.w.Append([]*chivev1.Envelope{e}); err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *teller) stream(id string, out chivev1.Outcome) {
	x.add(
		messages.Event(chivev1.Kind_KIND_STREAM, id, &chivev1.StreamRequested{Purpose: chivev1.Purpose_PURPOSE_GENERAL, Isolation: "iso"}),
		messages.Event(chivev1.Kind_KIND_STREAM, id, &chivev1.StreamEnded{Outcome: out, BytesIn: 4096}),
	)
}

func (x *teller) circuit(id string) {
	x.add(
		messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitLaunched{Purpose: chivev1.Purpose_PURPOSE_GENERAL, Hops: 3, ConnectionId: "conn"}),
		messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitOpened{Hops: 3}),
	)
}

func (x *teller) stop() {
	x.add(messages.Event(chivev1.Kind_KIND_NODE, "n", &chivev1.NodeStopping{}))
}

var began = time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)

// pastOf is two boots: the first stopped at 12:00:12, the second was killed
// after 13:00:05.
func pastOf(t *testing.T) string {
	dir := t.TempDir()
	x := tell(t, dir, "boot1", began)
	x.stream("abcd", chivev1.Outcome_OUTCOME_TARGET_REFUSED) // until 12:00:03
	x.circuit("circ")                                        // from 12:00:04
	x.stream("abxy", chivev1.Outcome_OUTCOME_OK)             // until 12:00:07
	x.stream("zzzz", chivev1.Outcome_OUTCOME_CANCELLED)
	x.add(messages.Event(chivev1.Kind_KIND_CIRCUIT, "circ", &chivev1.CircuitClosed{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})) // 12:00:10
	x.stop()
	y := tell(t, dir, "boot2", began.Add(time.Hour))
	y.circuit("later")
	y.add(messages.Event(chivev1.Kind_KIND_STREAM, "open", &chivev1.StreamRequested{Purpose: chivev1.Purpose_PURPOSE_GENERAL}))
	return dir
}

func TestAnswersAboutThePast(t *testing.T) {
	dir := pastOf(t)
	tests := []struct {
		args     string
		code     int
		out, err []string // substrings, in order
		not      string   // in the output
	}{
		{"circuits --at 2025-11-24T12:00:06Z", exitOK, []string{"CIRCUIT", "circ", "open", "3", "general"}, nil, "later"},
		{"circuits --at 2025-11-24T12:00:04Z", exitOK, []string{"circ", "building", "0 of 3"}, nil, ""},
		{"circuits --at 2025-11-24T12:00:11Z", exitOK, nil, []string{"no circuits (--all shows those that have ended, too)"}, "circ"},
		{"circuits --at 2025-11-24T12:00:11Z --all", exitOK, []string{"circ", "closed", "shutdown"}, nil, ""},
		{"circuits --at 2025-11-24T12:30:00Z", exitFailed, nil, []string{"no node ran at 2025-11-24T12:30:00Z: the last one before stopped at 2025-11-24T12:00:11Z"}, ""},
		{"circuits --at 2025-11-24T11:00:00Z", exitFailed, nil, []string{"is before the history, which begins at 2025-11-24T12:00:0"}, ""},
		{"circuits --at 2025-11-24T13:30:00Z", exitOK, []string{"later"}, []string{"ends at 2025-11-24T13:00:04Z, without its stop"}, ""},
		{"circuits --at 2025-11-24T12:00:06Z -o json", exitOK, []string{`"id": "circ"`, `"state": "open"`, `"launched": "2025-11-24T12:00:04Z"`}, nil, ""},
		{"circuits xyz --at 2025-11-24T12:00:06Z -o json", exitOK, []string{"[]"}, nil, "circ"},
		{"circuits --connection co --at 2025-11-24T12:00:06Z", exitOK, []string{"circ"}, nil, ""},
		{"circuits --purpose directory --at 2025-11-24T12:00:06Z", exitOK, nil, []string{"no circuits"}, "circ"},
		{"circuits --purpose foo", exitUsage, nil, []string{"--purpose foo: want one of general, directory, onion-directory, "}, "no circuits"},
		{"connections --purpose Directory,foo", exitUsage, nil, []string{"--purpose foo: want one of general"}, "no connections"},
		{"streams --outcome bad", exitUsage, nil, []string{"--outcome bad: want one of ok, "}, "no streams"},
		{"circuits --state shut", exitUsage, nil, []string{"--state shut: want one of building, open, failed, closed"}, ""},
		{"circuits --at yesterday", exitUsage, nil, []string{`--at "yesterday": want a time like`}, ""},
		{"circuits", exitNoNode, nil, []string{"no chive runs", "--at TIME shows how it was"}, ""},
		{"streams --all", exitOK, []string{"open", "waiting"}, []string{"no node runs; this is what the last one left, at 2025-11-24T13:00:04Z"}, "abcd"},
		{"streams --at 2025-11-24T12:00:10Z --outcome target-refused", exitOK, []string{"abcd", "ended", "4K", "target-refused"}, nil, "abxy"},
		{"streams ab --at 2025-11-24T12:00:10Z --state ended", exitOK, []string{"abcd", "abxy"}, nil, "zzzz"},
		{"connections --at 2025-11-24T12:00:10Z", exitOK, nil, []string{"no connections"}, ""},
		{"guards --at 2025-11-24T12:00:10Z -o json", exitOK, []string{"[]"}, nil, ""},
		{"guards --state gone", exitUsage, nil, []string{"want one of sampled, reachable, unreachable"}, ""},

		{"why stream abcd", exitOK, []string{"stream abcd failed after 1s: the target refused the connection (target-refused)", "what happened", "12:00:02.000", "requested", "12:00:03.000", "ended"}, nil, ""},
		{"why stream ABC", exitOK, []string{"stream abcd failed"}, nil, ""},
		{"why stream --last", exitOK, []string{"stream abcd failed"}, nil, ""},
		{"why stream abcd -o json", exitOK, []string{`"kind": "stream"`, `"because": []`, `"event": "stream-requested"`}, nil, ""},
		{"why circuit later", exitOK, []string{"circuit later was open when its node ended without being stopped: it was killed, ", "; the last event of that node came 2s after it began", "what happened"}, nil, " is open"},
		{"why stream open -o json", exitOK, []string{`"state": "node-ended"`, `"ended": "2025-11-24T13:00:04Z"`, `"summary": "stream open was waiting when its node ended`}, nil, `"outcome"`},
		{"why stream ab", exitUsage, nil, []string{`stream "ab" is ambiguous; it may be`, "abcd  ended target-refused, began 2025-11-24T12:00:02Z", "abxy  ended ok"}, ""},
		{"why stream abdc", exitFailed, nil, []string{`no stream "abdc" in the history, which begins at 2025-11-24T12:00:01Z; the nearest are abcd, abxy, `}, ""},
		{"why stream cir", exitFailed, nil, []string{`"cir" is no stream but a circuit: chive why circuit cir`}, ""},
		{"why guard x", exitFailed, nil, []string{`no guard "x" in the history`, "nor any other"}, ""},
		{"why circuit --last", exitFailed, nil, []string{"no circuit came to a bad end, as far as the history goes"}, ""},
		{"why stream", exitUsage, nil, []string{"needs an id or --last"}, ""},
		{"why stream abcd --last", exitUsage, nil, []string{"needs an id or --last"}, ""},
		{"why weather x", exitUsage, nil, []string{"must be one of"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			code, out, errOut := cli(t, append(strings.Fields(tt.args), "--data-dir", dir)...)
			if code != tt.code || tt.not != "" && strings.Contains(out, tt.not) || (len(tt.out) == 0) != (out == "") {
				t.Errorf("exit %d, want %d; output\n%s%s", code, tt.code, out, errOut)
			}
			inOrder(t, out, tt.out)
			inOrder(t, errOut, tt.err)
		})
	}
}

func inOrder(t *testing.T, text string, want []string) {
	t.Helper()
	rest := text
	for _, w := range want {
		i := strings.Index(rest, w)
		if i < 0 {
			t.Errorf("no %q, or not there, in\n%s", w, text)
			return
		}
		rest = rest[i+len(w):]
	}
}

// A file that is damaged costs what is in it, and is said.
func TestDamagedHistory(t *testing.T) {
	dir := pastOf(t)
	files, err := filepath.Glob(filepath.Join(diary.Dir(dir), "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], b[:len(b)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[1], []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := cli(t, "why", "stream", "abcd", "--data-dir", dir)
	if code != exitOK || !strings.Contains(out, "stream abcd failed") {
		t.Errorf("exit %d\n%s", code, out)
	}
	inOrder(t, errOut, []string{"cannot be read", "000000000002", "not a segment"})
	inOrder(t, errOut, []string{"has a gap", "cut short"})
}

func TestNothingKnown(t *testing.T) {
	for args, want := range map[string]string{
		"circuits --at -5m": "there is no history", "streams --all": "no chive runs", "guards": "no chive runs",
		"why stream x": "no chive runs", "why connection --last": "no chive runs",
	} {
		code, out, errOut := cli(t, append(strings.Fields(args), "--data-dir", t.TempDir())...)
		if code != exitNoNode || out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, errOut)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"-5m": now.Add(-5 * time.Minute), "5m": now.Add(-5 * time.Minute), "1h30m ago": now.Add(-90 * time.Minute), "0s": now,
		"2025-11-24T11:00:00Z": now.Add(-time.Hour), "2025-11-24T13:00:00+02:00": now.Add(-time.Hour),
		"2025-11-24 11:59:58": now.Add(-2 * time.Second), "11:30:00": now.Add(-30 * time.Minute), "11:30:00Z": now.Add(-30 * time.Minute),
		"12:30:00": now.Add(-23*time.Hour - 30*time.Minute),
	} {
		if got, err := parseMoment("--at", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "now", "2025-11-24", "2025-11-24T13:00:00Z", "-5", "five minutes"} {
		if got, err := parseMoment("--at", text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	args := []string{"circuits", "--at", "-5m", "--at", "x", "--state", "-5m", "--at", "-x", "--since", "-1d", "--at", "-"}
	if got, want := joinMoments(args), []string{"circuits", "--at=-5m", "--at", "x", "--state", "-5m", "--at", "-x", "--since=-1d", "--at", "-"}; !slices.Equal(got, want) {
		t.Errorf("joined %q", got)
	}
}

func TestBriefTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "0s", 12 * time.Millisecond: "12ms", 59 * time.Second: "59s", 60 * time.Second: "1m00s", 100 * time.Second: "1m40s",
		time.Hour: "1h00m", 25*time.Hour + 3*time.Minute: "25h03m", 50 * time.Hour: "2d",
	} {
		if got := brief(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestNearestIDs(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "", 3}, {"abcd", "abdc", 2}, {"kitten", "sitting", 3}, {strings.Repeat("a", 500), "a", 63}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q differ by %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
	if got := nearest(map[string]int{"qqqq": 0, "abzz": 0, "abcz": 0, "xxxx": 0}, "abc"); !slices.Equal(got, []string{"abcz", "abzz", "qqqq"}) {
		t.Errorf("nearest %v", got)
	}
}

// What is in an event cannot play with the terminal.
func TestNothingMovesTheCursor(t *testing.T) {
	var b strings.Builder
	st := &story.Story{Kind: "stream", ID: "x", Summary: "a\x1b[2Jb", Happened: []story.Step{{Kind: "node", ID: "y\r", Text: "c\x07\u009bd"}}}
	if err := printStory(&b, st); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) }) {
		t.Errorf("%q", b.String())
	}
	if got := cells("a\tb", ""); got != "a?b\t-" {
		t.Errorf("cells %q", got)
	}
}

// What there is one of is named once.
func TestStepsNameOnce(t *testing.T) {
	var b strings.Builder
	st := &story.Story{Kind: "stream", ID: "s"}
	for _, s := range [][2]string{{"directory", "directory"}, {"config", "config"}, {"stream", "s"}, {"circuit", "c"}, {"node", "node"}} {
		st.Because = append(st.Because, story.Step{Kind: s[0], ID: s[1], Text: "x"})
	}
	if err := printSteps(&b, st, st.Because); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line)[2:], " "))
	}
	if want := []string{"directory x", "config x", "it x", "circuit c x", "node node x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The rows of each kind have as many cells as the head has titles, whatever is
// not known.
func TestRowsFitTheirHeads(t *testing.T) {
	heads := map[string]int{
		circuitRow(fold.CircuitView{Hops: 3}, began):              10,
		streamRow(fold.StreamView{State: "ended"}, began):         11,
		connectionRow(fold.ConnectionView{}, began):               11,
		guardRow(fold.GuardView{RetryAfter: began}, began):        10,
		guardRow(fold.GuardView{LastFailed: began.Add(1)}, began): 10,
	}
	for row, want := range heads {
		if got := strings.Count(row, "\t") + 1; got != want {
			t.Errorf("%q has %d cells, want %d", row, got, want)
		}
	}
	var v []fold.CircuitView
	code, out, _ := cli(t, "circuits", "--at", "2025-11-24T12:00:06Z", "-o", "json", "--data-dir", pastOf(t))
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitOK || len(v) != 1 || fmt.Sprint(v[0].Hops) != "3" {
		t.Errorf("%s: %v", out, err)
	}
}
