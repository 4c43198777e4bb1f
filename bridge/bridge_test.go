package bridge

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chive/internal/leak"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"chive/messages"
	"chive/messages/chivev1"
)

func TestMain(m *testing.M) { leak.Main(m) }

const patience = 30 * time.Second

// secret stands for what must not leave the node.
const secret = "secret.example:443"

type running struct {
	*Bridge
	recorder *messages.Recorder
	dir      string
}

// start runs a bridge that other NATS clients can reach.
func start(t *testing.T) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "chive") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return startIn(t, dir)
}

func startIn(t *testing.T, dir string) *running {
	t.Helper()
	r := messages.NewRecorder("n1", time.Now, 1024)
	b, err := Start(Options{
		Fleet: "f", DataDir: dir, Listen: "127.0.0.1:0", CredentialFile: filepath.Join(dir, "observer.nk"),
		Version: "1", Recorder: r, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop(b) }) // a test may have stopped it
	return &running{b, r, dir}
}

func stop(b *Bridge) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return b.Close(ctx)
}

// observe connects with the ordinary client library and nothing of ours.
func (r *running) observe(t *testing.T, options ...nats.Option) *nats.Conn {
	t.Helper()
	credential, err := nats.NkeyOptionFromSeed(filepath.Join(r.dir, "observer.nk"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := KeptKey(filepath.Join(r.dir, "observer.nk"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(r.ClientURL(), append(options, credential, nats.CustomInboxPrefix("_INBOX."+key), nats.NoReconnect(), nats.Timeout(patience))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func (r *running) emit(n int) {
	for range n {
		r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitOpened{Hops: 3}))
	}
}

func TestOrdinaryClientObservesCircuits(t *testing.T) {
	r := start(t)
	nc := r.observe(t)
	sub, err := nc.SubscribeSync("chive.v1.*.*.evt.circuit.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_STREAM, "s1", &chivev1.StreamRequested{Target: secret}))
	r.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitLaunched{Hops: 3, Path: [][]byte{[]byte(secret)}}))
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "chive.v1.f.n1.evt.circuit.c1.launched" || len(m.Header) != 0 {
		t.Errorf("subject %s, header %v", m.Subject, m.Header)
	}
	e, err := messages.Decode(m.Data)
	if err != nil || e.GetSequence() != 2 || e.GetCircuitLaunched().GetHops() != 3 {
		t.Errorf("event %v, %v", e, err)
	}
}

// Only the lifecycle tier leaves the node, by whichever way.
func TestNothingForensicLeaves(t *testing.T) {
	r := start(t)
	nc := r.observe(t)
	sub, err := nc.SubscribeSync("chive.v1.*.*.evt.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*chivev1.Envelope{
		messages.Event(chivev1.Kind_KIND_STREAM, "s1", &chivev1.StreamRequested{Target: secret}),
		messages.Event(chivev1.Kind_KIND_CIRCUIT, "c1", &chivev1.CircuitLaunched{Path: [][]byte{[]byte(secret)}}),
		messages.Event(chivev1.Kind_KIND_CONNECTION, "k1", &chivev1.ConnectionDialled{Address: secret, Relay: []byte(secret)}),
		messages.Event(chivev1.Kind_KIND_GUARD, "g1", &chivev1.GuardSampled{Relay: []byte(secret)}),
	} {
		r.recorder.Emit(e)
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(m.Data, []byte(secret)) {
			t.Errorf("%s carries forensic data", m.Subject)
		}
	}
	answer, err := nc.Request("chive.v1.f.n1.ctl.history", nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(answer.Data, []byte(secret)) || !bytes.Contains(answer.Data, []byte("s1")) {
		t.Errorf("history: %q", answer.Data)
	}
}

func TestWrongCredentialIsRefused(t *testing.T) {
	r := start(t)
	stranger, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	key, err := stranger.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string][]nats.Option{
		"another key": {nats.Nkey(key, stranger.Sign)}, "no key": nil, "a password": {nats.UserInfo("chive", "chive")},
	} {
		nc, err := nats.Connect(r.ClientURL(), append(options, nats.NoReconnect(), nats.Timeout(patience))...)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: err = %v", name, err)
		}
		if nc != nil {
			nc.Close()
		}
	}
}

func TestObserverOnlyObserves(t *testing.T) {
	r := start(t)
	refused := make(chan error, 1)
	nc := r.observe(t, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	expect := func(what string) {
		t.Helper()
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: not refused", what)
		}
	}
	for _, subject := range []string{"chive.v1.f.n1.evt.circuit.c1.opened", "chive.v1.f.n1.ctl.stop", "_INBOX.other"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		expect("publish " + subject)
	}
	for _, subject := range []string{"chive.v1.f.n1.ctl.status", "$SRV.>", ">"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		expect("subscribe " + subject)
	}
	info, err := nc.Request("$SRV.INFO.chive", nil, patience)
	if err != nil || !bytes.Contains(info.Data, []byte(`"node":"n1"`)) {
		t.Errorf("the service is not visible: %v", err)
	}
}

func TestListenRefusals(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:4222": "needs TLS", "192.0.2.1:4222": "needs TLS", "[::]:4222": "needs TLS",
		"localhost:4222": "NatsListen", "127.0.0.1": "NatsListen", "127.0.0.1:99999": "NatsListen",
	} {
		dir := t.TempDir()
		b, err := Start(Options{
			Fleet: "f", DataDir: dir, Listen: listen, CredentialFile: filepath.Join(dir, "o"),
			Recorder: messages.NewRecorder("n1", time.Now, 1), Log: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			_ = stop(b)
			t.Errorf("%s: started", listen)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestListenOnATakenPort(t *testing.T) {
	r := start(t)
	dir := t.TempDir()
	b, err := Start(Options{
		Fleet: "f", DataDir: dir, Listen: strings.TrimPrefix(r.ClientURL(), "nats://"), CredentialFile: filepath.Join(dir, "o"),
		Recorder: messages.NewRecorder("n2", time.Now, 1), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		_ = stop(b)
		t.Fatal("started on a port that is in use")
	}
	if !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "give NatsListen or NatsClusterListen another port") {
		t.Errorf("err = %v, want one that says the port is in use, and what to do", err)
	}
}

func TestCredentialFile(t *testing.T) {
	r := start(t)
	path := filepath.Join(r.dir, "observer.nk")
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, filepath.Join(r.dir, controlSocket), filepath.Join(r.dir, controlSeed)} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
	if err := stop(r.Bridge); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{controlSocket, controlSeed} {
		if _, err := os.Stat(filepath.Join(r.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	startIn(t, r.dir).observe(t) // the same seed, kept
	if second, err := os.ReadFile(path); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the observers' seed changed: %v", err)
	}
	if err := os.WriteFile(path, []byte("not a seed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeptKey(path); err == nil || !strings.Contains(err.Error(), "seed") {
		t.Errorf("a broken file: %v", err)
	}
}
