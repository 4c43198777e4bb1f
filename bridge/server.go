package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"chive/bridge/fleet"
	"chive/internal/safego"
	"chive/messages"
	"chive/messages/chivev1"
)

// Options is what a bridge is made of.
type Options struct {
	Fleet          string
	DataDir        string
	Version        string
	Listen         string // address:port for other NATS clients; "" for none
	CredentialFile string // observers' nkey seed, made if missing; needed with Listen

	// InFleet has the node take part in a fleet: on the embedded server, which may
	// be one of a cluster, or on other servers.
	InFleet               bool
	Replicas              int      // servers that hold each bucket; 0 is 1
	URLs                  []string // other servers; none: the embedded one
	NodeCredentialFile    string   // this node's seed for URLs
	ClusterListen         string   // address:port; "" for none
	ClusterCredentialFile string
	Routes                []string // host:port
	TLS                   TLSFiles
	Recorder              *messages.Recorder
	Log                   *slog.Logger
}

// historySize is how many events are kept for those who come later.
const historySize = 2048

// Bridge is a running bridge.
type Bridge struct {
	o       Options
	server  *server.Server
	local   *server.Account // the node's own
	nc      *nats.Conn      // to it
	service micro.Service
	fleet   *uplink // nil: nobody else is
	socket  net.Listener
	cancel  context.CancelFunc
	drained chan struct{}

	watching sync.WaitGroup // at the cluster

	mu      sync.Mutex          // protects the fields below
	history []*chivev1.Envelope // redacted, oldest first
	splices map[net.Conn]struct{}
	closed  bool
	spliced sync.WaitGroup // running splices; added to under mu, before closed
}

// Start runs the server and begins to publish what the recorder holds.
func Start(o Options) (*Bridge, error) {
	b := &Bridge{o: o, drained: make(chan struct{}), splices: map[net.Conn]struct{}{}}
	k, err := newKeys()
	if err != nil {
		return nil, err
	}
	opts, err := b.options(k)
	if err != nil {
		return nil, err
	}
	if b.server, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	said := &serverLog{log: b.o.Log, node: o.Recorder.Node(), now: time.Now}
	b.server.SetLoggerV2(said, false, false, false)
	b.server.Start() // returns when it listens, or cannot
	if err := said.failure(); err != nil {
		b.server.Shutdown()
		return nil, err
	}
	if !b.server.ReadyForConnections(startTime) {
		b.server.Shutdown()
		return nil, fmt.Errorf("embedded NATS: not ready after %v", startTime)
	}
	if err := b.connect(k); err != nil {
		return nil, errors.Join(err, b.abandon())
	}
	if err := b.listenControl(); err != nil {
		return nil, errors.Join(err, b.abandon())
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	if o.ClusterListen != "" {
		b.watching.Add(1)
		safego.Go("cluster watch", func() {
			defer b.watching.Done()
			b.watchCluster(ctx)
		}, b.panicked)
	}
	safego.Go("event publisher", func() {
		defer close(b.drained)
		_ = o.Recorder.Drain(ctx, b.publish) // ends with the context
	}, b.panicked)
	return b, nil
}

// abandon ends what a failed start has begun.
func (b *Bridge) abandon() error {
	var err error
	if b.fleet != nil {
		err = b.fleet.close()
	}
	if b.nc != nil {
		b.nc.Close()
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
	return errors.Join(err, b.removeSeeds())
}

// removeSeeds takes away the credentials of this boot.
func (b *Bridge) removeSeeds() error {
	err := os.Remove(filepath.Join(b.o.DataDir, controlSeed))
	if b.o.open() {
		err = errors.Join(err, os.Remove(filepath.Join(b.o.DataDir, fleetSeed)))
	}
	return err
}

func (b *Bridge) panicked(p safego.Panic) { b.o.Log.Error("bridge", "panic", p.Reason()) }

const (
	controlSeed   = "control.nk" // the operator's of this node, for this boot
	fleetSeed     = "fleet.nk"   // likewise, for the fleet
	controlSocket = "control.sock"
)

func (b *Bridge) connect(k keys) error {
	var err error
	if b.local, err = b.server.LookupAccount(localAccount(k)); err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	b.nc, err = nats.Connect("", append(credential(k.local, k.localKey), nats.InProcessServer(b.server), nats.Name("chive node"),
		nats.Timeout(startTime), nats.MaxReconnects(-1), nats.ReconnectBufSize(1<<20))...)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	if b.service, err = b.addService(b.nc); err != nil {
		return err
	}
	if b.fleet, err = b.dialFleet(k); err != nil {
		return err
	}
	return b.Share("history", b.answerHistory)
}

// addService makes the node visible to who asks for services.
func (b *Bridge) addService(nc *nats.Conn) (micro.Service, error) {
	s, err := micro.AddService(nc, micro.Config{
		Name: "chive", Version: "1.0.0", Description: "a chive node",
		Metadata: map[string]string{"node": b.o.Recorder.Node(), "fleet": b.o.Fleet, "version": b.o.Version},
	})
	if err != nil {
		return nil, fmt.Errorf("control service: %w", err)
	}
	return s, nil
}

// Handle answers the requests of this node's operator for a verb at
// chive.v1.<fleet>.<node>.ctl.<verb>. f runs in the subscription's goroutine.
func (b *Bridge) Handle(verb string, f func(request []byte) ([]byte, error)) error {
	if err := b.serve(b.service, verb, f); err != nil {
		return err
	}
	// From here on the server knows of it: who asks next is answered.
	return b.nc.FlushTimeout(startTime)
}

// Share answers the operator, and everybody else whose role allows the verb.
func (b *Bridge) Share(verb string, f func(request []byte) ([]byte, error)) error {
	if b.fleet != nil {
		if err := b.serve(b.fleet.service, verb, f); err != nil {
			return err
		}
		if len(b.o.URLs) == 0 {
			if err := b.fleet.nc.FlushTimeout(startTime); err != nil {
				return err
			}
		}
	}
	return b.Handle(verb, f)
}

func (b *Bridge) serve(s micro.Service, verb string, f func(request []byte) ([]byte, error)) error {
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
	return s.AddEndpoint(verb, handler,
		micro.WithEndpointSubject(messages.ControlSubject(b.o.Fleet, b.o.Recorder.Node(), verb)))
}

// publish sends a batch of events; it never fails for long: what the server
// does not take is lost to NATS only.
func (b *Bridge) publish(events []*chivev1.Envelope) error {
	for _, e := range events {
		e = messages.Redact(e, chivev1.Tier_TIER_LIFECYCLE) // relays, paths and targets stay here
		b.remember(e)
		subject := messages.Subject(b.o.Fleet, e)
		// Most of the time nobody listens, and an event that nobody gets is not
		// worth its encoding. Who subscribes and then asks for the history misses
		// none: it is in one or the other.
		followed := b.local.SubscriptionInterest(subject)
		if !followed && b.fleet == nil {
			continue
		}
		wire, err := messages.Encode(nil, e)
		if err != nil {
			b.o.Log.Debug("event not encoded", "err", err)
			continue
		}
		if followed {
			if err := b.nc.Publish(subject, wire); err != nil {
				b.o.Log.Debug("event not published", "err", err)
			}
		}
		if b.fleet != nil {
			b.fleet.offer(subject, wire)
		}
	}
	return nil
}

func (b *Bridge) remember(e *chivev1.Envelope) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.history) >= historySize {
		n := copy(b.history, b.history[historySize/4:])
		clear(b.history[n:])
		b.history = b.history[:n]
	}
	b.history = append(b.history, e)
}

