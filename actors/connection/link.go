package connection

import (
	crand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/link"
	"chive/tor/priority"
)

// maxForgotten is how many ids of ended circuits a link remembers: cells for
// them may still be on their way and are dropped; for any other unknown id
// they break the protocol.
const maxForgotten = 4096

// ErrClosed is returned by a link that is no longer open, or whose relay went silent.
var ErrClosed = errors.New("connection is closed")

// Lost tells a circuit that its connection is gone.
type Lost struct{ Outcome chivev1.Outcome }

// Link is an open connection as circuits use it. Its methods may be called
// from any goroutine.
type Link struct {
	ID   string      // the connection's actor id in events
	Peer link.Result // what the relay proved

	root    *actor.RootContext
	owner   *actor.PID // that listens; nil: nobody
	tls     *tls.Conn
	records *recordConn   // below tls
	done    chan struct{} // closed by shut: the writer ends

	mu        sync.RWMutex // protects the fields below
	circuits  map[cell.CircID]*actor.PID
	forgotten map[cell.CircID]struct{}
	order     []cell.CircID // of forgotten, oldest first
	total     uint32
	idleSince time.Time
	asks      []ask // in their order; those before the last cell that came are answered
	listening bool  // owner does
	silent    bool  // the relay is: no new circuits
	closed    bool

	queueMu sync.Mutex // protects the fields below; may be taken while mu is held
	queue   *priority.Queue[*block.Block]
	shut    bool  // what comes is freed
	corks   int   // more comes at once: one write will do for all of it
	stuck   bool  // the socket is full or broken: the writer goes on
	failed  error // why writing ended

	writeMu sync.Mutex     // held by who writes; protects the fields below
	taken   []*block.Block // from the queue, while it is written
	scratch []byte         // small blocks on their way into one record

	wake chan struct{} // capacity 1: the writer is needed

	activity activity
}

func newLink(id string, res dialled, root *actor.RootContext, now time.Time) *Link {
	return &Link{
		ID: id, Peer: res.peer, root: root, tls: res.conn, records: res.records, idleSince: now,
		done:      make(chan struct{}),
		circuits:  map[cell.CircID]*actor.PID{},
		forgotten: map[cell.CircID]struct{}{},
		queue:     priority.New(priority.HalfLife(nil), cellsOf),
		taken:     make([]*block.Block, 0, 16),
		scratch:   make([]byte, 0, maxRecord),
		wake:      make(chan struct{}, 1),
		activity:  activity{epoch: time.Now()},
	}
}

// Open makes a circuit id for the actor, which gets the circuit's cells as
// blocks of kind CellsIn from then on, and Lost if the connection goes. The
// initiator's ids have the most significant bit set (tor-spec §5.1.1). tell, which must be
// quick, is called before anybody can be told that the link is closed; it may be nil.
func (l *Link) Open(circuit *actor.PID, tell func()) (cell.CircID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.silent {
		return 0, ErrClosed
	}
	for {
		var b [4]byte
		if _, err := crand.Read(b[:]); err != nil {
			return 0, err
		}
		id := cell.CircID(binary.BigEndian.Uint32(b[:]) | 1<<31)
		_, live := l.circuits[id]
		_, old := l.forgotten[id]
		if live || old {
			continue
		}
		l.asked(id)
		l.circuits[id] = circuit
		l.total++
		l.queueMu.Lock()
		l.queue.Open(id)
		l.queueMu.Unlock()
		if tell != nil {
			tell()
		}
		return id, nil
	}
}

// Release ends the use of a circuit id. What was sent before still goes out.
func (l *Link) Release(id cell.CircID, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, live := l.circuits[id]; !live {
		return
	}
	l.unasked(id)
	delete(l.circuits, id)
	l.queueMu.Lock()
	l.queue.Close(id)
	l.queueMu.Unlock()
	if len(l.circuits) == 0 {
		l.idleSince = now
	}
	l.forgotten[id] = struct{}{}
	l.order = append(l.order, id)
	if len(l.order) > maxForgotten {
		delete(l.forgotten, l.order[0])
		l.order = l.order[1:]
	}
}

// Circuits is how many circuits use the link now, and how many ever did.
func (l *Link) Circuits() (now int, total uint32) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.circuits), l.total
}

// IdleSince is when the last circuit left; ok is false while one is there.
func (l *Link) IdleSince() (since time.Time, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.idleSince, len(l.circuits) == 0
}

// lookup finds who a cell is for. known is false for an id that this link
// never gave out.
func (l *Link) lookup(id cell.CircID) (pid *actor.PID, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if pid = l.circuits[id]; pid != nil {
		return pid, true
	}
	_, known = l.forgotten[id]
	return nil, known
}

// Shut ends the link: every circuit is told, every queued block freed, the
// socket closed. It returns how many circuits there ever were. Only the first
// call does anything.
func (l *Link) Shut(outcome chivev1.Outcome) uint32 {
	l.mu.Lock()
	if l.closed {
		defer l.mu.Unlock()
		return l.total
	}
	l.closed = true
	close(l.done)
	_ = l.records.Close() // why it ends is known already
	circuits := l.circuits
	l.circuits = map[cell.CircID]*actor.PID{}
	total := l.total
	l.mu.Unlock()

	l.queueMu.Lock()
	l.shut = true
	left := make([]*block.Block, 0, l.queue.Len())
	for b, ok := l.queue.Next(); ok; b, ok = l.queue.Next() {
		left = append(left, b)
	}
	l.queueMu.Unlock()
	for _, b := range left {
		b.Free()
	}
	for _, pid := range circuits {
		l.root.Send(pid, &Lost{Outcome: outcome})
	}
	return total
}
