package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/actors/node"
	diary "chive/actors/node/history"
	"chive/config"
	"chive/internal/testnet"
	"chive/messages/chivev1"
	"chive/messages/fold"
	"chive/messages/fold/story"
)

// witness is a node on the private network whose events are also seen with all
// their fields, to hold the stories against.
type witness struct {
	*node.Node
	t     *testing.T
	dir   string // its DataDirectory
	socks string

	mu  sync.Mutex
	log []*chivev1.Envelope
}

func observe(t *testing.T, n *testnet.Network, dir string) *witness {
	t.Helper()
	w := &witness{t: t, dir: filepath.Join(dir, "data")}
	torrc := filepath.Join(dir, "torrc")
	// A conflux set has two guards, and the stories below are of circuits with one.
	lines := append(n.ClientTorrc(), "SocksPort 127.0.0.1:auto", "DataDirectory "+w.dir, "ClientRejectInternalAddresses 0", "ConfluxEnabled 0")
	if err := os.WriteFile(torrc, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(torrc, nil)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	w.Node, err = node.Start(t.Context(), node.Options{
		Config: cfg, Version: "test", Log: slog.New(slog.DiscardHandler),
		OnEvent: func(e *chivev1.Envelope) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.log = append(w.log, e)
			if e.GetBootstrapAdvanced().GetPhase() == chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE {
				close(ready)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.end)
	w.socks = (<-w.Listening()).String()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("not bootstrapped after %v: %+v", patience, w.Status())
	}
	return w
}

func (w *witness) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		w.t.Errorf("stop: %v", err)
	}
}

// guardOf is the relay that a connection went to, which only the witness knows.
func (w *witness) guardOf(connection string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		if d := e.GetConnectionDialled(); d != nil && e.GetActorId() == connection {
			return strings.ToUpper(hex.EncodeToString(d.GetRelay()))
		}
	}
	return ""
}

// get fetches a URL through the node, calling begun when the answer begins.
func (w *witness) get(target string, begun func()) error { return w.getAs("", target, begun) }

