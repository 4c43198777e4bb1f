package connection

import (
	"encoding/binary"
	"errors"
	"time"

	"chive/actors/block"
	"chive/tor/cell"
)

// writeTimeout is how long a relay may take nothing at all before the
// connection counts as lost.
const writeTimeout = 60 * time.Second

// maxRecord is the content of the largest TLS record, in bytes.
const maxRecord = 16384

// Send sends whole cells to the relay, all of one circuit or of none, and takes over the
// block. Cells of one circuit leave in the order of the calls, and while cells wait those of
// the circuit first that has sent the least lately. It never waits: the caller's goroutine
// writes what the socket takes at once, as waking another for a cell or two costs more than
// the write; the rest is the writer's. What a closed link is given is freed.
func (l *Link) Send(b *block.Block) {
	if len(b.Bytes) == 0 {
		b.Free()
		return
	}
	id := cell.CircID(binary.BigEndian.Uint32(b.Bytes))
	l.queueMu.Lock()
	if l.shut || l.stuck && l.joins(id, b) {
		l.queueMu.Unlock()
		b.Free()
		return
	}
	l.queue.Put(id, b)
	l.queueMu.Unlock()
	l.flush()
}

// cellsOf is how many cells of fixed length a block holds: no others are sent.
func cellsOf(b *block.Block) int { return len(b.Bytes) / cell.FixedLen }

// joins puts a few cells behind those of the circuit's last block that waits, or into a small
// block if none does, if they fit there. A relay that takes nothing, but makes us acknowledge
// what it sends, must not have us keep a whole block for each cell. The caller holds queueMu.
func (l *Link) joins(id cell.CircID, b *block.Block) bool {
	if b.Credit != nil {
		return false
	}
	last, ok := l.queue.Last(id)
	switch {
	case ok && cap(last.Bytes)-len(last.Bytes) >= len(b.Bytes):
		last.Bytes = append(last.Bytes, b.Bytes...)
		return true
	case !ok && len(b.Bytes) <= block.SmallSize:
		few := block.GetSmall(b.Kind)
		few.Bytes = append(few.Buf[:0], b.Bytes...)
		l.queue.Put(id, few)
		return true
	}
	return false
}

// favour has what circuits have sent count half as much after each d, from now on.
func (l *Link) favour(d time.Duration) {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	l.queue.SetHalfLife(d, time.Since(l.activity.epoch))
}

// Cork holds back what is sent until Uncork, so that the answers to one burst, or the
// cells of one read, share records and a write. Who else corks it meanwhile is waited for.
func (l *Link) Cork() {
	l.queueMu.Lock()
	l.corks++
	l.queueMu.Unlock()
}

// Uncork is called once for each Cork.
func (l *Link) Uncork() {
	l.queueMu.Lock()
	l.corks--
	l.queueMu.Unlock()
	l.flush()
}

// Full says whether the socket takes no more just now.
func (l *Link) Full() bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	return l.stuck
}

// flush writes the queue if nobody else does. Who finds another writing leaves:
// that one looks again after it has let go.
func (l *Link) flush() {
	for l.ready() && l.writeMu.TryLock() {
		l.drain()
		l.writeMu.Unlock()
	}
}

// ready reports whether the queue has something to write now.
func (l *Link) ready() bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	return l.due()
}

// mostCorked is how many blocks wait for Uncork: with many circuits that send there may
// always be one who corks.
const mostCorked = 64

// due: is there something to write now? The caller holds queueMu.
func (l *Link) due() bool {
	n := l.queue.Len()
	return n > 0 && !l.stuck && (l.corks == 0 || n >= mostCorked)
}

// most is from how many bytes on no more is chosen to be written at once: what is chosen goes
// before whatever comes later. It is one write, and of a socket that takes little what that may
// ask for. The caller holds writeMu.
func (l *Link) most() int {
	if n := l.records.unsent / 2; n > 0 {
		return min(n, mostHeld)
	}
	return mostHeld
}

// take moves what is to go next from the queue to taken; the caller holds writeMu. What
// stays may still be overtaken.
func (l *Link) take() bool {
	most := l.most()
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if !l.due() {
		return false
	}
	l.queue.At(l.activity.touch())
	l.taken = l.taken[:0]
	for size := 0; size < most; {
		b, ok := l.queue.Next()
		if !ok {
			break
		}
		size += len(b.Bytes)
		l.taken = append(l.taken, b)
	}
	return true
}

// drain writes the queue until it is empty or the socket is full; the caller
// holds writeMu.
func (l *Link) drain() {
	for l.take() {
		if err := l.writeBatch(l.taken); err != nil {
			l.giveUp(err)
		} else if l.records.backlog() {
			l.giveUp(nil)
		}
	}
}

// giveUp leaves the writing to the writer, which ends with err if there is one.
func (l *Link) giveUp(err error) {
	l.queueMu.Lock()
	l.stuck = true
	if l.failed == nil {
		l.failed = err
	}
	l.queueMu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write waits for the socket whenever it is full, until the connection fails or
// is shut.
func (l *Link) write() error {
	for {
		select {
		case <-l.done:
			return nil
		case <-l.wake:
		}
		if err := l.unstick(); err != nil {
			return err
		}
		l.flush()
	}
}

// unstick sends what the socket did not take, and looks how much it may have.
func (l *Link) unstick() error {
	l.queueMu.Lock()
	err := l.failed
	l.queueMu.Unlock()
	if err != nil {
		return err
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := l.records.settle(); err != nil {
		return err
	}
	l.records.bound(time.Now())
	l.queueMu.Lock()
	l.stuck = l.failed != nil
	l.queueMu.Unlock()
	return nil
}

// writeBatch writes blocks, small ones together in a record and records together, and frees
// them; the caller holds writeMu.
func (l *Link) writeBatch(batch []*block.Block) (err error) {
	if len(batch) > 1 {
		l.records.hold()
		defer func() { err = errors.Join(err, l.records.release()) }()
	}
	scratch := l.scratch[:0]
	for i, b := range batch {
		if err == nil && len(scratch) > 0 && len(scratch)+len(b.Bytes) > maxRecord {
			_, err = l.tls.Write(scratch)
			scratch = scratch[:0]
		}
		last := i == len(batch)-1
		switch {
		case err != nil:
		case len(scratch) == 0 && (last || len(b.Bytes) > maxRecord/2):
			_, err = l.tls.Write(b.Bytes)
		default:
			scratch = append(scratch, b.Bytes...)
			if last {
				_, err = l.tls.Write(scratch)
			}
		}
		b.Free()
		batch[i] = nil
	}
	return err
}
