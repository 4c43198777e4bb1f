package kernel

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"chive/internal/safego"
)

const (
	// keepQueue is the longest queue (messages) whose memory an idle mailbox
	// keeps; what a burst needed beyond it is given back.
	keepQueue = 1024
	// yieldEvery is after how many messages a busy actor lets others run.
	yieldEvery = 256
)

// errGoexit is the failure of an actor whose handler called runtime.Goexit.
var errGoexit = errors.New("actor called runtime.Goexit")

// mailbox is an unbounded queue with a system lane. Posting appends to one
// slice; the reader swaps it for its drained one, so a burst costs one lock a
// batch. At most one goroutine runs process at any time, which is what
// scheduled guards.
type mailbox struct {
	mu        sync.Mutex
	users     []any // posted, not yet taken by the reader
	systems   []any
	scheduled bool // a goroutine runs process, or will
	suspended bool // a handler failed; only system messages until the parent has decided

	hasSystems atomic.Bool  // systems or an unfinished batch of them is not empty
	waiting    atomic.Int64 // user messages not yet handled

	// Owned by the goroutine that runs process.
	batch      queue
	sysBatch   queue
	current    any // message being handled
	sinceYield int

	invoker   actor.MessageInvoker
	pool      *pool
	run, proc func() // bound once: method values allocate
}

// queue is a batch that is being read.
type queue struct {
	items []any
	next  int
}

func (q *queue) empty() bool { return q.next == len(q.items) }

func (q *queue) take() any {
	m := q.items[q.next]
	q.items[q.next] = nil
	q.next++
	return m
}

// recycle returns the drained slice for reuse.
func (q *queue) recycle() []any {
	items := q.items[:0]
	q.items, q.next = nil, 0
	return items
}

func newMailbox() actor.Mailbox {
	m := &mailbox{}
	m.run, m.proc = m.handle, m.process
	return m
}

// RegisterHandlers implements actor.Mailbox. The dispatcher of the props is
// not used: the pool belongs to the actor system, which props do not know.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	m.invoker = invoker
	m.pool = runtimeOf(invoker.(actor.Context).ActorSystem()).pool
}

// Start implements actor.Mailbox.
func (m *mailbox) Start() {}

// UserMessageCount implements actor.Mailbox.
func (m *mailbox) UserMessageCount() int { return int(m.waiting.Load()) }

// PostUserMessage implements actor.Mailbox; it never blocks.
func (m *mailbox) PostUserMessage(message any) {
	m.waiting.Add(1)
	m.mu.Lock()
	m.users = append(m.users, message)
	wake := !m.scheduled && !m.suspended
	if wake {
		m.scheduled = true
	}
	m.mu.Unlock()
	if !wake {
		return
	}
	if i, ok := message.(Inline); ok && i.RunInline() {
		m.proc()
		return
	}
	m.pool.schedule(m.proc)
}

// Inline is a message that an idle actor handles in the sender's goroutine, as
// waking another thread for it would cost more than the handling. The sender
// must hold no lock, must not mind the wait, and may be an actor's turn: what
// the receiver sends back is then queued as always.
type Inline interface{ RunInline() bool }

// Droppable is a message that holds something: Drop is called when its receiver
// has stopped and will never see it.
type Droppable interface{ Drop() }

// PostSystemMessage implements actor.Mailbox; it never blocks.
func (m *mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	m.systems = append(m.systems, message)
	m.hasSystems.Store(true)
	wake := !m.scheduled
	m.scheduled = true
	m.mu.Unlock()
	if wake {
		m.pool.schedule(m.proc)
	}
}

// process handles messages until there are none, reporting each panic on the
// way. A handler that ends its goroutine is a failure too.
func (m *mailbox) process() {
	returned := false
	defer func() {
		if !returned {
			m.invoker.EscalateFailure(errGoexit, m.current)
			m.pool.schedule(m.proc)
		}
	}()
	for {
		p := safego.Call("actor", m.run)
		if p == nil {
			break
		}
		p.Name = actorType(m.invoker)
		m.invoker.EscalateFailure(p, m.current)
	}
	returned = true
}

// handle returns when the mailbox is empty, or suspended.
func (m *mailbox) handle() {
	for {
		m.handleSystems()
		for !m.batch.empty() && !m.isSuspended() {
			m.handleUser(m.batch.take())
			if m.hasSystems.Load() {
				m.handleSystems()
			}
		}
		if !m.refill() {
			return
		}
	}
}

// isSuspended needs no lock: only the reader, which we are, sets it.
func (m *mailbox) isSuspended() bool { return m.suspended }

func (m *mailbox) handleUser(message any) {
	m.waiting.Add(-1)
	if f, ok := message.(*firing); ok {
		if !f.timer.claim() {
			return // stopped after it fired
		}
		message = f.message
	}
	if d, ok := message.(Droppable); ok && isStopped(m.invoker) {
		d.Drop()
		return
	}
	m.current = message
	m.invoker.InvokeUserMessage(message)
	m.current = nil
	if m.sinceYield++; m.sinceYield >= yieldEvery {
		m.sinceYield = 0
		runtime.Gosched()
	}
}

func (m *mailbox) handleSystems() {
	for {
		if m.sysBatch.empty() {
			m.mu.Lock()
			m.sysBatch.items, m.sysBatch.next, m.systems = m.systems, 0, nil
			m.hasSystems.Store(len(m.sysBatch.items) > 0)
			m.mu.Unlock()
			if m.sysBatch.empty() {
				return
			}
		}
		m.handleSystem(m.sysBatch.take())
	}
}

func (m *mailbox) handleSystem(message any) {
	switch message.(type) {
	case *actor.SuspendMailbox:
		m.suspend(true)
	case *actor.ResumeMailbox:
		m.suspend(false)
	default:
		m.current = message
		m.invoker.InvokeSystemMessage(message)
		m.current = nil
		if m.suspended && isStopped(m.invoker) {
			m.suspend(false) // it failed and is gone: what it left is dropped, not kept
		}
	}
}

func (m *mailbox) suspend(yes bool) {
	m.mu.Lock()
	m.suspended = yes
	m.mu.Unlock()
}

// refill takes what was posted meanwhile; false means there is nothing to do
// and the mailbox is no longer scheduled.
func (m *mailbox) refill() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.systems) > 0 {
		return true
	}
	if m.suspended {
		m.scheduled = false
		return false
	}
	if len(m.users) > 0 {
		m.users, m.batch.items, m.batch.next = m.batch.recycle(), m.users, 0
		return true
	}
	m.scheduled = false
	if cap(m.users) > keepQueue {
		m.users = nil
	}
	if cap(m.batch.items) > keepQueue {
		m.batch.items, m.batch.next = nil, 0
	}
	return false
}
