package journal

import (
	"fmt"
	"hash/crc32"

	"chive/messages"
)

// maxIDs is how many appends of an aggregate are known by id. The last one always is.
const maxIDs = 256

// aggregate is what is known of one history without reading it.
type aggregate struct {
	sequence uint64 // of its last event
	number   uint64 // the stream's, of its last message; 0: none
	marks    []mark // of all messages that are kept, in order
	state    int    // in marks, of the last state; -1: none
	lastID   string // of the last append, which its states carry on
	ids      map[string]appended
	order    []string // of ids, oldest first
}

// mark is one message.
type mark struct{ number, before, sequence uint64 }

// appended is what an append with an id came to.
type appended struct {
	sequence uint64
	sum      uint32 // of the events; 0: not known
}

func newAggregate() *aggregate { return &aggregate{state: -1, ids: map[string]appended{}} }

// add takes note of a record that is on disk.
func (a *aggregate) add(number uint64, r *record) {
	a.number, a.sequence = number, r.sequence
	a.marks = append(a.marks, mark{number, r.before, r.sequence})
	if r.state {
		a.state = len(a.marks) - 1
	}
	if r.id == "" {
		return
	}
	sum := uint32(0)
	if !r.state {
		sum = checksum(r.events)
	}
	a.lastID = r.id
	if _, ok := a.ids[r.id]; ok {
		return // a state tells of an append that is known
	}
	a.ids[r.id] = appended{r.sequence, sum}
	a.order = append(a.order, r.id)
	if len(a.order) > maxIDs {
		delete(a.ids, a.order[0])
		a.order = a.order[1:]
	}
}

// known gives the sequence that an append with this id came to.
func (a *aggregate) known(id string, events []messages.JournalEvent) (uint64, bool, error) {
	was, ok := a.ids[id]
	if !ok {
		return 0, false, nil
	}
	if was.sum != 0 && was.sum != checksum(events) {
		return 0, false, fmt.Errorf("%w: id %q names another append, which came to %d", messages.ErrJournalInvalid, id, was.sequence)
	}
	return was.sequence, true, nil
}

// checksum tells appends apart; never 0.
func checksum(events []messages.JournalEvent) uint32 {
	h := crc32.New(castagnoli)
	for _, e := range events {
		fmt.Fprintf(h, "%q %d %d ", e.Kind, e.Version, len(e.Data))
		_, _ = h.Write(e.Data) // a hash takes all
	}
	return max(h.Sum32(), 1)
}

// drop gives the number below which messages can go: those before the last state, save
// those that hold the last keep events. 0: none.
func (a *aggregate) drop(keep uint64) uint64 {
	if a.state <= 0 {
		return 0
	}
	first := 0
	for first < a.state && a.marks[first].sequence+keep <= a.marks[a.state].sequence {
		first++
	}
	if first == 0 {
		return 0
	}
	return a.marks[first].number
}

// dropped takes note that messages before a number are gone.
func (a *aggregate) dropped(number uint64) {
	n := 0
	for n < len(a.marks) && a.marks[n].number < number {
		n++
	}
	a.marks = append([]mark(nil), a.marks[n:]...)
	a.state -= n
}