// getAs does so isolated by user.
func (w *witness) getAs(user, target string, begun func()) error {
	proxy := &url.URL{Scheme: "socks5h", Host: w.socks}
	if user != "" {
		proxy.User = url.UserPassword(user, "x")
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	begun()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// why asks as a user does.
func (w *witness) why(args ...string) story.Story {
	w.t.Helper()
	var st story.Story
	code, out, errOut := cli(w.t, append([]string{"why", "-o", "json", "--data-dir", w.dir}, args...)...)
	if err := json.Unmarshal([]byte(out), &st); code != exitOK || err != nil {
		w.t.Fatalf("why %v: exit %d, %v\n%s%s", args, code, err, out, errOut)
	}
	return st
}

func list[T any](w *witness, args ...string) []T {
	w.t.Helper()
	var rows []T
	code, out, errOut := cli(w.t, append(args, "-o", "json", "--data-dir", w.dir)...)
	if err := json.Unmarshal([]byte(out), &rows); code != exitOK || err != nil {
		w.t.Fatalf("%v: exit %d, %v\n%s%s", args, code, err, out, errOut)
	}
	return rows
}

func (w *witness) set(option, value string) {
	w.t.Helper()
	if code, _, errOut := cli(w.t, "config", "set", "--data-dir", w.dir, option, value); code != exitOK {
		w.t.Fatalf("%s: exit %d, %s", option, code, errOut)
	}
}

func nothing() {}

// Against real relays: what chive why says is what happened.
func TestWhyTellsTheTruth(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := observe(t, n, dir)

	// A port that nobody listens on: the exit's word, not the circuit's.
	if err := w.get(fmt.Sprintf("http://%s:9/", n.Target().IP), nothing); err == nil {
		t.Fatal("a closed port answered")
	}
	closed := w.why("stream", "--last")
	if !strings.Contains(closed.Summary, "target") || closed.Outcome != "target-refused" && closed.Outcome != "stream-reset" ||
		len(closed.Because) != 0 || len(closed.Meanwhile) != 0 || !strings.Contains(closed.Hint, "listens") {
		t.Errorf("closed port: %+v", closed)
	}
	if !happened(closed, "circuit-opened") || !happened(closed, "stream-attached") {
		t.Errorf("closed port: no circuit in %+v", closed.Happened)
	}

	// What this node refuses never gets a circuit.
	w.set("ClientRejectInternalAddresses", "1")
	if err := w.get(fmt.Sprintf("http://%s:9/", n.Target().IP), nothing); err == nil {
		t.Fatal("an internal address answered")
	}
	w.set("ClientRejectInternalAddresses", "0")
	refused := w.why("stream", "--last")
	if refused.ID == closed.ID || refused.Outcome != "refused" || len(refused.Because)+len(refused.Meanwhile) != 0 || happened(refused, "stream-attached") {
		t.Errorf("refused: %+v", refused)
	}

	before := time.Now()
	lost, connection := killGuard(t, n, w)
	if got := list[fold.ConnectionView](w, "connections", connection, "--at", before.UTC().Format(time.RFC3339Nano)); len(got) != 1 || got[0].State != "open" {
		t.Errorf("before the guard was killed, its connection was %+v", got)
	}
	nothingForensic(t, n, w)

	// It stops; the answer stays the same. It starts again: still.
	w.end()
	sameHistory(t, w)
	if st := w.why("stream", lost.ID); st.Summary != lost.Summary || len(st.Because) != len(lost.Because) {
		t.Errorf("after the stop: %+v, before %+v", st, lost)
	}
	again := observe(t, n, dir)
	if st := again.why("stream", lost.ID); st.Summary != lost.Summary {
		t.Errorf("after a restart: %+v", st)
	}
	if rows := list[fold.StreamView](again, "streams", lost.ID, "--all"); len(rows) != 0 {
		t.Errorf("a stream of an earlier start is listed: %+v", rows)
	}
	noGuards(t, n, again)
}

// noGuards kills every relay but the authorities: no circuit can be had, and the
// stream that waited in vain is told what failed meanwhile.
func noGuards(t *testing.T, n *testnet.Network, w *witness) {
	for _, x := range n.Nodes() {
		if x.Role != testnet.RoleAuth {
			_ = n.Kill(x.Name) // one is dead already
		}
	}
	w.set("SocksTimeout", "5 seconds")
	if err := w.get(fmt.Sprintf("http://%s:%d/bytes/1", n.Target().IP, n.Target().HTTPPort), nothing); err == nil {
		t.Fatal("there was a circuit without guards")
	}
	st := w.why("stream", "--last")
	if len(st.Because) == 0 && !strings.Contains(st.Summary, "no circuit could be had for it in time") || len(st.Because)+len(st.Meanwhile) == 0 {
		t.Errorf("without guards: %+v", st)
	}
	blamed := false
	for _, s := range append(st.Because, st.Meanwhile...) {
		blamed = blamed || strings.HasPrefix(s.Event, "connection-") || s.Event == "guard-unreachable"
	}
	if !blamed {
		t.Errorf("no connection or guard is blamed: %+v", st)
	}
	_, text, _ := cli(t, "why", "stream", "--last", "--data-dir", w.dir)
	t.Log(text) // how it reads
}

func happened(st story.Story, event string) bool {
	for _, s := range st.Happened {
		if s.Event == event {
			return true
		}
	}
	return false
}

// killGuard kills the guard under a download and hears why it failed.
func killGuard(t *testing.T, n *testnet.Network, w *witness) (st story.Story, connection string) {
	begun, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- w.get(fmt.Sprintf("http://%s:%d/bytes/%d", n.Target().IP, n.Target().HTTPPort, 1<<30), func() { close(begun) })
	}()
	select {
	case <-begun:
	case err := <-done:
		t.Fatalf("the download did not begin: %v", err)
	}
	var victim fold.StreamView
	for _, s := range list[fold.StreamView](w, "streams", "--state", "connected", "--purpose", "general") {
		victim = s
	}
	circuits := list[fold.CircuitView](w, "circuits", victim.Circuit)
	if len(circuits) != 1 || circuits[0].State != "open" || circuits[0].Streams == 0 {
		t.Fatalf("stream %+v on circuits %+v", victim, circuits)
	}
	connection = circuits[0].Connection
	killed := w.guardOf(connection)
	if killed == "" {
		t.Fatalf("circuit %+v has no guard", circuits[0])
	}
	for _, x := range n.Nodes() {
		if x.Fingerprint == killed {
			if err := n.Kill(x.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-done; err == nil {
		t.Fatal("the download survived its guard")
	}
	// Until the guard is found unreachable. Two are in use: circuits for others try it again.
	guards := "in vain"
	for deadline, i := time.Now().Add(patience), 0; ; i++ {
		_ = w.getAs(fmt.Sprint("other", i), fmt.Sprintf("http://%s:%d/bytes/1", n.Target().IP, n.Target().HTTPPort), nothing)
		for _, g := range list[fold.GuardView](w, "guards", "--state", "unreachable") {
			guards = g.ID
		}
		if guards != "in vain" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the guard is not unreachable after %v: %+v", patience, list[fold.GuardView](w, "guards"))
		}
	}
	st = w.why("stream", victim.ID)
	if st.Outcome != "connection-lost" || len(st.Because) != 2 || st.Because[0].ID != victim.Circuit || st.Because[1].ID != connection ||
		st.Because[1].Event != "connection-closed" || !strings.Contains(st.Hint, "the next connection to that relay failed, too") {
		t.Errorf("why the download failed: %+v", st)
	}
	guard := w.why("guard", guards)
	if guard.State != "unreachable" || len(guard.Because) != 1 || guard.Because[0].Event != "connection-failed" {
		t.Fatalf("why the guard is unreachable: %+v", guard)
	}
	if relay := w.guardOf(guard.Because[0].ID); relay != killed {
		t.Errorf("the connection that is blamed went to %s, killed was %s", relay, killed)
	}
	led := w.why("connection", connection)
	found := false
	for _, s := range led.LedTo {
		found = found || s.ID == victim.ID && s.Event == "stream-ended"
	}
	if !found {
		t.Errorf("what the connection's end led to: %+v", led.LedTo)
	}
	return st, connection
}

// sameHistory: what is on disk folds to what the events of the whole run do, and
// at its end nothing is open.
func sameHistory(t *testing.T, w *witness) {
	boots, err := diary.Read(diary.Dir(w.dir))
	if err != nil || len(boots) != 1 || boots[0].Damage != nil || boots[0].Holes != 0 {
		t.Fatalf("history: %+v, %v", boots, err)
	}
	got, want := boots[0].At(boots[0].Until()), &fold.Node{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		want.Apply(e)
	}
	if got.Events != want.Events || got.Tally() != (fold.Tally{}) || got.Stopped.IsZero() || !reflect.DeepEqual(
		[]map[string]uint64{got.StreamEnds, got.CircuitEnds, got.ConnectionEnds},
		[]map[string]uint64{want.StreamEnds, want.CircuitEnds, want.ConnectionEnds},
	) {
		t.Errorf("the history tells %+v, what happened is %+v", got, want)
	}
}

// nothingForensic: neither what is kept nor what is told names a relay or a
// target.
func nothingForensic(t *testing.T, n *testnet.Network, w *witness) {
	secrets := [][]byte{[]byte(n.Target().IP.String()), []byte(":9/")}
	for _, x := range n.Nodes() {
		raw, err := hex.DecodeString(x.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, raw, []byte(x.Fingerprint), []byte(x.IP.String()))
	}
	files, err := filepath.Glob(filepath.Join(diary.Dir(w.dir), "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	for _, args := range []string{"streams --all", "circuits --all", "connections --all", "guards", "why stream --last", "why connection --last"} {
		_, out, errOut := cli(t, append(strings.Fields(args), "--data-dir", w.dir)...)
		all = append(append(all, out...), errOut...)
	}
	for _, s := range secrets {
		if bytes.Contains(all, s) {
			t.Errorf("%q is told", s)
		}
	}
}
