package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"chive/internal/safego"
	"chive/messages"
)

// lane implements messages.JournalLane: a queue in memory and one goroutine that empties it.
//
//	Record ─► queue ─► in flight ─► durable
//	            │ full
//	            └─► the whole state, in place of what waits
type lane struct {
	j    *Journal
	o    messages.JournalLaneOptions
	boot string // makes ids of this lane differ from those of others
	wake chan struct{}
	quit chan struct{}
	done chan struct{}

	writer sync.Mutex // one Record at a time; not held by the worker

	mu       sync.Mutex // protects the fields below
	queue    []laneItem
	queued   int    // events that wait
	recorded uint64 // sequence of the last event recorded
	sent     uint64 // of what is in flight, or durable
	durable  uint64
	since    int           // events since the last state
	changed  chan struct{} // closed when durable or err changes
	err      error         // why it ended
}

// laneItem is one append, or one state.
type laneItem struct {
	state            bool
	before, sequence uint64
	events           []messages.JournalEvent
	size             int
}

const (
	defaultEvery = 256
	defaultQueue = 256
	minLaneWait  = 100 * time.Millisecond
	maxLaneWait  = 10 * time.Second
)

// OpenLane implements messages.Journal.
func (j *Journal) OpenLane(ctx context.Context, o messages.JournalLaneOptions, apply func(messages.JournalEntry) error) (messages.JournalLane, error) {
	if o.Snapshot == nil {
		return nil, fmt.Errorf("%w: a lane needs a Snapshot", messages.ErrJournalInvalid)
	}
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	j.mu.Lock()
	old := j.lanes[o.Aggregate]
	delete(j.lanes, o.Aggregate)
	j.mu.Unlock()
	if old != nil {
		old.Close()
		select { // its last write may still come
		case <-old.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, ctx.Err())
		}
	}
	l := &lane{
		j: j, o: o, boot: rand.Text()[:12], wake: make(chan struct{}, 1), quit: make(chan struct{}),
		done: make(chan struct{}), changed: make(chan struct{}),
	}
	sequence, err := j.Load(ctx, o.Aggregate, o.Schema, func(e messages.JournalEntry) error {
		l.since++
		if e.State {
			l.since = 0
		}
		return apply(e)
	})
	if err != nil {
		return nil, err
	}
	l.recorded, l.sent, l.durable = sequence, sequence, sequence
	return l, j.start(l)
}

func (j *Journal) start(l *lane) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.state == messages.JournalClosed:
		return messages.ErrJournalClosed
	case j.lanes[l.o.Aggregate] != nil:
		return fmt.Errorf("%w: another lane of %s was opened meanwhile", messages.ErrJournalConflict, l.o.Aggregate)
	}
	j.lanes[l.o.Aggregate] = l
	j.work.Add(1)
	safego.Go("journal lane", func() {
		defer j.work.Done()
		defer close(l.done)
		l.run()
	}, func(p safego.Panic) { l.end(fmt.Errorf("%w: %s", messages.ErrJournalClosed, p.Reason())) })
	return nil
}

