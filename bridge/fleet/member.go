package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chive/internal/safego"
	"chive/messages"
)

// Options is what a member is made of.
type Options struct {
	Conn        *nats.Conn // closed by others, after Leave
	Fleet, Node string
	Replicas    int
	Keys        []string // public nkeys of those who may sign; none: no configuration is read
	Now         func() time.Time
	Log         *slog.Logger
	// See is called with what the config bucket holds, once for each publication, from
	// one goroutine.
	See func(messages.FleetPublication)
}

// Member is a node's part in its fleet. It implements messages.FleetPort and
// messages.SharePort.
type Member struct {
	o      Options
	js     jetstream.JetStream
	cancel context.CancelFunc
	ctx    context.Context
	work   sync.WaitGroup

	mu   sync.Mutex // protects the fields below
	acks map[uint64]messages.FleetAck
	beat *messages.FleetMember
	wake chan struct{}

	shareTime time.Duration // shareTime, but in tests

	offer  *messages.DirectoryCopy // waits for its moment
	left   bool
	shares jetstream.Stream // nil: not found yet
}

const (
	// pollEvery is how often the config bucket is looked at even when nobody wrote to
	// it, as far as could be heard.
	pollEvery = 10 * time.Second
	// maxAcks is how many acknowledgements wait for servers that are away.
	maxAcks = 64
	// Waits after a failure double from the one to the other.
	firstWait, lastWait = 100 * time.Millisecond, 5 * time.Second
	// leaveTime bounds telling that the node leaves: an entry that stays ends by itself.
	leaveTime = callTime
)

// followers are the waits for a server that follows the one that stored a message.
var followers = []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond, 600 * time.Millisecond, 2 * time.Second}

// New makes a member that takes no part yet.
func New(o Options) (*Member, error) {
	js, err := jetstream.New(o.Conn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Member{o: o, js: js, ctx: ctx, cancel: cancel, acks: map[uint64]messages.FleetAck{}, wake: make(chan struct{}, 1), shareTime: shareTime}, nil
}

// Begin begins to take part. It is called once at most.
func (m *Member) Begin() {
	m.begin("fleet writer", func() { m.write(m.ctx) })
	if len(m.o.Keys) > 0 {
		m.begin("fleet reader", func() { m.read(m.ctx) })
	}
}

func (m *Member) begin(name string, f func()) {
	m.work.Add(1)
	m.begun(name, f)
}

// begun is begin for work that is counted already.
func (m *Member) begun(name string, f func()) {
	safego.Go(name, func() { defer m.work.Done(); f() }, func(p safego.Panic) {
		m.o.Log.Error("the node has left its fleet; start it again", "panic", p.Reason())
	})
}

// Leave ends taking part; who looks sees it at once if the servers are there.
func (m *Member) Leave() {
	m.mu.Lock()
	m.left = true
	m.mu.Unlock()
	m.cancel()
	m.work.Wait()
	m.js.CleanupPublisher()
	if !m.o.Conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if kv, err := m.js.KeyValue(ctx, NodeBucket(m.o.Fleet)); err == nil {
		_ = kv.Delete(ctx, m.o.Node) // else the entry ends by itself
	}
}

// Acknowledge implements messages.FleetPort.
func (m *Member) Acknowledge(a messages.FleetAck) {
	m.mu.Lock()
	m.acks[a.Publication] = a
	if len(m.acks) > maxAcks {
		delete(m.acks, slices.Min(slices.Collect(maps.Keys(m.acks))))
	}
	m.mu.Unlock()
	m.stir()
}

// Beat implements messages.FleetPort.
func (m *Member) Beat(b messages.FleetMember) {
	m.mu.Lock()
	m.beat = &b
	m.mu.Unlock()
	m.stir()
}

func (m *Member) stir() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// write stores what there is to say until the context ends.
func (m *Member) write(ctx context.Context) {
	var acks, nodes jetstream.KeyValue
	wait := firstWait
	unheard, other := silence{log: m.o.Log}, twin{log: m.o.Log}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		err := m.store(ctx, &acks, &nodes, &other)
		if ctx.Err() != nil {
			return
		}
		unheard.tried(err, m.o.Conn.IsConnected(), m.o.Now())
		if err == nil {
			wait = firstWait
			continue
		}
		acks, nodes = nil, nil // servers that were started anew may have lost them: they are made again
		m.o.Log.Debug("the fleet could not be told", "err", err)
		timer.Reset(wait)
		wait = min(2*wait, lastWait)
	}
}

// store writes all that waits, acknowledgements first.
func (m *Member) store(ctx context.Context, acks, nodes *jetstream.KeyValue, other *twin) (err error) {
	for _, b := range []struct {
		kv     *jetstream.KeyValue
		config jetstream.KeyValueConfig
	}{{acks, ackBucket(m.o.Fleet, m.o.Replicas)}, {nodes, nodeBucket(m.o.Fleet, m.o.Replicas)}} {
		if *b.kv == nil {
			if *b.kv, err = making(ctx, m.js, b.config); err != nil {
				return err
			}
		}
	}
	for {
		a, ok := m.nextAck()
		if !ok {
			break
		}
		if _, err := m.put(ctx, *acks, fmt.Sprintf("%d.%s", a.Publication, m.o.Node), a, 0); err != nil {
			return err
		}
		m.acknowledged(a)
	}
	m.mu.Lock()
	beat := m.beat
	m.mu.Unlock()
	if beat == nil {
		return nil
	}
	if err := m.say(ctx, *nodes, beat, other); err != nil {
		return err
	}
	m.mu.Lock()
	if m.beat == beat {
		m.beat = nil
	}
	m.mu.Unlock()
	return nil
}

