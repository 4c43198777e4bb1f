package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"chive/actors/node/history"
	"chive/internal/safego"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// diary keeps the events on disk: it is handed each as it is emitted, and one
// goroutine writes what has come together.
type diary struct {
	boot   string
	age    func() time.Duration // how long events are kept; 0: not at all
	state  func() *fold.Node    // of all events before the one that is seen
	log    *slog.Logger
	writer *history.Writer

	wake    chan struct{} // capacity 1: there are events
	hurry   chan struct{} // capacity 1: there are many
	flushes chan chan struct{}
	stop    chan struct{}
	done    chan struct{}

	failing bool // the last write failed, and was told

	mu     sync.Mutex // protects the fields below
	queue  []entry
	missed uint64 // events since the queue was full
}

// entry is an event, or what the writer must know where events were lost.
type entry struct {
	event *chivev1.Envelope
	lost  uint64
	state *fold.Node
}

const (
	// diaryRoom is how many events wait for the disk at most.
	diaryRoom = 8192
	// diaryWait is how long the first of them waits: one write takes them all.
	diaryWait = 250 * time.Millisecond
	// diaryCheck is how often a node in which nothing happens looks for what has
	// become too old.
	diaryCheck = 10 * time.Minute
	// flushLimit bounds the wait for the disk of one who asks.
	flushLimit = 5 * time.Second
)

func newDiary(dataDir string, head history.Head, age func() time.Duration, state func() *fold.Node, now func() time.Time, log *slog.Logger) *diary {
	return &diary{
		boot: head.Boot, age: age, state: state, log: log,
		writer: history.NewWriter(history.Dir(dataDir), head, history.Limits{}, now),
		wake:   make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		flushes: make(chan chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// start begins to write what it was handed and will be.
func (d *diary) start() {
	safego.Go("event history", func() {
		defer close(d.done)
		d.run()
	}, func(p safego.Panic) { d.log.Error("event history", "panic", p.Reason()) })
}

// see takes an event; it never waits for the disk. What is lost because the disk
// does not keep up is counted, and the state it led to goes before what follows.
func (d *diary) see(e *chivev1.Envelope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(d.queue) >= diaryRoom:
		d.missed++
		return
	case d.missed > 0:
		d.queue = append(d.queue, entry{lost: d.missed, state: d.state()})
		d.missed = 0
	}
	d.queue = append(d.queue, entry{event: e})
	switch n := len(d.queue); {
	case n <= 2:
		signal(d.wake)
	case n == diaryRoom/2:
		signal(d.hurry)
	}
}

// signal leaves word, once.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (d *diary) run() {
	check := time.NewTicker(diaryCheck)
	defer check.Stop()
	var soon <-chan time.Time // nil: nothing waits
	for {
		select {
		case <-d.wake:
			if soon == nil {
				soon = time.After(diaryWait)
			}
		case <-soon:
			soon = nil
			d.write()
		case <-d.hurry:
			d.write()
		case asked := <-d.flushes:
			d.write()
			close(asked)
		case <-check.C:
			if err := d.writer.Prune(); err != nil {
				d.log.Debug("event history", "err", err)
			}
		case <-d.stop:
			d.write()
			d.last()
			if err := d.writer.Close(); err != nil {
				d.log.Warn("event history", "err", err)
			}
			return
		}
	}
}

// write hands over what has come together.
func (d *diary) write() {
	d.mu.Lock()
	entries := d.queue
	d.queue = nil
	d.mu.Unlock()
	age := d.age()
	d.writer.Limit(history.Limits{Age: age})
	events := make([]*chivev1.Envelope, 0, len(entries))
	for _, x := range entries {
		if x.event != nil {
			events = append(events, x.event)
			continue
		}
		d.append(events, age)
		events = events[:0]
		d.told(d.writer.Resume(x.state, x.lost))
	}
	d.append(events, age)
	if age == 0 {
		d.told(d.writer.Clear())
	}
}

func (d *diary) append(events []*chivev1.Envelope, age time.Duration) {
	switch {
	case len(events) == 0:
	case age == 0:
		d.writer.Skip(events)
	default:
		d.told(d.writer.Append(events))
	}
}

// last tells of events that were lost at the very end.
func (d *diary) last() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missed > 0 && d.age() > 0 {
		d.writer.Missed(d.missed)
		d.told(d.writer.Append(nil))
	}
}

// told logs that the disk fails, once until it works again.
func (d *diary) told(err error) {
	switch {
	case err != nil && !d.failing: // not four times a second
		d.log.Warn("event history: events are not kept", "err", err)
	case err == nil && d.failing:
		d.log.Info("event history: events are kept again")
	}
	d.failing = err != nil
}

// flush returns when what was emitted before is with the operating system, or ctx ends.
func (d *diary) flush(ctx context.Context) error {
	asked := make(chan struct{})
	select {
	case d.flushes <- asked:
	case <-d.done:
		return nil // it wrote all when it ended
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-asked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close writes what is left.
func (d *diary) close() {
	close(d.stop)
	<-d.done
}

// newHistory makes what keeps the events on disk, from diary.start on.
func (n *Node) newHistory() *diary {
	return newDiary(n.o.Config.DataDirectory, history.Head{
		Boot: messages.RandomID(), Node: n.o.Config.NodeName, Fleet: n.o.Config.Fleet, Version: n.o.Version,
	}, func() time.Duration { return n.Config().EventHistory }, n.status.copied, n.o.Now, n.o.Log)
}

// Ask is what can be asked of a node under the verb status; without one the
// answer is its Status.
type Ask struct {
	// What is "state": the answer is a fold.Node, as history.Deflate makes it; or
	// "history": the answer is a Kept, and what happened before is on disk.
	What string `json:"what"`
}

// Kept says where the events of a running node are.
type Kept struct {
	Boot string `json:"boot"`
	On   bool   `json:"on"` // there is a history
}

// answerStatus answers the verb status.
func (n *Node) answerStatus(request []byte) ([]byte, error) {
	if len(request) == 0 {
		return json.Marshal(n.Status())
	}
	var ask Ask
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, fmt.Errorf("the question: %w", err)
	}
	switch ask.What {
	case "state":
		return n.answerState()
	case "history":
		ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
		defer cancel()
		if err := n.diary.flush(ctx); err != nil {
			return nil, fmt.Errorf("event history: %w", err)
		}
		return json.Marshal(Kept{Boot: n.diary.boot, On: n.Config().EventHistory > 0})
	}
	return nil, fmt.Errorf("the question %q: want state or history", ask.What)
}

// maxAnswer is what one message holds.
const maxAnswer = 900 << 10

// errTooMany: there is more than one message holds.
var errTooMany = errors.New("too many circuits and streams for one answer; ask for a moment ago (--at -1s), which is read from the history")

func (n *Node) answerState() ([]byte, error) {
	state := n.status.copied()
	state.Trim()
	answer, err := history.Deflate(state)
	if err != nil || len(answer) > maxAnswer {
		return nil, errors.Join(errTooMany, err)
	}
	return answer, nil
}
