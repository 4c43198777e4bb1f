// Package block holds the pooled buffers that carry bytes between a
// connection, its circuits and their streams. A block has one owner at a time:
// who posts it must not touch it again, and the last owner frees it. The pool
// counts what is out, so that a test can show that nothing leaks.
package block

import (
	"sync"
	"sync/atomic"

	"chive/tor/cell"
)

// Sizes, in bytes. A TLS record holds at most 16,384 bytes: 31 whole cells and
// a part.
const (
	CellsPerBlock = 31
	MaxData       = CellsPerBlock * cell.MaxRelayDataV1 // fills as many cells of either format
	Size          = 16384 + cell.FixedLen
	LargeSize     = 64 << 10 // what a burst from a relay is gathered in
	SmallSize     = 4 * cell.FixedLen
	MaxLargeData  = 4 * MaxData
)

// Kind says what a block carries and so who may receive it.
type Kind uint8

// The kinds: cells between connection and circuit, data between circuit and
// stream, relay messages between a conflux set and its legs; "in" is towards the
// application.
const (
	CellsIn Kind = iota + 1
	DataIn
	DataOut
	CellsOut
	MessagesIn
	MessagesOut
)

// Block is one buffer on its way, and itself the actor message.
type Block struct {
	Kind Kind
	Buf  []byte // Size, LargeSize or SmallSize bytes
	// Bytes is what the block holds: whole cells or stream data.
	Bytes []byte
	// Cells is how many DATA cells the data came in, for stream SENDMEs.
	Cells int
	// Stream is whose data this is.
	Stream cell.StreamID
	// Of tells, of DataOut, the stream from others that have had its number: its Spec.
	Of any
	// Leg is over which leg of a conflux set messages came.
	Leg int
	// Here asks for the block to be handled in the sender's goroutine.
	Here bool
	// Credit gets one token when the connection has written the block, so that
	// the reader of the stream's socket may read again. Nil: nobody waits.
	Credit chan<- struct{}
}

var (
	pool  = sync.Pool{New: func() any { return fresh(Size) }}
	large = sync.Pool{New: func() any { return fresh(LargeSize) }}
	small = sync.Pool{New: func() any { return fresh(SmallSize) }}
	out   atomic.Int64

	once      atomic.Bool // blocks are used once (EnableBufferPooling 0)
	got, made atomic.Uint64
)

func fresh(size int) *Block {
	made.Add(1)
	return &Block{Buf: make([]byte, size)}
}

// SetPooling says whether blocks are used again. Blocks that are out follow the
// setting of the moment when they are freed.
func SetPooling(on bool) { once.Store(!on) }

// Counts is how many blocks were asked for, and how many of these had to be
// made, since the program started.
func Counts() (asked, fresh uint64) { return got.Load(), made.Load() }

// Get returns an empty block of a kind, of Size bytes.
func Get(kind Kind) *Block { return get(&pool, kind, Size) }

// GetLarge returns an empty block of a kind, of LargeSize bytes.
func GetLarge(kind Kind) *Block { return get(&large, kind, LargeSize) }

// GetSmall returns an empty block of a kind, of SmallSize bytes: for a few cells that wait.
func GetSmall(kind Kind) *Block { return get(&small, kind, SmallSize) }

func get(from *sync.Pool, kind Kind, size int) *Block {
	out.Add(1)
	got.Add(1)
	took(size)
	var b *Block
	if once.Load() {
		b = fresh(size)
	} else {
		b = from.Get().(*Block)
	}
	b.Kind = kind
	return b
}

// Free gives the block back and its credit to who waits for it.
func (b *Block) Free() {
	credit := b.Credit
	b.Kind, b.Bytes, b.Cells, b.Stream, b.Of, b.Leg, b.Credit, b.Here = 0, nil, 0, 0, nil, 0, nil, false
	out.Add(-1)
	gave(len(b.Buf))
	switch {
	case once.Load():
	case len(b.Buf) == LargeSize:
		large.Put(b)
	case len(b.Buf) == SmallSize:
		small.Put(b)
	default:
		pool.Put(b)
	}
	if credit != nil {
		select {
		case credit <- struct{}{}:
		default: // the reader is gone
		}
	}
}

// Drop implements kernel.Droppable: the receiver is gone.
func (b *Block) Drop() { b.Free() }

// RunInline implements kernel.Inline.
func (b *Block) RunInline() bool { return b.Here }

// Outstanding is how many blocks have an owner now.
func Outstanding() int64 { return out.Load() }