// Record implements messages.JournalLane.
func (l *lane) Record(events ...messages.JournalEvent) error {
	if len(events) == 0 {
		return nil
	}
	size, err := l.check(events)
	if err != nil {
		return err
	}
	l.writer.Lock()
	defer l.writer.Unlock()
	l.mu.Lock()
	full, state := l.queued+len(events) > l.o.Queue, false
	if err := l.err; err != nil {
		l.mu.Unlock()
		return err
	}
	if !full {
		l.enqueue(events, size)
		state = l.since >= l.o.Every
	}
	l.mu.Unlock()
	if full || state {
		// Without the lock, which nobody who owns a state should have to know of.
		err = l.enqueueState(len(events), full)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return err
}

// check says whether the events can be one append, and how many bytes they have.
func (l *lane) check(events []messages.JournalEvent) (size int, err error) {
	r := &record{aggregate: l.o.Aggregate, id: "lane", sequence: uint64(len(events)), events: events}
	if err := r.check(); err != nil {
		return 0, fmt.Errorf("%w: %w", messages.ErrJournalInvalid, err)
	}
	for _, e := range events {
		size += len(e.Data)
	}
	return size, nil
}

// enqueue puts events behind the last, in the same append if it takes them.
func (l *lane) enqueue(events []messages.JournalEvent, size int) {
	n := len(l.queue)
	if n == 0 || l.queue[n-1].state || len(l.queue[n-1].events)+len(events) > messages.MaxJournalEvents ||
		l.queue[n-1].size+size > messages.MaxJournalData {
		l.queue = append(l.queue, laneItem{before: l.recorded, sequence: l.recorded})
		n++
	}
	last := &l.queue[n-1]
	last.events = append(last.events, events...)
	last.size += size
	last.sequence += uint64(len(events))
	l.recorded = last.sequence
	l.queued += len(events)
	l.since += len(events)
}

// enqueueState puts the whole state behind what waits, or in its place when the queue is
// full; then it holds n events that were not queued.
func (l *lane) enqueueState(n int, full bool) error {
	state, err := l.o.Snapshot()
	if err == nil {
		err = (&record{aggregate: l.o.Aggregate, state: true, events: []messages.JournalEvent{state}}).check()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil && full:
		return fmt.Errorf("%w: %d events wait and the state cannot be had: %w", messages.ErrJournalFull, l.o.Queue, err)
	case err != nil:
		l.j.o.Log.Warn("journal: a state cannot be had; events go on", "aggregate", l.o.Aggregate, "err", err)
		return nil // the next event tries again
	}
	before := l.recorded
	if full {
		l.recorded += uint64(n)
		l.queue, l.queued, before = nil, 0, l.sent
	}
	l.queue = append(l.queue, laneItem{state: true, before: before, sequence: l.recorded, events: []messages.JournalEvent{state}})
	l.since = 0
	return nil
}

// run writes what is queued, in order, until the lane ends.
func (l *lane) run() {
	for {
		item, ok := l.next()
		if !ok {
			return
		}
		if err := l.write(item); err != nil {
			l.end(err)
			return
		}
		l.mu.Lock()
		l.durable = item.sequence
		l.tell()
		l.mu.Unlock()
	}
}

// next waits for something to write.
func (l *lane) next() (laneItem, bool) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 && l.err == nil {
			item := l.queue[0]
			l.queue = l.queue[1:]
			if !item.state {
				l.queued -= len(item.events)
			}
			l.sent = item.sequence
			l.mu.Unlock()
			return item, true
		}
		l.mu.Unlock()
		select {
		case <-l.wake:
		case <-l.quit:
			return laneItem{}, false
		case <-l.j.closed:
			l.end(messages.ErrJournalClosed)
			return laneItem{}, false
		}
	}
}

// write tries until it is done, or cannot be.
func (l *lane) write(item laneItem) error {
	wait := minLaneWait
	for {
		err := l.try(item)
		if err == nil || !errors.Is(err, messages.ErrJournalUnavailable) && !errors.Is(err, messages.ErrJournalFull) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.quit:
			err = messages.ErrJournalClosed
		case <-l.j.closed:
			err = messages.ErrJournalClosed
		}
		timer.Stop()
		if errors.Is(err, messages.ErrJournalClosed) {
			return err
		}
		wait = min(2*wait, maxLaneWait)
	}
}

func (l *lane) try(item laneItem) error {
	ctx := context.Background()
	if item.state {
		return l.j.writeState(ctx, &record{
			state: true, aggregate: l.o.Aggregate, before: item.before, sequence: item.sequence, events: item.events,
		})
	}
	_, err := l.j.Append(ctx, messages.JournalAppend{
		Aggregate: l.o.Aggregate, Expected: item.before, ID: fmt.Sprintf("lane-%s-%d", l.boot, item.sequence), Events: item.events,
	})
	return err
}

// tell wakes who waits for a change.
func (l *lane) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lane) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.tell()
		close(l.quit)
	}
}

// Durable implements messages.JournalLane.
func (l *lane) Durable() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Recorded implements messages.JournalLane.
func (l *lane) Recorded() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recorded
}

// Flush implements messages.JournalLane.
func (l *lane) Flush(ctx context.Context) error {
	for upTo := l.Recorded(); ; {
		l.mu.Lock()
		done, err, changed := l.durable >= upTo, l.err, l.changed
		l.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			_, why := l.j.State()
			return errors.Join(fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, ctx.Err()), why)
		}
	}
}

// Close implements messages.JournalLane.
func (l *lane) Close() {
	l.j.mu.Lock()
	if l.j.lanes[l.o.Aggregate] == l {
		delete(l.j.lanes, l.o.Aggregate)
	}
	l.j.mu.Unlock()
	l.end(messages.ErrJournalClosed)
}
