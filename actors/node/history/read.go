package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// Dir is where a node with that data directory keeps its history.
func Dir(dataDir string) string { return filepath.Join(dataDir, "history") }

const suffix = ".events"

func fileName(number uint64) string { return fmt.Sprintf("%012d%s", number, suffix) }

type file struct {
	path    string
	number  uint64
	size    int64
	changed time.Time // when it was written last
}

// list gives the segments' files, the oldest first; none without a folder.
func list(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var out []file
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // deleted meanwhile
		}
		out = append(out, file{filepath.Join(dir, e.Name()), number, info.Size(), info.ModTime()})
	}
	slices.SortFunc(out, func(a, b file) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// Boot is what a history has of one start of a node.
type Boot struct {
	Head     // of its oldest segment
	Segments []Segment
	Holes    uint64 // events that are missing in between
	Damage   error  // why a segment was not read to its end, if one was not
}

// Segment is a part of a boot.
type Segment struct {
	Head   // State is what was before the events
	Events []*chivev1.Envelope
}

// Read reads a whole history, the oldest boot first. What cannot be read is told
// by the boots, or by the error if it belongs to none; the rest is there. A
// folder that is not there is an empty history.
func Read(dir string) ([]*Boot, error) {
	files, err := list(dir)
	if err != nil {
		return nil, err
	}
	var boots []*Boot
	var failed error
	for _, f := range files {
		if f.size == 0 {
			continue // it was just made, or its maker was killed then: nothing is lost
		}
		if err := readInto(&boots, f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", filepath.Base(f.path), err))
		}
	}
	return boots, failed
}

func readInto(boots *[]*Boot, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return readSegment(boots, f)
}

// readSegment adds a segment to its boot. An error: it is of none.
func readSegment(boots *[]*Boot, from io.Reader) error {
	r, err := newReader(from)
	if err != nil {
		return err
	}
	kind, body, err := r.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it is cut short", ErrDamaged)
		}
		return err
	}
	if kind != kindHead {
		return fmt.Errorf("%w: it has no head", ErrDamaged)
	}
	head, err := parseHead(body)
	if err != nil {
		return err
	}
	b := &Boot{Head: head}
	b.State = nil // it is the segment's
	if i := slices.IndexFunc(*boots, func(b *Boot) bool { return b.Boot == head.Boot }); i >= 0 {
		b = (*boots)[i]
	} else {
		*boots = append(*boots, b)
	}
	b.Segments = append(b.Segments, Segment{Head: head})
	if err := b.read(r, &b.Segments[len(b.Segments)-1]); !errors.Is(err, io.EOF) {
		b.Damage = errors.Join(b.Damage, err)
	}
	return nil
}

// read adds the events of a segment; the error is io.EOF if it is whole.
func (b *Boot) read(r *reader, s *Segment) error {
	for {
		kind, body, err := r.next()
		if err != nil {
			return err
		}
		switch kind {
		case kindEvent:
			e, err := messages.Decode(body)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			s.Events = append(s.Events, e)
		case kindHole:
			var h hole
			if err := json.Unmarshal(body, &h); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			b.Holes += h.Count
		default: // a later version's; what is known is still read
		}
	}
}

// Events gives all events, in order.
func (b *Boot) Events() []*chivev1.Envelope {
	n := 0
	for _, s := range b.Segments {
		n += len(s.Events)
	}
	out := make([]*chivev1.Envelope, 0, n)
	for _, s := range b.Segments {
		out = append(out, s.Events...)
	}
	return out
}

// At is the node as it was at a moment; nil if the boot does not go back so far.
// What had ended by then is remembered as a running node does.
func (b *Boot) At(at time.Time) *fold.Node {
	if at.Before(b.Since()) {
		return nil
	}
	from := 0 // the last segment that begins by then and says how it was
	for i, s := range b.Segments {
		if s.State != nil && !at.Before(s.since()) {
			from = i
		}
	}
	return b.fold(from, at, 0)
}

// All is the node as it was last, with everything that ended and of which there
// are events here.
func (b *Boot) All() *fold.Node {
	retain := 1
	for _, s := range b.Segments {
		retain += len(s.Events)
	}
	return b.fold(0, b.Until(), retain)
}

func (b *Boot) fold(from int, at time.Time, retain int) *fold.Node {
	n := &fold.Node{}
	if b.Segments[from].State != nil {
		n = b.Segments[from].State.Clone()
	}
	if n.Retain = retain; retain > 0 {
		n.Retain += fold.DefaultRetain
	}
	for _, s := range b.Segments[from:] {
		for _, e := range s.Events {
			if !e.GetTime().AsTime().After(at) {
				n.Apply(e)
			}
		}
	}
	n.Trim()
	return n
}

// since is when the first event came: it was written a little later.
func (s *Segment) since() time.Time {
	if len(s.Events) > 0 {
		if first := s.Events[0].GetTime().AsTime(); first.Before(s.Made) {
			return first
		}
	}
	return s.Made
}

// Since is the earliest moment that can be told.
func (b *Boot) Since() time.Time { return b.Segments[0].since() }

// Until is the time of the last event.
func (b *Boot) Until() time.Time {
	last := b.Since()
	for _, s := range b.Segments {
		for _, e := range s.Events {
			if at := e.GetTime().AsTime(); at.After(last) {
				last = at
			}
		}
	}
	return last
}
