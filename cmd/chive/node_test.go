package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
	"chive/messages/chivev1"
)

// startBridge is a node without its actors: what the command line talks to.
func startBridge(t *testing.T) (*messages.Recorder, *bridge.Bridge, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := messages.NewRecorder("node", time.Now, 1024)
	b, err := bridge.Start(bridge.Options{Fleet: "local", DataDir: dir, Recorder: r, Version: "1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = b.Close(ctx) // a test may have closed it
		os.RemoveAll(dir)
	})
	return r, b, dir
}

func emit(r *messages.Recorder) {
	r.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "circ1", &chivev1.CircuitOpened{Hops: 3}))
	stream := messages.Event(chivev1.Kind_KIND_STREAM, "stream1", &chivev1.StreamRequested{Target: "secret.example:80"})
	r.Emit(messages.Because(stream, "", "stream1"))
	attached := messages.Event(chivev1.Kind_KIND_CIRCUIT, "circ1", &chivev1.CircuitDirtied{Isolation: "iso"})
	r.Emit(messages.Because(attached, "", "stream1"))
}

// history waits until the node remembers n events.
func history(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		c, err := bridge.Connect(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		events, err := c.History(t.Context())
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(events) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events, want %d", len(events), n)
		}
	}
}

func cli(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(args, streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestEventsOfANode(t *testing.T) {
	r, _, dir := startBridge(t)
	emit(r)
	history(t, dir, 3)
	tests := []struct {
		args []string
		want []string // one substring a line
	}{
		{nil, []string{"circuit circ1 opened hops=3", "stream stream1 requested", "circuit circ1 dirtied"}},
		{[]string{"--kind", "circuit"}, []string{"opened", "dirtied"}},
		{[]string{"--kind", "circuit,stream", "-n", "2"}, []string{"requested", "dirtied"}},
		{[]string{"--id", "stream1"}, []string{"requested", "dirtied"}},
		{[]string{"-n", "0"}, nil},
		{[]string{"-o", "json", "-n", "1"}, []string{`"circuitDirtied":{"isolation":"iso"}`}},
	}
	for _, tt := range tests {
		code, out, errOut := cli(t, append([]string{"events", "--data-dir", dir}, tt.args...)...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if out == "" {
			lines = nil
		}
		if code != exitOK || errOut != "" || len(lines) != len(tt.want) {
			t.Errorf("%v: exit %d, stderr %q, output\n%s", tt.args, code, errOut, out)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%v: line %d is %q, want %q", tt.args, i, lines[i], want)
			}
		}
		if strings.Contains(out, "secret") {
			t.Errorf("%v shows the target: %s", tt.args, out)
		}
	}
	if code, _, errOut := cli(t, "events", "--data-dir", dir, "--kind", "weather"); code != exitUsage || !strings.Contains(errOut, `kind "weather": want one of`) {
		t.Errorf("unknown kind: exit %d, %q", code, errOut)
	}
}

func TestFollowEndsWithTheNode(t *testing.T) {
	r, b, dir := startBridge(t)
	emit(r)
	history(t, dir, 3)
	read, write := io.Pipe()
	done := make(chan int)
	var notes bytes.Buffer
	go func() {
		done <- execute([]string{"events", "-f", "-n", "1", "--data-dir", dir}, streams{out: write, err: &notes})
		write.Close()
	}()
	buf := make([]byte, 4096)
	next := func() string {
		n, err := read.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := next(); !strings.Contains(got, "dirtied") {
		t.Errorf("the last one of the history: %q", got)
	}
	r.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "circ2", &chivev1.CircuitOpened{Hops: 3}))
	if got := next(); !strings.Contains(got, "circ2 opened") {
		t.Errorf("live: %q", got)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != exitOK || notes.String() != "chive: the node has stopped\n" {
		t.Errorf("exit %d, notes %q", code, notes.String())
	}
}

func TestStatusOfANode(t *testing.T) {
	_, b, dir := startBridge(t)
	answer, err := json.Marshal(node.Status{
		Node: "n", Fleet: "f", Version: "1", Started: time.Now(), Bootstrap: 45, Summary: "fetching", Circuits: 2,
		StreamEnds: map[string]uint64{"ok": 3, "exit-policy": 1}, EventsDropped: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Handle("status", func([]byte) ([]byte, error) { return answer, nil }); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := cli(t, "status", "--data-dir", dir)
	if code != exitOK || errOut != "" {
		t.Fatalf("exit %d, stderr %q", code, errOut)
	}
	for _, want := range []string{"n (fleet f), chive 1, up ", "45 %, fetching", "2 open, 0 building\n", "; ended: exit-policy 1, ok 3\n", "7 dropped"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if _, out, _ = cli(t, "status", "-o", "json", "--data-dir", dir); out != string(answer)+"\n" {
		t.Errorf("JSON: %s", out)
	}
}

func TestGuardsRetryOfANode(t *testing.T) {
	_, b, dir := startBridge(t)
	if err := b.Handle("guards-retry", func([]byte) ([]byte, error) { return json.Marshal(node.GuardsRetryAnswer{Guards: 3}) }); err != nil {
		t.Fatal(err)
	}
	for output, want := range map[string]string{"text": "3 guards that failed are tried again\n", "json": "{\"guards\":3}\n"} {
		code, out, errOut := cli(t, "guards", "retry", "-o", output, "--data-dir", dir)
		if output == "json" {
			out = strings.Join(strings.Fields(out), "") + "\n"
		}
		if code != exitOK || errOut != "" || out != want {
			t.Errorf("%s: exit %d, %q, stderr %q", output, code, out, errOut)
		}
	}
}

func TestForgetTimeoutsOfANode(t *testing.T) {
	_, b, dir := startBridge(t)
	if err := b.Handle("timeouts-forget", func([]byte) ([]byte, error) { return json.Marshal(node.TimeoutsForgetAnswer{Circuits: 40}) }); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := cli(t, "circuits", "forget-timeouts", "--data-dir", dir)
	if code != exitOK || errOut != "" || out != "the build times of 40 circuits are forgotten\n" {
		t.Errorf("exit %d, %q, stderr %q", code, out, errOut)
	}
}

func TestNoNode(t *testing.T) {
	for _, command := range []string{"status", "events", "guards retry", "circuits forget-timeouts"} {
		code, out, errOut := cli(t, append(strings.Fields(command), "--data-dir", t.TempDir())...)
		if code != exitNoNode || out != "" || !strings.Contains(errOut, "no chive runs with that DataDirectory") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", command, code, out, errOut)
		}
	}
}
