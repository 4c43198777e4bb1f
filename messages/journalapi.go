package messages

import (
	"context"
	"errors"
	"time"
)

// Limits of what a journal takes.
const (
	MaxJournalEvents = 256       // events of one append
	MaxJournalData   = 256 << 10 // bytes of data of one append, or of one state
)

// JournalEvent is one fact that must survive, or a whole state.
type JournalEvent struct {
	Kind    string // what happened: "guard-sampled"; lower case, digits and dashes, at most 64
	Version uint32 // of the schema of Data, from 1
	Data    []byte // as the owner of the kind encodes it
}

// JournalEntry is an event, or a state, as it is read back.
type JournalEntry struct {
	// Sequence is the event's number within its aggregate, from 1 without gaps; of a
	// state, the number of the last event in it.
	Sequence uint64
	Time     time.Time // when it was appended, in milliseconds
	State    bool      // Event is the whole state: a fold starts anew from it
	// Lost is how many events a state stands for that were never written: the journal
	// was away and the queue before it full.
	Lost  uint64
	Event JournalEvent // in the version that the schema names
}

// JournalSchema says, by kind, in what version its owner reads events.
type JournalSchema map[string]JournalKind

// JournalKind is the schema of one kind of event.
type JournalKind struct {
	Version uint32 // what the owner writes and reads
	// Upcast turns the data of version n into that of n+1, for every older n.
	Upcast map[uint32]func(data []byte) ([]byte, error)
}

// JournalAppend is what one call of Append writes: all of it or nothing.
type JournalAppend struct {
	Aggregate string // whose history it is: "guards"; named like a kind
	Expected  uint64 // the aggregate's sequence before; 0: it has no events yet
	// ID names this append, so that it can be tried again: at most 128 printable
	// characters. The last 256 of an aggregate are known, over restarts as far as their
	// events are kept; the last one always.
	ID     string
	Events []JournalEvent
}

// JournalState is what a journal can do just now.
type JournalState string

// The states of a journal. Nobody waits for one that is not ready: what is recorded in a
// lane is kept in memory, within bounds, until it is.
const (
	JournalReady    JournalState = "ready"
	JournalDegraded JournalState = "degraded" // nothing can be written; tried again after waits
	JournalClosed   JournalState = "closed"
)

// Errors of a journal, to be matched with errors.Is.
var (
	// ErrJournalConflict: the aggregate's sequence is not the expected one. Somebody else
	// appended; load, decide again, append.
	ErrJournalConflict = errors.New("journal: the aggregate is not at the expected sequence")
	// ErrJournalUnavailable: it cannot be written now. It is not known whether an append
	// that failed so was written: the same append, with its ID, may be tried again.
	ErrJournalUnavailable = errors.New("journal: unavailable")
	// ErrJournalFull: the journal has reached its size. Nothing was written.
	ErrJournalFull = errors.New("journal: full")
	// ErrJournalCorrupt: what is on disk is not what was written.
	ErrJournalCorrupt = errors.New("journal: corrupt")
	// ErrJournalNewer: an event is of a later version than this program knows.
	ErrJournalNewer = errors.New("journal: written by a newer chive")
	// ErrJournalInvalid: an append that no journal takes: a bad name, too large, empty.
	ErrJournalInvalid = errors.New("journal: invalid")
	// ErrJournalClosed: the journal, or the lane, was closed.
	ErrJournalClosed = errors.New("journal: closed")
)

// Journal keeps the events of the few aggregates that must survive the process. It is safe
// for use by many goroutines. Its methods wait for the disk: an actor uses a lane.
type Journal interface {
	// Append writes events and returns the aggregate's new sequence. When it returns nil
	// they are on disk, and no crash loses them. An append with an ID that was written
	// before is not written again: its sequence is returned. With the ID and other events
	// it is ErrJournalInvalid.
	Append(ctx context.Context, a JournalAppend) (uint64, error)
	// Load folds an aggregate: it calls apply for its last state, if it has one, and for
	// each event after it, and returns its sequence.
	Load(ctx context.Context, aggregate string, schema JournalSchema, apply func(JournalEntry) error) (uint64, error)
	// History is Load from the oldest entry that is kept.
	History(ctx context.Context, aggregate string, schema JournalSchema, apply func(JournalEntry) error) (uint64, error)
	// Snapshot writes the state of an aggregate at the given sequence, which must be its
	// present one, so that Load need not read what came before; events that retention
	// does not keep are dropped.
	Snapshot(ctx context.Context, aggregate string, sequence uint64, state JournalEvent) error
	// OpenLane loads an aggregate as Load does and gives the way to append to it without
	// waiting. A lane that was open for the aggregate before is closed, what it had not
	// written yet lost.
	OpenLane(ctx context.Context, o JournalLaneOptions, apply func(JournalEntry) error) (JournalLane, error)
	// State says whether it can be written, and if not, why.
	State() (JournalState, error)
}

// JournalLaneOptions is what a lane is made of.
type JournalLaneOptions struct {
	Aggregate string
	Schema    JournalSchema
	// Snapshot gives the whole state. It is called by Record, in the caller's goroutine;
	// what is recorded by that call is in the state already.
	Snapshot func() (JournalEvent, error)
	// Every is how many events are recorded between two states; 0: 256.
	Every int
	// Queue is how many events wait at most; 0: 256.
	Queue int
}

// JournalLane is the way for an actor to append to one aggregate, of which it is the only
// writer. Its calls never wait for the disk.
type JournalLane interface {
	// Record queues events behind those recorded before. While the journal is away they
	// wait; when the queue is full, what waits is replaced by the whole state.
	Record(events ...JournalEvent) error
	// Durable is the sequence up to which everything is on disk; Recorded that of the last
	// event recorded.
	Durable() uint64
	Recorded() uint64
	// Flush returns when what was recorded before the call is durable, or ctx is done.
	Flush(ctx context.Context) error
	// Close ends the lane at once; what is not durable is lost, so Flush before.
	Close()
}
