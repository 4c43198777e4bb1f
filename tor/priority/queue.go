package priority

import (
	"math"
	"time"

	"chive/tor/cell"
)

const (
	// mostHalfLives is after how many half-lives the averages are scaled anew: a cell weighs
	// up to 2^mostHalfLives till then.
	mostHalfLives = 64
	// mostKept is how many places a circuit keeps for later when nothing waits.
	mostKept = 64
	// mostSpare is how many circuits' memory is kept for others.
	mostSpare = 16
)

// Queue is what waits on one connection. It is not safe for concurrent use. It allocates
// nothing for what comes and goes, once it has grown.
type Queue[T any] struct {
	cells    func(T) int // what an item holds
	halfLife time.Duration
	base     time.Duration // a cell sent then weighs 1,
	weight   float64       // and one sent now this
	circuits map[cell.CircID]*line[T]
	last     *line[T]   // that was put to, likely the next one as well; nil: none
	turns    []*line[T] // binary heap: who has something waiting, the quietest first
	turn     uint64     // of who is next to wait
	control  line[T]    // of no circuit
	waiting  int
	spare    []*line[T]
}

// line is what one circuit has waiting.
type line[T any] struct {
	id    cell.CircID
	items []T
	head  int     // of items: what went already
	sent  float64 // cells, by their weights
	turn  uint64  // among equals who waited longest is first
	open  bool    // it is kept when nothing waits
}

// New makes an empty queue; a half-life is a millisecond at least. cells says how many cells an item holds when it is taken.
func New[T any](halfLife time.Duration, cells func(T) int) *Queue[T] {
	return &Queue[T]{cells: cells, halfLife: max(halfLife, least), weight: 1, circuits: map[cell.CircID]*line[T]{}}
}

// Open begins a circuit, which has sent nothing yet. The average of one that is not open is
// forgotten whenever nothing of it waits.
func (q *Queue[T]) Open(id cell.CircID) { q.find(id).open = true }

// Close ends a circuit: what it has waiting still goes out.
func (q *Queue[T]) Close(id cell.CircID) {
	if l := q.circuits[id]; l != nil {
		l.open = false
		q.forget(l)
	}
}

// Put adds an item of a circuit, behind the circuit's others; 0 is no circuit.
func (q *Queue[T]) Put(id cell.CircID, item T) {
	q.waiting++
	if id == 0 {
		q.control.push(item)
		return
	}
	l := q.find(id)
	if l.push(item); len(l.items)-l.head == 1 {
		l.turn = q.turn
		q.turn++
		q.turns = append(q.turns, l)
		q.up(len(q.turns) - 1)
	}
}

// Last is the circuit's newest item that waits; false: none does.
func (q *Queue[T]) Last(id cell.CircID) (item T, ok bool) {
	l := &q.control
	if id != 0 {
		l = q.circuits[id]
	}
	if l == nil || l.head == len(l.items) {
		return item, false
	}
	return l.items[len(l.items)-1], true
}

// Len is how many items wait.
func (q *Queue[T]) Len() int { return q.waiting }

// At says what time it is for what Next takes.
func (q *Queue[T]) At(now time.Duration) {
	past := float64(now-q.base) / float64(q.halfLife)
	if past > mostHalfLives {
		q.scale(now)
		past = 0
	}
	q.weight = math.Exp2(past)
}

// SetHalfLife changes how soon what was sent is forgotten, from now on.
func (q *Queue[T]) SetHalfLife(d, now time.Duration) {
	q.scale(now)
	q.halfLife, q.weight = max(d, least), 1
}

// Next takes the oldest item of the quietest circuit that has one, and counts its cells as
// sent; false: nothing waits.
func (q *Queue[T]) Next() (item T, ok bool) {
	if q.waiting == 0 {
		return item, false
	}
	q.waiting--
	if q.control.head < len(q.control.items) {
		return q.control.pop(), true
	}
	l := q.turns[0]
	item = l.pop()
	l.sent += float64(q.cells(item)) * q.weight
	if l.head < len(l.items) {
		l.turn = q.turn
		q.turn++
	} else {
		end := len(q.turns) - 1
		q.turns[0], q.turns[end] = q.turns[end], nil
		q.turns = q.turns[:end]
		q.forget(l)
	}
	q.down(0)
	return item, true
}

// find gives the line of a circuit, or a new one.
func (q *Queue[T]) find(id cell.CircID) *line[T] {
	if q.last != nil && q.last.id == id {
		return q.last
	}
	l := q.circuits[id]
	if l == nil {
		if n := len(q.spare); n > 0 {
			l, q.spare = q.spare[n-1], q.spare[:n-1]
		} else {
			l = &line[T]{}
		}
		l.id = id
		q.circuits[id] = l
	}
	q.last = l
	return l
}

// forget lets go of a circuit that is closed, if nothing of it waits.
func (q *Queue[T]) forget(l *line[T]) {
	if l.open || l.head < len(l.items) {
		return
	}
	delete(q.circuits, l.id)
	if q.last == l {
		q.last = nil
	}
	if len(q.spare) < mostSpare {
		*l = line[T]{items: l.items}
		q.spare = append(q.spare, l)
	}
}

// scale has a cell that is sent now weigh 1.
func (q *Queue[T]) scale(now time.Duration) {
	factor := math.Exp2(-float64(now-q.base) / float64(q.halfLife))
	for _, l := range q.circuits {
		l.sent *= factor
	}
	q.base = now
	for i := len(q.turns)/2 - 1; i >= 0; i-- { // what was almost nothing is nothing now: equals are ordered anew
		q.down(i)
	}
}

// before says whose turn is first.
func (l *line[T]) before(m *line[T]) bool {
	return l.sent < m.sent || l.sent == m.sent && l.turn < m.turn
}

func (q *Queue[T]) up(i int) {
	for l := q.turns[i]; i > 0; {
		above := (i - 1) / 2
		if !l.before(q.turns[above]) {
			break
		}
		q.turns[i], q.turns[above] = q.turns[above], l
		i = above
	}
}

func (q *Queue[T]) down(i int) {
	for {
		least := i
		for _, below := range [2]int{2*i + 1, 2*i + 2} {
			if below < len(q.turns) && q.turns[below].before(q.turns[least]) {
				least = below
			}
		}
		if least == i {
			return
		}
		q.turns[i], q.turns[least] = q.turns[least], q.turns[i]
		i = least
	}
}

func (l *line[T]) push(item T) {
	if len(l.items) == cap(l.items) && l.head > len(l.items)/2 {
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	l.items = append(l.items, item)
}

func (l *line[T]) pop() (item T) {
	item = l.items[l.head]
	clear(l.items[l.head : l.head+1])
	l.head++
	if l.head == len(l.items) {
		if l.items, l.head = l.items[:0], 0; cap(l.items) > mostKept {
			l.items = nil
		}
	}
	return item
}
