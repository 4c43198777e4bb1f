package bridge

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"chive/messages"
	"chive/messages/chivev1"
)

func (r *running) client(t *testing.T) *Client {
	t.Helper()
	c, err := Connect(t.Context(), r.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRequests(t *testing.T) {
	r := start(t)
	handlers := map[string]func([]byte) ([]byte, error){
		"status": func(request []byte) ([]byte, error) { return append([]byte("re: "), request...), nil },
	}
	for verb, f := range handlers {
		if err := r.Handle(verb, f); err != nil {
			t.Fatal(err)
		}
	}
	c := r.client(t)
	if answer, err := c.Request(t.Context(), "status", []byte("ping")); err != nil || string(answer) != "re: ping" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestFailingHandlers(t *testing.T) {
	for name, f := range map[string]func([]byte) ([]byte, error){
		"no such luck": func([]byte) ([]byte, error) { return nil, errors.New("no such luck") },
		"panicked":     func([]byte) ([]byte, error) { panic("x") },
	} {
		r := start(t)
		if err := r.Handle("status", f); err != nil {
			t.Fatal(err)
		}
		c := r.client(t)
		for range 2 { // the handler survives
			if answer, err := c.Request(t.Context(), "status", nil); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: answer %q, %v", name, answer, err)
			}
		}
	}
}

// What is emitted before Close reaches those who follow, in order.
func TestCloseDeliversTheLastEvents(t *testing.T) {
	r := start(t)
	c := r.client(t)
	var got []uint64
	gone := c.Gone()
	if _, err := c.Follow(func(e *chivev1.Envelope) { got = append(got, e.GetSequence()) }); err != nil {
		t.Fatal(err)
	}
	r.emit(500)
	if err := stop(r.Bridge); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the client does not see that the node stopped")
	}
	if len(got) != 500 {
		t.Fatalf("got %d of 500 events", len(got))
	}
	for i, sequence := range got {
		if sequence != uint64(i+1) {
			t.Fatalf("event %d has sequence %d", i, sequence)
		}
	}
}

// stuck subscribes to everything over a bare socket and then never reads.
func (r *running) stuck(t *testing.T) {
	t.Helper()
	seed, err := os.ReadFile(filepath.Join(r.dir, "observer.nk"))
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(r.ClientURL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	signature, err := user.Sign([]byte(info.Nonce))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"nkey\":%q,\"sig\":%q}\r\nSUB chive.v1.*.*.evt.> 1\r\nPING\r\n",
		key, base64.RawURLEncoding.EncodeToString(signature))
	for line != "PONG\r\n" {
		if line, err = in.ReadString('\n'); err != nil || strings.HasPrefix(line, "-ERR") {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

func TestStuckSubscriberHoldsNobodyUp(t *testing.T) {
	r := start(t)
	c := r.client(t)
	r.stuck(t)
	const n = 20_000 // more than the socket's buffers hold
	r.emit(n)
	for {
		history, err := c.History(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Everything was published or is told as dropped.
		if last := len(history) - 1; last >= 0 && history[last].GetSequence() >= n {
			break
		}
	}
	if err := stop(r.Bridge); err != nil {
		t.Error(err)
	}
}

func TestEmitOutlivesTheServer(t *testing.T) {
	r := start(t)
	r.server.Shutdown()
	r.server.WaitForShutdown()
	r.emit(5000)
	if r.recorder.Emitted() < 5000 {
		t.Errorf("emitted %d", r.recorder.Emitted())
	}
	if err := stop(r.Bridge); err == nil {
		t.Error("Close says nothing of the dead server")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	r := start(t)
	e := messages.Event(chivev1.Kind_KIND_NODE, "n1", &chivev1.BootstrapAdvanced{Summary: strings.Repeat("x", 2000)})
	for range 3 * historySize {
		if err := r.publish([]*chivev1.Envelope{e}); err != nil {
			t.Fatal(err)
		}
	}
	r.mu.Lock()
	held := len(r.history)
	r.mu.Unlock()
	if held > historySize {
		t.Errorf("%d events are held, want at most %d", held, historySize)
	}
	history, err := r.client(t).History(t.Context()) // as many as fit one message
	if err != nil || len(history) < 100 {
		t.Errorf("%d events, %v", len(history), err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	r := start(t)
	if err := stop(r.Bridge); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, controlSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	startIn(t, r.dir).client(t)
}

func TestDataDirectoryTooLongForASocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", maxSocketPath))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := Start(Options{
		Fleet: "f", DataDir: dir, Recorder: messages.NewRecorder("n1", time.Now, 1), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		_ = stop(b)
		t.Fatal("started")
	}
	if !strings.Contains(err.Error(), "DataDirectory is too long") {
		t.Errorf("err = %v", err)
	}
}

func TestNoNode(t *testing.T) {
	r := start(t)
	if err := stop(r.Bridge); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(t.Context(), r.dir); !errors.Is(err, ErrNoNode) {
		t.Errorf("err = %v", err)
	}
	// A node that was killed leaves its files.
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeSeed(filepath.Join(r.dir, controlSeed), user); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(t.Context(), r.dir); !errors.Is(err, ErrNoNode) {
		t.Errorf("after a kill: err = %v", err)
	}
}