// say stores what the node says of itself, over its own last word: the servers tell when something
// else stands there, so that the entry is read then alone.
func (m *Member) say(ctx context.Context, kv jetstream.KeyValue, beat *messages.FleetMember, other *twin) (err error) {
	if other.mine > 0 {
		revision, err := m.put(ctx, kv, m.o.Node, beat, other.mine)
		if err == nil {
			other.mine, other.times = revision, 0
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
		// It is another's, or has ended, or is the node's own, of which it heard no answer.
		if e, err := newest(ctx, kv, m.o.Node); err == nil { // else there is another look with the next word
			other.looked(e, beat.Started, m.o.Now())
		}
	}
	other.mine, err = m.put(ctx, kv, m.o.Node, beat, 0)
	return err
}

func (m *Member) nextAck() (a messages.FleetAck, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, next := range m.acks {
		if !ok || next.Publication < a.Publication {
			a, ok = next, true
		}
	}
	return a, ok
}

// acknowledged tells those who listen, and forgets.
func (m *Member) acknowledged(a messages.FleetAck) {
	if text, err := json.Marshal(a); err == nil {
		_ = m.o.Conn.Publish(messages.AckSubject(m.o.Fleet, m.o.Node, a.State), text) // it is in the bucket
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.acks[a.Publication]; now.State == a.State && now.Time.Equal(a.Time) {
		delete(m.acks, a.Publication)
	}
}

// put stores a value over the revision last; 0: over whatever is there.
func (m *Member) put(ctx context.Context, kv jetstream.KeyValue, key string, what any, last uint64) (revision uint64, err error) {
	text, err := json.Marshal(what)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if last > 0 {
		return kv.Update(ctx, key, text, last)
	}
	return kv.Put(ctx, key, text)
}

// read looks at the config bucket until the context ends.
func (m *Member) read(ctx context.Context) {
	r := &reader{m: m, hints: make(chan struct{}, 1)}
	wait := firstWait
	for {
		err := r.run(ctx)
		if ctx.Err() != nil || away(err) {
			return
		}
		m.o.Log.Debug("the fleet's configuration cannot be read", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

// reader is what is known of the config bucket.
type reader struct {
	m     *Member
	seen  uint64    // the last publication
	at    time.Time // when that was stored
	hints chan struct{}
}

// run follows the bucket until it cannot be read.
func (r *reader) run(ctx context.Context) error {
	kv, err := making(ctx, r.m.js, configBucket(r.m.o.Fleet, r.m.o.Replicas))
	if err != nil {
		return err
	}
	sub, err := r.m.o.Conn.Subscribe("$KV."+ConfigBucket(r.m.o.Fleet)+"."+ConfigKey, func(*nats.Msg) {
		select {
		case r.hints <- struct{}{}:
		default: // there will be a look
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails when the connection has closed
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for hinted := false; ; {
		if err := r.look(ctx, kv, hinted); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.hints:
			hinted = true
		case <-poll.C:
			hinted = false
		}
	}
}

// look reads the bucket. When something was written to it, a server that has not heard
// of it yet is asked again; a message that no server stored is never found.
func (r *reader) look(ctx context.Context, kv jetstream.KeyValue, hinted bool) error {
	for _, wait := range followers {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		e, err := newest(ctx, kv, ConfigKey)
		if err != nil {
			return err
		}
		// One with a lower number that was stored later is of a bucket that was made anew; a
		// server that lags behind has what was stored earlier.
		if e != nil && (e.Revision() > r.seen || e.Created().After(r.at)) {
			before := r.seen
			r.seen, r.at = e.Revision(), e.Created()
			if err := r.tell(e); unsigned(err) {
				r.earlier(ctx, kv, before)
			}
			return nil
		}
		if !hinted {
			return nil
		}
	}
	return nil
}

// unsigned: is a publication, by what Verify says of it, of nobody who may sign one for this fleet?
func unsigned(err error) bool {
	return slices.ContainsFunc([]error{ErrMalformed, ErrUnsigned, ErrStranger, ErrForged, ErrOther}, func(e error) bool { return errors.Is(err, e) })
}

// earlier hands over the newest publication before the one that was seen that is of somebody who may
// sign, unless the node has seen it: what nobody may have signed replaces nothing. It comes after
// the refused one, so that it is what a part of the node that starts anew is told.
func (r *reader) earlier(ctx context.Context, kv jetstream.KeyValue, before uint64) {
	if before >= r.seen { // the bucket was made anew
		before = 0
	}
	for n := r.seen - 1; n > before; n-- {
		limited, cancel := context.WithTimeout(ctx, callTime)
		e, err := kv.GetRevision(limited, ConfigKey, n)
		cancel()
		if err != nil { // no more are kept, or the servers went
			r.m.o.Log.Debug("no earlier configuration of the fleet", "publication", n, "err", err)
			return
		}
		if _, _, err := Verify(e.Value(), r.m.o.Fleet, r.m.o.Keys, r.m.o.Now()); !unsigned(err) {
			_ = r.tell(e) // one that has expired is refused for that
			return
		}
	}
}

// tell hands a publication over, with what is wrong with it.
func (r *reader) tell(e jetstream.KeyValueEntry) error {
	o := r.m.o
	p := messages.FleetPublication{Number: e.Revision()}
	p.Document, p.Author, p.Err = Verify(e.Value(), o.Fleet, o.Keys, o.Now())
	if envelope, _, err := Open(e.Value()); err == nil {
		p.Digest = Digest(envelope)
	}
	o.See(p)
	return p.Err
}
