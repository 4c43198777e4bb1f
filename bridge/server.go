package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"chive/internal/safego"
	"chive/messages"
	"chive/messages/chivev1"
)

// Options is what a bridge is made of.
type Options struct {
	Fleet          string
	DataDir        string
	Listen         string // loopback host:port for other NATS clients; "" for none
	CredentialFile string // observers' nkey seed, made if missing; needed with Listen
	Version        string
	Recorder       *messages.Recorder
	Log            *slog.Logger
}

// historySize is how many events are kept for those who come later.
const historySize = 2048

// maxClients is how many connections the server takes: the node's own, command
// lines and observers.
const maxClients = 64

// Bridge is a running bridge.
type Bridge struct {
	o       Options
	server  *server.Server
	nc      *nats.Conn
	service micro.Service
	socket  net.Listener
	cancel  context.CancelFunc
	drained chan struct{}

	mu      sync.Mutex // protects the fields below
	history [][]byte   // encoded, redacted, oldest first
	splices map[net.Conn]struct{}
	closed  bool
	spliced sync.WaitGroup // running splices; added to under mu, before closed
}

// ErrListen refuses a NatsListen that is not loopback.
var ErrListen = errors.New("NatsListen must be a loopback address: beyond this machine it needs TLS, which is not supported yet")

// Start runs the server and begins to publish what the recorder holds.
func Start(o Options) (*Bridge, error) {
	b := &Bridge{o: o, drained: make(chan struct{}), splices: map[net.Conn]struct{}{}}
	node, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	opts, err := b.options(node)
	if err != nil {
		return nil, err
	}
	if b.server, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	said := &serverLog{log: b.o.Log}
	b.server.SetLoggerV2(said, false, false, false)
	b.server.Start() // returns when it listens, or cannot
	if err := said.failure(); err != nil {
		b.server.Shutdown()
		return nil, err
	}
	if !b.server.ReadyForConnections(5 * time.Second) {
		b.server.Shutdown()
		return nil, fmt.Errorf("embedded NATS: not ready after 5 s")
	}
	if err := b.connect(node); err != nil {
		b.server.Shutdown()
		return nil, err
	}
	if err := b.listenControl(); err != nil {
		b.nc.Close()
		b.server.Shutdown()
		return nil, errors.Join(err, os.Remove(filepath.Join(o.DataDir, controlSeed)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	safego.Go("event publisher", func() {
		defer close(b.drained)
		_ = o.Recorder.Drain(ctx, b.publish) // ends with the context
	}, b.panicked)
	return b, nil
}

func (b *Bridge) panicked(p safego.Panic) { b.o.Log.Error("bridge", "panic", p.Reason()) }

func (b *Bridge) options(node nkeys.KeyPair) (*server.Options, error) {
	opts := &server.Options{
		ServerName: "chive-" + b.o.Recorder.Node(), DontListen: b.o.Listen == "",
		NoSigs: true, NoLog: true, MaxPayload: 1 << 20, MaxPending: 8 << 20, NoSystemAccount: true,
		// A client that does not read is cut, and never slows the node down.
		NoFastProducerStall: true, WriteDeadline: 2 * time.Second, MaxConn: maxClients,
	}
	if b.o.Listen != "" {
		ap, err := netip.ParseAddrPort(b.o.Listen)
		if err != nil {
			return nil, fmt.Errorf("NatsListen %q: %w", b.o.Listen, err)
		}
		if !ap.Addr().IsLoopback() {
			return nil, fmt.Errorf("%w (got %v)", ErrListen, ap)
		}
		opts.Host, opts.Port = ap.Addr().String(), int(ap.Port())
		if ap.Port() == 0 {
			opts.Port = server.RANDOM_PORT
		}
	}
	nodeKey, err := node.PublicKey()
	if err != nil {
		return nil, err
	}
	control, err := freshSeed(filepath.Join(b.o.DataDir, controlSeed))
	if err != nil {
		return nil, err
	}
	opts.Nkeys = []*server.NkeyUser{{Nkey: nodeKey}, {Nkey: control, Permissions: b.permissions(append([]string{"status", "history"}, configVerbs...)...)}}
	if b.o.Listen != "" {
		observer, err := keptSeed(b.o.CredentialFile)
		if err != nil {
			return nil, err
		}
		opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: observer, Permissions: b.permissions("status", "history")})
	}
	return opts, nil
}

// permissions let a client watch events and ask the given verbs, no more.
func (b *Bridge) permissions(verbs ...string) *server.Permissions {
	publish := []string{"$SRV.>"}
	for _, v := range verbs {
		publish = append(publish, messages.ControlSubject(b.o.Fleet, b.o.Recorder.Node(), v))
	}
	return &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{messages.Version + ".*.*.evt.>", "_INBOX.>"}},
		Publish:   &server.SubjectPermission{Allow: publish},
	}
}