// Member makes the node's part in its fleet, which is to leave before the bridge is
// closed. The options' connection and names are the bridge's.
func (b *Bridge) Member(o fleet.Options) (*fleet.Member, error) {
	if b.fleet == nil {
		return nil, errors.New("the node is in no fleet")
	}
	o.Conn, o.Fleet, o.Node, o.Log = b.fleet.nc, b.o.Fleet, b.o.Recorder.Node(), b.o.Log
	return fleet.New(o)
}

// ClientURL is where other NATS clients connect; "" without NatsListen.
func (b *Bridge) ClientURL() string {
	if b.o.Listen == "" {
		return ""
	}
	return b.server.ClientURL()
}

// ClusterAddress is where other servers of the cluster connect; "" without one.
func (b *Bridge) ClusterAddress() string {
	if b.o.ClusterListen == "" {
		return ""
	}
	return b.server.ClusterAddr().String()
}

// These bound the answers of the server inside the process, which only a machine that is very
// busy keeps waiting.
const (
	startTime = 30 * time.Second
	endTime   = 10 * time.Second
)

// cutAfter is how long control connections may take to read their last.
const cutAfter = 3 * time.Second

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
	var err error
	if b.fleet != nil {
		err = b.fleet.close()
	}
	err = errors.Join(err, b.service.Stop(), b.nc.FlushTimeout(endTime))
	b.nc.Close()
	b.watching.Wait()
	_ = b.socket.Close() // its file is removed with it
	b.server.Shutdown()
	b.server.WaitForShutdown()
	cut, cancel := context.WithTimeout(ctx, cutAfter)
	defer cancel()
	b.endControl(cut)
	return errors.Join(err, b.removeSeeds())
}
