package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chive/internal/freeport"
	"chive/messages"
)

// waits bounds a failure, never a success.
const waits = 30 * time.Second

// hub is a NATS server with JetStream.
func hub(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(waits) {
		t.Fatal("the server is not ready")
	}
	return s
}

func dial(t *testing.T, s *server.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append(options, nats.Timeout(waits), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// heard collects publications.
type heard chan messages.FleetPublication

func (h heard) next(t *testing.T) messages.FleetPublication {
	t.Helper()
	select {
	case p := <-h:
		return p
	case <-time.After(waits):
		t.Fatal("no publication")
		panic("unreachable")
	}
}

func join(t *testing.T, nc *nats.Conn, node string, keys ...string) (*Member, heard) {
	t.Helper()
	h := make(heard, 16)
	m, err := New(Options{
		Conn: nc, Fleet: "f", Node: node, Keys: keys, Now: func() time.Time { return signed },
		Log: slog.New(slog.DiscardHandler), See: func(p messages.FleetPublication) { h <- p },
	})
	if err != nil {
		t.Fatal(err)
	}
	m.shareTime = waits
	m.Begin()
	t.Cleanup(m.Leave)
	return m, h
}

func operator(t *testing.T, s *server.Server) *Client {
	t.Helper()
	c, err := NewClient(dial(t, s), "f")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually tries until it works.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(waits)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// publishes the next revision; the buckets may still be in the making.
func publishes(t *testing.T, c *Client, seed []byte, revision uint64) uint64 {
	t.Helper()
	value, err := Sign(seed, document(func(d *messages.FleetDocument) { d.Revision = revision }))
	if err != nil {
		t.Fatal(err)
	}
	var number uint64
	eventually(t, "publish", func() error {
		last, err := c.Config(t.Context())
		if err != nil && !errors.Is(err, ErrNothing) {
			return err
		}
		number, err = c.Publish(t.Context(), value, last.Number)
		return err
	})
	return number
}

func TestPublicationReachesNodesAndIsAcknowledged(t *testing.T) {
	s := hub(t)
	seed, public := newKey(t)
	c := operator(t, s)
	if _, err := c.Config(t.Context()); !errors.Is(err, ErrNoFleet) {
		t.Errorf("before any node: %v", err)
	}
	if _, err := c.Members(t.Context()); !errors.Is(err, ErrNoFleet) {
		t.Errorf("before any node: %v", err)
	}
	m1, h1 := join(t, dial(t, s), "n1", public)
	_, h2 := join(t, dial(t, s), "n2", public)
	first := publishes(t, c, seed, 3)
	for _, h := range []heard{h1, h2} {
		if p := h.next(t); p.Err != nil || p.Number != first || p.Author != public || p.Document.Revision != 3 || p.Digest == "" {
			t.Errorf("%+v", p)
		}
	}
	said := make(chan messages.FleetAck, 4)
	stop, err := c.FollowAcks(func(a messages.FleetAck) { said <- a })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	m1.Acknowledge(messages.FleetAck{Publication: first, Revision: 3, Node: "n1", State: messages.FleetTrying, Time: signed})
	if a := <-said; a.State != messages.FleetTrying || a.Node != "n1" {
		t.Errorf("%+v", a)
	}
	m1.Acknowledge(messages.FleetAck{Publication: first, Revision: 3, Node: "n1", State: messages.FleetApplied, Time: signed.Add(time.Second)})
	if a := <-said; a.State != messages.FleetApplied {
		t.Errorf("%+v", a)
	}
	acks, err := c.Acks(t.Context(), first)
	if err != nil || len(acks) != 1 || acks[0].State != messages.FleetApplied {
		t.Errorf("%+v, %v", acks, err)
	}
	if p, err := c.At(t.Context(), first); err != nil || p.Document.Revision != 3 || p.Author != public {
		t.Errorf("%+v, %v", p, err)
	}
}

// Two operators at once: one is told.
func TestPublishingBehindAnother(t *testing.T) {
	s := hub(t)
	seed, public := newKey(t)
	c := operator(t, s)
	_, h := join(t, dial(t, s), "n1", public)
	number := publishes(t, c, seed, 1)
	h.next(t)
	value, err := Sign(seed, document(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(t.Context(), value, number-1); !errors.Is(err, ErrConflict) {
		t.Errorf("behind another: %v", err)
	}
	// The refused message was a message all the same: nobody believes it.
	last := publishes(t, c, seed, 4)
	if p := h.next(t); p.Number != last || p.Document.Revision != 4 {
		t.Errorf("%+v", p)
	}
}

// What is not in the bucket is not believed, be it signed.
func TestMessageThatWasNotStored(t *testing.T) {
	s := hub(t)
	seed, public := newKey(t)
	c := operator(t, s)
	_, h := join(t, dial(t, s), "n1", public)
	publishes(t, c, seed, 1)
	h.next(t)
	value, err := Sign(seed, document(func(d *messages.FleetDocument) { d.Revision = 9 }))
	if err != nil {
		t.Fatal(err)
	}
	nc := dial(t, s)
	for range 3 { // an expectation that cannot hold: the stream refuses it
		msg := &nats.Msg{Subject: "$KV." + ConfigBucket("f") + "." + ConfigKey, Data: value, Header: nats.Header{jetstream.ExpectedLastSeqHeader: {"1000"}}}
		if err := nc.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(waits); err != nil {
		t.Fatal(err)
	}
	last := publishes(t, c, seed, 2)
	if p := h.next(t); p.Number != last || p.Document.Revision != 2 {
		t.Errorf("%+v", p)
	}
}

func TestNotBelievedIsTold(t *testing.T) {
	s := hub(t)
	_, public := newKey(t)
	stranger, _ := newKey(t)
	c := operator(t, s)
	_, h := join(t, dial(t, s), "n1", public)
	number := publishes(t, c, stranger, 1)
	if p := h.next(t); !errors.Is(p.Err, ErrStranger) || p.Number != number || p.Document.Revision != 0 {
		t.Errorf("%+v", p)
	}
	if _, err := c.Publish(t.Context(), []byte("rubbish"), number); err != nil {
		t.Fatal(err)
	}
	if p := h.next(t); !errors.Is(p.Err, ErrMalformed) {
		t.Errorf("%+v", p)
	}
	if p, err := c.Config(t.Context()); !errors.Is(err, ErrMalformed) || p.Number != number+1 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A node that comes when what is newest is of nobody who may sign takes the newest that is; one that
// has seen that is told of the refused ones alone.
func TestNewestThatIsSigned(t *testing.T) {
	s := hub(t)
	seed, public := newKey(t)
	stranger, _ := newKey(t)
	c := operator(t, s)
	_, here := join(t, dial(t, s), "n1", public)
	publishes(t, c, seed, 1)
	here.next(t)
	good := publishes(t, c, seed, 2)
	here.next(t)
	first := publishes(t, c, stranger, 3)
	if p := here.next(t); !errors.Is(p.Err, ErrStranger) || p.Number != first {
		t.Errorf("%+v", p)
	}
	last, err := c.Publish(t.Context(), []byte("rubbish"), first)
	if err != nil {
		t.Fatal(err)
	}
	if p := here.next(t); !errors.Is(p.Err, ErrMalformed) || p.Number != last {
		t.Errorf("%+v", p)
	}
	_, late := join(t, dial(t, s), "n2", public)
	if p := late.next(t); !errors.Is(p.Err, ErrMalformed) || p.Number != last {
		t.Errorf("%+v", p)
	}
	if p := late.next(t); p.Err != nil || p.Number != good || p.Document.Revision != 2 || p.Author != public || p.Digest == "" {
		t.Errorf("%+v", p)
	}
	_, alone := join(t, dial(t, s), "n3", func() string { _, other := newKey(t); return other }())
	alone.next(t)
	value, err := Sign(seed, document(func(d *messages.FleetDocument) { d.Revision = 5 }))
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Publish(t.Context(), value, last)
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]heard{"n1": here, "n2": late, "n3": alone} {
		if p := h.next(t); p.Number != next { // nothing came in between
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestMembersComeAndGo(t *testing.T) {
	s := hub(t)
	c := operator(t, s)
	for i := range 3 {
		m, _ := join(t, dial(t, s), fmt.Sprintf("n%d", i))
		m.Beat(messages.FleetMember{Node: fmt.Sprintf("n%d", i), Version: "1", Time: time.Now().Add(time.Hour)})
		if i == 2 {
			eventually(t, "three members", func() error { return members(t.Context(), c, 3) })
			m.Leave()
		}
	}
	if err := members(t.Context(), c, 2); err != nil { // it was told before it left
		t.Errorf("after one has left: %v", err)
	}
	all, err := c.Members(t.Context())
	if err != nil || all[0].Node != "n0" || all[0].Skew < 59*time.Minute || all[0].Skew > 61*time.Minute {
		t.Errorf("%+v, %v", all, err)
	}
}

func members(ctx context.Context, c *Client, want int) error {
	all, err := c.Members(ctx)
	if err == nil && len(all) != want {
		err = fmt.Errorf("%d members, want %d", len(all), want)
	}
	return err
}

// What is said while no server is there is said when one is again.
func TestServerAway(t *testing.T) {
	dir := t.TempDir()
	at := func(port int) *server.Server {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(waits) {
			t.Fatal("the server is not ready")
		}
		return s
	}
	port, err := freeport.Take(netip.MustParseAddr("127.0.0.1")) // which nobody else gets meanwhile
	if err != nil {
		t.Fatal(err)
	}
	s := at(port)
	seed, public := newKey(t)
	m, h := join(t, dial(t, s, nats.RetryOnFailedConnect(true)), "n1", public)
	publishes(t, operator(t, s), seed, 1)
	h.next(t)
	s.Shutdown()
	s.WaitForShutdown()
	for i := range maxAcks + 10 { // the newest are kept
		m.Acknowledge(messages.FleetAck{Publication: uint64(1000 + i), Node: "n1", State: messages.FleetApplied, Time: signed})
	}
	m.mu.Lock()
	waiting := len(m.acks)
	m.mu.Unlock()
	if waiting > maxAcks {
		t.Errorf("%d acknowledgements wait", waiting)
	}
	s = at(port)
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	c := operator(t, s)
	eventually(t, "the last acknowledgement", func() error {
		if acks, err := c.Acks(t.Context(), 1000+maxAcks+9); err != nil || len(acks) != 1 {
			return fmt.Errorf("%d acknowledgements, %v", len(acks), err)
		}
		return nil
	})
	last := publishes(t, c, seed, 2)
	if p := h.next(t); p.Number != last {
		t.Errorf("%+v", p)
	}
}

// Servers that have lost everything are told again who is there, and what they are given then
// is read, though publications count from 1 once more.
func TestServersLostTheBuckets(t *testing.T) {
	s := hub(t)
	seed, public := newKey(t)
	m, h := join(t, dial(t, s), "n1", public)
	c := operator(t, s)
	for revision := range uint64(3) {
		publishes(t, c, seed, revision+1)
		h.next(t)
	}
	there := func() error {
		m.Beat(messages.FleetMember{Node: "n1", Version: "1"})
		return members(t.Context(), c, 1)
	}
	eventually(t, "a member", there)
	for _, bucket := range []string{ConfigBucket("f"), AckBucket("f"), NodeBucket("f")} {
		if err := m.js.DeleteKeyValue(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a member again", there)
	if n := publishes(t, c, seed, 4); n != 1 {
		t.Fatalf("publication %d", n)
	}
	if p := h.next(t); p.Document.Revision != 4 || p.Number != 1 {
		t.Errorf("%+v", p)
	}
}
