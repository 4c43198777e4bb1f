package priority

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/netdoc"
)

// thing is an item: the number-th of a circuit.
type thing struct {
	id            cell.CircID
	number, cells int
}

func newQueue(halfLife time.Duration) *Queue[thing] {
	return New(halfLife, func(x thing) int { return x.cells })
}

func TestHalfLife(t *testing.T) {
	for _, tt := range []struct {
		params netdoc.Params
		want   time.Duration
	}{
		{nil, 30 * time.Second},
		{netdoc.Params{"CircuitPriorityHalflifeMsec": 250}, 250 * time.Millisecond},
		{netdoc.Params{"CircuitPriorityHalflifeMsec": 0}, time.Millisecond},
		{netdoc.Params{"CircuitPriorityHalflifeMsec": math.MaxInt32}, math.MaxInt32 * time.Millisecond},
	} {
		if got := HalfLife(tt.params); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.params, got, tt.want)
		}
	}
}

// order takes all that waits.
func order(q *Queue[thing]) (s string) {
	for x, ok := q.Next(); ok; x, ok = q.Next() {
		s += fmt.Sprintf("%d.%d ", x.id, x.number)
	}
	return s
}

// A circuit that asks little goes before those that have sent much, and cells of no circuit
// before it.
func TestTheQuietGoFirst(t *testing.T) {
	q := newQueue(30 * time.Second)
	for n := range 4 {
		q.Put(1, thing{1, n, 31})
		q.Put(2, thing{2, n, 31})
	}
	for want := range 3 {
		if x, _ := q.Next(); x.id != cell.CircID(want%2+1) {
			t.Fatalf("item %d is of circuit %d", want, x.id)
		}
	}
	q.Put(3, thing{3, 0, 1})
	q.Put(0, thing{0, 0, 1})
	q.Put(3, thing{3, 1, 1})
	if got, want := order(q), "0.0 3.0 3.1 2.1 1.2 2.2 1.3 2.3 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if q.Len() != 0 || len(q.circuits) != 0 {
		t.Errorf("%d wait, %d circuits are known", q.Len(), len(q.circuits))
	}
}

// What was sent counts half as much after each half-life, across any time.
func TestWhatWasSentIsForgotten(t *testing.T) {
	const halfLife = time.Second
	for _, pause := range []time.Duration{0, halfLife, 20 * halfLife, mostHalfLives * halfLife, 1000 * halfLife, 1e6 * halfLife} {
		q := newQueue(halfLife)
		for id := cell.CircID(1); id <= 2; id++ {
			q.Open(id)
		}
		q.Put(1, thing{1, 0, 100})
		q.Next()
		q.At(pause)
		q.Put(2, thing{2, 0, 60})
		q.Next()
		q.Put(1, thing{1, 1, 1})
		q.Put(2, thing{2, 1, 1})
		want := cell.CircID(1) // 50 cells or less are left of its 100
		if pause == 0 {
			want = 2
		}
		if x, _ := q.Next(); x.id != want {
			t.Errorf("after %v circuit %d is first", pause, x.id)
		}
	}
}

// From a change on, the new half-life counts.
func TestSetHalfLife(t *testing.T) {
	q := newQueue(time.Second)
	q.Open(1)
	q.Open(2)
	q.Put(1, thing{1, 0, 100})
	q.Next()
	q.SetHalfLife(time.Hour, time.Second) // 50 are left
	q.At(2 * time.Second)
	q.Put(2, thing{2, 0, 45})
	q.Next()
	q.Put(1, thing{1, 1, 1})
	q.Put(2, thing{2, 1, 1})
	if got := order(q); got != "2.1 1.1 " {
		t.Error(got)
	}
}

