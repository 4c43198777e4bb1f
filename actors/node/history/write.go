package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// Limits bound a history.
type Limits struct {
	Bytes   int64         // all segments together; 0: 32 MiB
	Age     time.Duration // of the latest event of a segment that is kept; 0: a day
	Segment int64         // bytes of one segment, about; 0: a 16th of Bytes
}

// Defaults of Limits.
const (
	DefaultBytes = 32 << 20
	DefaultAge   = 24 * time.Hour
)

func (l Limits) filled() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Age <= 0 {
		l.Age = DefaultAge
	}
	if l.Segment <= 0 {
		l.Segment = l.Bytes / 16
	}
	return l
}

// Writer appends to a history. There is one at a time (the lock of the data
// directory sees to it); it is not safe for concurrent use.
type Writer struct {
	dir    string
	head   Head
	limits Limits
	now    func() time.Time

	state  fold.Node // of this boot, all that was appended
	missed uint64    // events to be told by a hole
	buf    []byte

	file   *os.File
	number uint64
	size   int64     // whole records of the file
	start  int64     // bytes of its magic and head
	made   time.Time // of the file
	pruned time.Time
}

// NewWriter appends to the history in a folder, which is made when it is
// needed. head's Boot, Node, Fleet and Version are told in each segment.
func NewWriter(dir string, head Head, limits Limits, now func() time.Time) *Writer {
	return &Writer{dir: dir, head: head, limits: limits.filled(), now: now}
}

// Limit changes the limits from now on.
func (w *Writer) Limit(l Limits) { w.limits = l.filled() }

// Missed tells that events were lost before they came here.
func (w *Writer) Missed(n uint64) { w.missed += n }

// Resume goes on after n events were lost before they came here, from the state
// that they led to: with a new segment, so that it is read from there.
func (w *Writer) Resume(state *fold.Node, n uint64) error {
	w.state = *state.Clone()
	w.missed += n
	return w.Close()
}

// Append writes events, redacted to the lifecycle tier. After an error they, or
// some of them, are lost, which the history will tell; later ones are tried
// again.
func (w *Writer) Append(events []*chivev1.Envelope) error {
	if err := w.write(events); err != nil {
		w.Skip(events)
		return err
	}
	for _, e := range events { // after it: a segment begins with the state before
		w.state.Apply(e)
	}
	var err error
	if w.full() {
		err = w.Close()
	}
	return errors.Join(err, w.prune())
}

// Skip takes events that are not to be kept: what is written later knows what
// came of them.
func (w *Writer) Skip(events []*chivev1.Envelope) {
	for _, e := range events {
		w.state.Apply(e)
	}
	w.missed += uint64(len(events))
}

func (w *Writer) write(events []*chivev1.Envelope) error {
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	w.buf = w.buf[:0]
	var err error
	if w.missed > 0 {
		if w.buf, err = appendHole(w.buf, w.missed); err != nil {
			return err
		}
	}
	for _, e := range events {
		if w.buf, err = appendEvent(w.buf, e); err != nil {
			return err
		}
	}
	if _, err := w.file.Write(w.buf); err != nil {
		// What was written of it would end the segment for readers.
		_, seek := w.file.Seek(w.size, io.SeekStart)
		if err := errors.Join(w.file.Truncate(w.size), seek); err != nil {
			err = errors.Join(err, w.Close())
			return fmt.Errorf("history: %w", err)
		}
		return fmt.Errorf("history: %w", err)
	}
	w.size += int64(len(w.buf))
	w.missed = 0
	if cap(w.buf) > 1<<20 {
		w.buf = nil
	}
	return nil
}

func appendHole(b []byte, n uint64) ([]byte, error) {
	return appendRecord(b, kindHole, func(b []byte) ([]byte, error) {
		text, err := json.Marshal(hole{n})
		return append(b, text...), err
	})
}

func appendEvent(b []byte, e *chivev1.Envelope) ([]byte, error) {
	out, err := appendRecord(b, kindEvent, func(b []byte) ([]byte, error) {
		return messages.Encode(b, messages.Redact(e, chivev1.Tier_TIER_LIFECYCLE))
	})
	if err != nil || len(out)-len(b) > maxEvent+recordHead {
		return appendHole(b, 1) // one event that cannot be written is no reason to lose others
	}
	return out, nil
}

func (w *Writer) full() bool {
	if w.file == nil {
		return false
	}
	// A head is a whole state: with a large one, segments are larger.
	return w.size-w.start >= max(w.limits.Segment, 2*w.start) || w.now().Sub(w.made) >= max(w.limits.Age/8, time.Minute)
}

// open begins a segment.
func (w *Writer) open() error {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if w.number == 0 {
		files, err := list(w.dir)
		if err != nil {
			return err
		}
		if len(files) > 0 {
			w.number = files[len(files)-1].number
		}
	}
	w.number++
	w.state.Trim()
	h := w.head
	h.Made, h.State = w.now(), &w.state
	b, err := appendHead([]byte(magic), h)
	if errors.Is(err, errTooLarge) {
		h.State = nil
		b, err = appendHead([]byte(magic), h)
	}
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	path := filepath.Join(w.dir, fileName(w.number))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("history: %w", errors.Join(err, f.Close(), os.Remove(path)))
	}
	w.file, w.size, w.start, w.made = f, int64(len(b)), int64(len(b)), h.Made
	return nil
}

// pruneEvery is how often the ages of segments are looked at.
const pruneEvery = time.Minute

// prune deletes the oldest segments while they are too old or too many.
func (w *Writer) prune() error {
	now := w.now()
	if w.file != nil && !w.pruned.IsZero() && now.Sub(w.pruned) < pruneEvery && now.After(w.pruned) {
		return nil
	}
	w.pruned = now
	return w.Prune()
}

// Prune deletes the oldest segments while they are too old or too many.
func (w *Writer) Prune() error {
	files, err := list(w.dir)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	for _, f := range files {
		if w.file != nil && f.number == w.number {
			break
		}
		if total <= w.limits.Bytes && w.now().Sub(f.changed) <= w.limits.Age {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("history: %w", err)
		}
		total -= f.size
	}
	return nil
}

// Clear deletes everything that was kept.
func (w *Writer) Clear() error {
	err := w.Close()
	files, listing := list(w.dir)
	err = errors.Join(err, listing)
	for _, f := range files {
		if gone := os.Remove(f.path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// Close ends the segment; an Append begins another.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
