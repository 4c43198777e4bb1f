package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"chive/messages"
)

// found is a record with its bytes.
type found struct {
	*record
	raw []byte
}

// scanned is what the files of a store hold, whatever its server makes of them.
type scanned struct {
	aggregates map[string][]found // in the order of the files
	damaged    int                // records that are there as a whole and not as they were written
}

// maxFile bounds what is read of one file; the server's are at most 8 MiB.
const maxFile = 64 << 20

// scanStore reads the records in all files of a store. It must be called while no server
// has it open: a server drops what it does not understand.
func scanStore(dir string) (*scanned, error) {
	s := &scanned{aggregates: map[string][]found{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".blk" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(f, maxFile))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		s.scan(b)
		return nil
	})
	return s, err
}

// scan finds the records in b. One that is cut short by the end of b was being written when
// the process ended, and was never acknowledged: it is no damage.
func (s *scanned) scan(b []byte) {
	for {
		at := bytes.Index(b, []byte(magic[:len(magic)-1]))
		if at < 0 {
			return
		}
		b = b[at:]
		r, n, err := decodePrefix(b)
		if err == nil {
			s.aggregates[r.aggregate] = append(s.aggregates[r.aggregate], found{r, b[:n]})
			b = b[n:]
			continue
		}
		if !errors.Is(err, errShort) {
			s.damaged++
		}
		b = b[1:]
	}
}

// chain gives, of the records of one aggregate, those that can be folded without a gap and
// lead furthest, and the highest sequence that any record speaks of.
func chain(records []found) (out []found, highest uint64) {
	next := map[uint64]found{}   // by before: what goes on from there
	states := map[uint64]found{} // by sequence
	prev := map[uint64]found{}   // by sequence: events
	for _, r := range records {
		highest = max(highest, r.sequence)
		if r.sequence > r.before {
			next[r.before] = r
		}
		if r.state {
			states[r.sequence] = r
		} else {
			prev[r.sequence] = r
		}
	}
	start, found := furthest(next, states)
	if !found {
		return nil, highest
	}
	// What came before a state cannot be folded and is history all the same.
	at := start
	if s, ok := states[start]; ok {
		at = s.before
	}
	for p, ok := prev[at]; ok; p, ok = prev[at] {
		at = p.before
	}
	out = follow(at, next, states)
	if foldable(out) != nil {
		return nil, highest
	}
	return out, highest
}

// foldable says what is wrong with the records of one aggregate as a whole: each must go on
// where the one before it ended, and they begin at 0 or have a state among them.
func foldable(records []found) error {
	if len(records) == 0 {
		return nil
	}
	at, from := records[0].before, records[0].before == 0
	for _, r := range records {
		if r.before != at {
			return fmt.Errorf("%w: %s goes on at %d after %d", messages.ErrJournalCorrupt, r.aggregate, r.before, at)
		}
		at, from = r.sequence, from || r.state
	}
	if !from {
		return fmt.Errorf("%w: %s begins at %d without a state", messages.ErrJournalCorrupt, records[0].aggregate, records[0].before)
	}
	return nil
}

// furthest is the sequence to begin at: 0 or that of a state, the lowest from which the
// highest is reached.
func furthest(next, states map[uint64]found) (start uint64, ok bool) {
	ends := map[uint64]uint64{}
	end := func(from uint64) uint64 {
		at := from
		for {
			if known, ok := ends[at]; ok {
				at = known
				break
			}
			r, ok := next[at]
			if !ok {
				break
			}
			at = r.sequence
		}
		ends[from] = at
		return at
	}
	_, ok = next[0]
	best := end(0)
	for s := range states {
		if e := end(s); !ok || e > best || e == best && s < start {
			start, best, ok = s, e, true
		}
	}
	return start, ok
}

// follow lists the records from a sequence on. A state that leads from one sequence to a
// later one is followed where it begins; one that only repeats stands behind the events.
func follow(at uint64, next, states map[uint64]found) []found {
	var out []found
	for {
		if s, ok := states[at]; ok && s.before == s.sequence {
			out = append(out, s)
		}
		r, ok := next[at]
		if !ok {
			return out
		}
		out = append(out, r)
		at = r.sequence
	}
}