const (
	controlSeed   = "control.nk"
	controlSocket = "control.sock"
)

// freshSeed makes a user, writes its seed for this boot only, and returns its
// public key.
func freshSeed(path string) (string, error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return writeSeed(path, user)
}

// keptSeed returns the public key of the user whose seed is in the file, made
// if it is not there.
func keptSeed(path string) (string, error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		user, err := nkeys.CreateUser()
		if err != nil {
			return "", err
		}
		return writeSeed(path, user)
	}
	if err != nil {
		return "", err
	}
	user, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return "", fmt.Errorf("NatsCredentialFile %s: %w", path, err)
	}
	return user.PublicKey()
}

func writeSeed(path string, user nkeys.KeyPair) (string, error) {
	seed, err := user.Seed()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, append(seed, '\n'), 0o600); err != nil {
		return "", err
	}
	return user.PublicKey()
}

func (b *Bridge) connect(node nkeys.KeyPair) error {
	key, err := node.PublicKey()
	if err != nil {
		return err
	}
	b.nc, err = nats.Connect("", nats.InProcessServer(b.server), nats.Nkey(key, node.Sign), nats.Name("chive node"),
		nats.Timeout(5*time.Second), nats.MaxReconnects(-1), nats.ReconnectBufSize(1<<20))
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	b.service, err = micro.AddService(b.nc, micro.Config{
		Name: "chive", Version: "1.0.0", Description: "a chive node",
		Metadata: map[string]string{"node": b.o.Recorder.Node(), "fleet": b.o.Fleet, "version": b.o.Version},
	})
	if err != nil {
		return fmt.Errorf("control service: %w", err)
	}
	return b.Handle("history", b.answerHistory)
}

// Handle answers requests for a verb at chive.v1.<fleet>.<node>.ctl.<verb>. f
// runs in the subscription's goroutine.
func (b *Bridge) Handle(verb string, f func(request []byte) ([]byte, error)) error {
	handler := micro.HandlerFunc(func(r micro.Request) {
		var answer []byte
		var err error
		if p := safego.Call("control "+verb, func() { answer, err = f(r.Data()) }); p != nil {
			err = p
		}
		if err != nil {
			_ = r.Error("500", err.Error(), nil) // the asker is gone then
			return
		}
		_ = r.Respond(answer) // likewise
	})
	if err := b.service.AddEndpoint(verb, handler,
		micro.WithEndpointSubject(messages.ControlSubject(b.o.Fleet, b.o.Recorder.Node(), verb))); err != nil {
		return err
	}
	// From here on the server knows of it: who asks next is answered.
	return b.nc.FlushTimeout(5 * time.Second)
}

// publish sends a batch of events; it never fails for long: what the server
// does not take is lost to NATS only.
func (b *Bridge) publish(events []*chivev1.Envelope) error {
	for _, e := range events {
		e = messages.Redact(e, chivev1.Tier_TIER_LIFECYCLE) // relays, paths and targets stay here
		wire, err := messages.Encode(nil, e)
		if err != nil {
			b.o.Log.Debug("event not encoded", "err", err)
			continue
		}
		b.remember(wire)
		if err := b.nc.Publish(messages.Subject(b.o.Fleet, e), wire); err != nil {
			b.o.Log.Debug("event not published", "err", err)
		}
	}
	return nil
}

func (b *Bridge) remember(wire []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.history) >= historySize {
		n := copy(b.history, b.history[historySize/4:])
		clear(b.history[n:])
		b.history = b.history[:n]
	}
	b.history = append(b.history, wire)
}

// ClientURL is where other NATS clients connect; "" without NatsListen.
func (b *Bridge) ClientURL() string {
	if b.o.Listen == "" {
		return ""
	}
	return b.server.ClientURL()
}

// cutAfter is how long control connections may take to read their last.
const cutAfter = time.Second

// Close publishes what is left, within the deadline, and ends the server; those
// who follow get the last events. Calling it again does nothing.
func (b *Bridge) Close(ctx context.Context) error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	b.mu.Unlock()
	if again {
		return nil
	}
	b.cancel()
	select {
	case <-b.drained:
	case <-ctx.Done():
	}
	err := errors.Join(b.service.Stop(), b.nc.FlushTimeout(2*time.Second))
	b.nc.Close()
	_ = b.socket.Close() // its file is removed with it
	b.server.Shutdown()
	b.server.WaitForShutdown()
	cut, cancel := context.WithTimeout(ctx, cutAfter)
	defer cancel()
	b.endControl(cut)
	return errors.Join(err, os.Remove(filepath.Join(b.o.DataDir, controlSeed)))
}
