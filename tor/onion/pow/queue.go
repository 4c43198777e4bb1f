package pow

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"time"
)

const (
	// UpdatePeriod is the time between two looks at the suggested effort.
	UpdatePeriod = 5 * time.Minute

	// rendTimeout is how long a rendezvous may take; of that a request may
	// spend half in the queue, or its client is gone before it is answered.
	rendTimeout = 30 * time.Second
	maxWait     = rendTimeout / 2

	// maxCheap is how many rendezvous may be under way for another to be begun
	// that paid less than is suggested.
	maxCheap = 16

	// Levels of a queue that is emptied at no set rate, and the least low one
	// of others.
	freeLow, freeHigh = 16, 16384
	leastLow          = 8
)

// Queue holds the introductions that a service has accepted and not yet
// answered, those of most effort first and of equal effort the oldest, and
// learns from them what effort to suggest (proposal 327 §3.4.2 and §3.4.3). It
// is bounded: full, it drops the half that paid less. It is for one goroutine
// at a time.
type Queue[T any] struct {
	requests  requests[T]
	arrived   uint64 // requests ever, the order of age
	low, high int    // lengths: as good as empty, and full

	suggested uint32
	period    period
}

// period is what was seen since the last update.
type period struct {
	effort   uint64 // of all requests that arrived
	answered uint64 // requests handed out
	dropped  uint32 // the most effort of a request that was not answered
	waited   bool   // the queue did not empty
}

type request[T any] struct {
	item    T
	effort  uint32
	number  uint64
	arrived time.Time
}

// NewQueue makes a queue that is emptied at a rate of requests a second with a
// burst, or as fast as can be if the rate is zero.
func NewQueue[T any](rate, burst int) *Queue[T] {
	q := &Queue[T]{low: freeLow, high: freeHigh}
	if rate > 0 && burst >= rate {
		q.low = max(leastLow, rate/4)
		q.high = burst + 2*rate*int(rendTimeout/time.Second)
	}
	return q
}

// Len is how many requests wait.
func (q *Queue[T]) Len() int { return len(q.requests) }

// Suggested is the effort to suggest to clients.
func (q *Queue[T]) Suggested() uint32 { return q.suggested }

// Push adds a request: one whose proof of an effort was accepted, or of none
// with none. It returns how many requests had to be dropped for want of room.
func (q *Queue[T]) Push(item T, effort uint32, now time.Time) (dropped int) {
	heap.Push(&q.requests, request[T]{item: item, effort: effort, number: q.arrived, arrived: now})
	q.arrived++
	q.period.effort += uint64(effort)
	if len(q.requests) < q.high {
		return 0
	}
	return q.trim(now)
}

// trim keeps the better half of what has not waited too long.
func (q *Queue[T]) trim(now time.Time) (dropped int) {
	before := len(q.requests)
	q.requests = slices.DeleteFunc(q.requests, func(r request[T]) bool {
		return q.late(&r, now)
	})
	slices.SortFunc(q.requests, request[T].compare) // sorted, it is a heap too
	if keep := q.high / 2; len(q.requests) > keep {
		for i := range q.requests[keep:] {
			q.drop(&q.requests[keep+i])
		}
		q.requests = slices.Delete(q.requests, keep, len(q.requests))
	}
	return before - len(q.requests)
}

// Pop takes the request to answer next, dropping those whose clients have
// given up, and says how many. There is none, ok false, if the queue is empty or, with
// many rendezvous under way, holds only requests that paid less than is suggested.
func (q *Queue[T]) Pop(underWay int, now time.Time) (item T, effort uint32, dropped int, ok bool) {
	for len(q.requests) > 0 {
		if underWay >= maxCheap && !q.worthwhile() {
			break
		}
		r := heap.Pop(&q.requests).(request[T])
		if q.late(&r, now) {
			dropped++
			continue
		}
		q.period.answered++
		item, effort, ok = r.item, r.effort, true
		break
	}
	if len(q.requests) >= q.low {
		q.period.waited = true
	}
	return item, effort, dropped, ok
}

// worthwhile reports whether the first request paid what is suggested.
func (q *Queue[T]) worthwhile() bool { return q.requests[0].effort >= q.suggested }

// late reports whether a request has waited too long, and if so drops it.
func (q *Queue[T]) late(r *request[T], now time.Time) bool {
	if now.Sub(r.arrived) <= maxWait {
		return false
	}
	q.drop(r)
	return true
}

func (q *Queue[T]) drop(r *request[T]) { q.period.dropped = max(q.period.dropped, r.effort) }

// Update ends a period, every [UpdatePeriod], and sets the suggested effort: up
// if requests that paid it were dropped or still wait in a queue that did not
// empty, to the average paid or by one; down to two thirds if the queue is as
// good as empty and always emptied.
func (q *Queue[T]) Update() {
	switch {
	case q.period.dropped > q.suggested,
		q.period.waited && len(q.requests) > 0 && q.worthwhile():
		q.raise()
	case !q.period.waited && len(q.requests) < q.low:
		q.suggested = uint32(uint64(q.suggested) * 2 / 3)
	}
	q.period = period{}
}

func (q *Queue[T]) raise() {
	next := uint64(q.suggested) + 1
	if q.period.answered > 0 {
		next = max(next, q.period.effort/q.period.answered)
	}
	q.suggested = uint32(min(next, math.MaxUint32))
}

// WorthPublishing reports whether a suggested effort is so far from the one
// published, by 15 percent, that the descriptor is to be published anew for it.
func WorthPublishing(published, suggested uint32) bool {
	p, s := int64(published), int64(suggested)
	return 100*max(s-p, p-s) > 15*p
}

// compare orders requests as they are to be answered.
func (r request[T]) compare(other request[T]) int {
	return cmp.Or(cmp.Compare(other.effort, r.effort), cmp.Compare(r.number, other.number))
}

// requests is the heap, the first to be answered on top.
type requests[T any] []request[T]

func (r requests[T]) Len() int           { return len(r) }
func (r requests[T]) Less(i, j int) bool { return r[i].compare(r[j]) < 0 }
func (r requests[T]) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *requests[T]) Push(x any)        { *r = append(*r, x.(request[T])) }

func (r *requests[T]) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = request[T]{} // let go of the item
	*r = (*r)[:last]
	return x
}