// A circuit that is closed leaves nothing behind once what it had waiting is gone.
func TestClose(t *testing.T) {
	q := newQueue(time.Second)
	q.Open(7)
	q.Put(7, thing{7, 0, 1})
	q.Put(7, thing{7, 1, 1})
	q.Close(7)
	q.Close(8) // never was
	q.Put(7, thing{7, 2, 1})
	if got := order(q); got != "7.0 7.1 7.2 " || len(q.circuits) != 0 {
		t.Errorf("%s, %d circuits", got, len(q.circuits))
	}
	q.Open(7)
	if q.Close(7); len(q.circuits) != 0 {
		t.Error("a circuit with nothing waiting is kept")
	}
	if _, ok := q.Last(7); ok {
		t.Error("something is left")
	}
}

// model is the same with the definition's own sum, taken anew for each choice.
type model struct {
	halfLife time.Duration
	now      time.Duration
	waiting  map[cell.CircID][]thing
	sent     map[cell.CircID][]sending
	open     map[cell.CircID]bool
}

type sending struct {
	at    time.Duration
	cells int
}

func (m *model) average(id cell.CircID) (sum float64) {
	for _, s := range m.sent[id] {
		sum += float64(s.cells) * math.Exp2(-float64(m.now-s.at)/float64(m.halfLife))
	}
	return sum
}

// Whatever comes, each circuit's items leave in their order, none is lost, those of no circuit
// go first, and of the circuits none with a larger average goes before one with a smaller.
func TestAgainstTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		halfLife := time.Duration(rapid.Int64Range(1, 60_000).Draw(t, "half-life, ms")) * time.Millisecond
		q := newQueue(halfLife)
		m := &model{halfLife, 0, map[cell.CircID][]thing{}, map[cell.CircID][]sending{}, map[cell.CircID]bool{}}
		number := 0
		anID := rapid.Custom(func(t *rapid.T) cell.CircID { return cell.CircID(rapid.IntRange(0, 6).Draw(t, "circuit")) })
		settle := func(id cell.CircID) {
			if len(m.waiting[id]) == 0 && !m.open[id] {
				delete(m.sent, id)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				x := thing{anID.Draw(t, "of"), number, rapid.IntRange(1, 31).Draw(t, "cells")}
				number++
				q.Put(x.id, x)
				m.waiting[x.id] = append(m.waiting[x.id], x)
				if last, ok := q.Last(x.id); !ok || last != x {
					t.Fatalf("the last of %d is %v", x.id, last)
				}
			},
			"next": func(t *rapid.T) {
				x, ok := q.Next()
				if !ok {
					return // the check below
				}
				if of := m.waiting[x.id]; len(of) == 0 || of[0] != x {
					t.Fatalf("%v where %v was due", x, of)
				}
				mine := m.average(x.id)
				for id, of := range m.waiting {
					if len(of) == 0 {
						continue
					}
					if id == 0 && x.id != 0 {
						t.Fatal("what is of no circuit waits")
					}
					if other := m.average(id); x.id != 0 && mine > other*(1+1e-9)+1e-12 {
						t.Fatalf("circuit %d with %v goes before %d with %v", x.id, mine, id, other)
					}
				}
				m.waiting[x.id] = m.waiting[x.id][1:]
				if x.id != 0 {
					m.sent[x.id] = append(m.sent[x.id], sending{m.now, x.cells})
				}
				settle(x.id)
			},
			"pass time": func(t *rapid.T) {
				most := 3
				if rapid.Bool().Draw(t, "long") {
					most = 3 * mostHalfLives
				}
				m.now += time.Duration(rapid.Int64Range(0, int64(most)*int64(halfLife)).Draw(t, "time"))
				q.At(m.now)
			},
			"open": func(t *rapid.T) {
				if id := anID.Draw(t, "circuit"); id != 0 {
					q.Open(id)
					m.open[id] = true
				}
			},
			"close": func(t *rapid.T) {
				if id := anID.Draw(t, "circuit"); id != 0 {
					q.Close(id)
					delete(m.open, id)
					settle(id)
				}
			},
			"": func(t *rapid.T) {
				waiting, known := 0, 0
				for id, of := range m.waiting {
					waiting += len(of)
					if id != 0 && (len(of) > 0 && !m.open[id]) {
						known++
					}
				}
				if known += len(m.open); q.Len() != waiting || len(q.circuits) != known {
					t.Fatalf("%d wait, want %d; %d circuits, want %d", q.Len(), waiting, len(q.circuits), known)
				}
			},
		})
	})
}

