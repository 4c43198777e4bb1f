package messages

import (
	"context"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/internal/safego"
	"chive/messages/chivev1"
)

// quiet is set by the linker for the benchmark of what events cost: nobody is told of
// any then.
var quiet string

// batchSize is the most events that Drain hands over at once.
const batchSize = 256

// Recorder stamps events and passes them on: to observers at once, to the one
// consumer through a bounded ring. All methods may be called from any
// goroutine.
type Recorder struct {
	node  string
	now   func() time.Time
	ready chan struct{} // capacity 1: the ring has something

	mu        sync.Mutex // everything below
	sequence  uint64
	ring      []*chivev1.Envelope
	head      int // index of the oldest held event
	held      int
	observers []*observer
	unsaid    uint64 // drops not yet told by an EventsDropped
	emitted   uint64
	dropped   uint64
}

type observer struct{ see func(*chivev1.Envelope) }

// NewRecorder makes a recorder for the named node (see ValidName) whose ring
// holds size events (at least 1). now is asked once an event.
func NewRecorder(node string, now func() time.Time, size int) *Recorder {
	return &Recorder{
		node:  node,
		now:   now,
		ready: make(chan struct{}, 1),
		ring:  make([]*chivev1.Envelope, max(size, 1)),
	}
}

// Node is the name that every event carries.
func (r *Recorder) Node() string { return r.node }

// Emit records e and returns the id it was given, "<node>/<sequence>", for use
// as the cause of what follows. It fills id, time, node and sequence; kind,
// actor id, cause, correlation and event are the caller's, who must not touch
// e afterwards. Emit never blocks on a consumer: with a full ring e reaches
// the observers only, and is counted as dropped.
func (r *Recorder) Emit(e *chivev1.Envelope) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stamp(e)
	if quiet == "" {
		r.push(e)
		r.show(e)
	}
	return e.Id
}

func (r *Recorder) stamp(e *chivev1.Envelope) {
	r.sequence++
	r.emitted++
	e.Sequence = r.sequence
	e.Node = r.node
	e.Id = r.node + "/" + strconv.FormatUint(r.sequence, 10)
	e.Time = timestamppb.New(r.now())
}

func (r *Recorder) push(e *chivev1.Envelope) {
	if r.held == len(r.ring) {
		r.dropped++
		r.unsaid++
		return
	}
	r.ring[(r.head+r.held)%len(r.ring)] = e
	r.held++
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// show calls every observer. One that panics is removed and the failure
// becomes an event, so that it cannot take the emitting actor with it.
func (r *Recorder) show(e *chivev1.Envelope) {
	var failed *safego.Panic
	for _, o := range r.observers {
		if p := safego.Call("event observer", func() { o.see(e) }); p != nil {
			failed = p
			r.remove(o)
		}
	}
	if failed != nil {
		report := Event(chivev1.Kind_KIND_NODE, r.node, &chivev1.ActorFailed{Reason: failed.Reason()})
		r.stamp(report)
		r.push(report)
		r.show(report)
	}
}

// Observe has see called for every later event, in emission order, while the
// recorder is locked: it must be quick, must not emit, and must not call
// cancel. Observers see dropped events too. Cancel is idempotent and returns
// after the last call of see.
func (r *Recorder) Observe(see func(*chivev1.Envelope)) (cancel func()) {
	o := &observer{see: see}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observers = append(r.observers[:len(r.observers):len(r.observers)], o)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.remove(o)
	}
}

// remove makes a new slice, for show may be ranging over the old one.
func (r *Recorder) remove(gone *observer) {
	var kept []*observer
	for _, o := range r.observers {
		if o != gone {
			kept = append(kept, o)
		}
	}
	r.observers = kept
}

// Drain hands events to deliver in batches, in order, until ctx is done; then
// it delivers what was emitted until that moment and returns nil. deliver must
// not keep the slice. When deliver fails, its batch counts as dropped and
// Drain returns the error; it may be called again. There is one consumer:
// concurrent calls split the events between them.
func (r *Recorder) Drain(ctx context.Context, deliver func([]*chivev1.Envelope) error) error {
	batch := make([]*chivev1.Envelope, 0, batchSize)
	for {
		select {
		case <-ctx.Done():
		case <-r.ready:
		}
		stopping := false
		for left := 0; !stopping || left > 0; {
			if !stopping && ctx.Err() != nil {
				// What is held now and the word about what was dropped; events that
				// keep coming must not keep a stopping consumer here.
				stopping, left = true, r.waiting()+1
			}
			batch = r.take(batch[:0])
			if len(batch) == 0 {
				break
			}
			if err := deliver(batch); err != nil {
				r.lost(len(batch))
				return err
			}
			left -= len(batch)
		}
		clear(batch[:cap(batch)])
		if stopping {
			return nil
		}
	}
}

// take moves up to cap(batch) events out of the ring; the hole that drops left
// is told as soon as there is room.
func (r *Recorder) take(batch []*chivev1.Envelope) []*chivev1.Envelope {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(batch) < cap(batch) && r.held > 0 {
		batch = append(batch, r.ring[r.head])
		r.ring[r.head] = nil
		r.head = (r.head + 1) % len(r.ring)
		r.held--
	}
	if r.unsaid > 0 && r.held < len(r.ring) {
		e := Event(chivev1.Kind_KIND_NODE, r.node, &chivev1.EventsDropped{Count: r.unsaid, Total: r.dropped})
		r.unsaid = 0
		r.stamp(e)
		r.push(e)
		r.show(e)
	}
	return batch
}

func (r *Recorder) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

func (r *Recorder) lost(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += uint64(n)
	r.unsaid += uint64(n)
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// Emitted is the number of events since boot, dropped ones included; it equals
// the last sequence number.
func (r *Recorder) Emitted() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.emitted
}

// Dropped is the number of events since boot that the consumer did not get.
func (r *Recorder) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