// Circuits that all have much to send get equal parts: at no time does one have more than a
// block ahead of another. A newcomer gets no more than they from then on, once it has caught up.
func TestBulkCircuitsShareEqually(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 31
		circuits := rapid.IntRange(2, 40).Draw(t, "circuits")
		q := newQueue(30 * time.Second)
		sent := make([]int, circuits+1)
		give := func(id int) {
			q.Put(cell.CircID(id), thing{cell.CircID(id), 0, rapid.IntRange(1, most).Draw(t, "cells")})
		}
		for id := 1; id <= circuits; id++ {
			q.Open(cell.CircID(id))
			give(id)
			give(id)
		}
		for range 20 * circuits {
			x, _ := q.Next()
			sent[x.id] += x.cells
			give(int(x.id))
			least, largest := math.MaxInt, 0
			for _, n := range sent[1:] {
				least, largest = min(least, n), max(largest, n)
			}
			if largest-least > most {
				t.Fatalf("one has sent %d cells, another %d", largest, least)
			}
		}
	})
}

// A circuit that sends one cell now and then is next each time, however many others have much
// waiting, as long as it sends less than they do.
func TestInteractiveAmongBulk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bulk := rapid.IntRange(1, 20).Draw(t, "bulk circuits")
		q := newQueue(time.Duration(rapid.IntRange(1, 30_000).Draw(t, "half-life, ms")) * time.Millisecond)
		now := time.Duration(0)
		q.Open(1)
		for id := range bulk {
			q.Open(cell.CircID(2 + id))
			for range 4 {
				q.Put(cell.CircID(2+id), thing{cell.CircID(2 + id), 0, 31})
			}
		}
		for key := range 30 {
			for range rapid.IntRange(bulk, 3*bulk).Draw(t, "blocks between two keys") {
				x, _ := q.Next()
				q.Put(x.id, x)
			}
			now += time.Duration(rapid.IntRange(0, 500).Draw(t, "pause, ms")) * time.Millisecond
			q.At(now)
			q.Put(1, thing{1, key, 1})
			if x, _ := q.Next(); x.id != 1 || x.number != key {
				t.Fatalf("%v where key %d was due", x, key)
			}
		}
	})
}

// What comes and goes on circuits that are open costs no memory.
func TestNothingIsAllocated(t *testing.T) {
	q := newQueue(time.Millisecond)
	for id := range cell.CircID(50) {
		q.Open(id + 1)
	}
	now := time.Duration(0)
	if n := testing.AllocsPerRun(200, func() {
		for round := range 3 {
			for id := range cell.CircID(60) { // ten of them are not open
				q.Put(id, thing{id, round, 31})
			}
		}
		for range 100 {
			now += time.Millisecond
			q.At(now)
			q.Next()
		}
		for _, ok := q.Next(); ok; _, ok = q.Next() {
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The memory of a backlog is not kept when it is gone.
func TestBacklogIsForgotten(t *testing.T) {
	q := newQueue(time.Second)
	q.Open(1)
	for n := range 10_000 {
		q.Put(1, thing{1, n, 31})
		q.Put(1, thing{1, n, 31})
		q.Next()
	}
	if places := cap(q.circuits[1].items); places > 40_000 {
		t.Errorf("%d places for 10,000 items", places)
	}
	for _, ok := q.Next(); ok; _, ok = q.Next() {
	}
	if places := cap(q.circuits[1].items); places > mostKept {
		t.Errorf("%d places for nothing", places)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, circuits := range []int{1, 4, 100} {
		b.Run(fmt.Sprint(circuits), func(b *testing.B) {
			q := newQueue(30 * time.Second)
			for id := range cell.CircID(circuits) {
				q.Open(id + 1)
				q.Put(id+1, thing{id + 1, 0, 31})
			}
			for n := range b.N {
				q.At(time.Duration(n))
				x, _ := q.Next()
				q.Put(x.id, x)
			}
		})
	}
}
