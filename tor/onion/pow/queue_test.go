package pow

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drain takes everything out.
func drain(q *Queue[int], now time.Time) (items []int) {
	for {
		item, _, _, ok := q.Pop(0, now)
		if !ok {
			return items
		}
		items = append(items, item)
	}
}

func TestQueueServesMostEffortThenOldest(t *testing.T) {
	q := NewQueue[int](0, 0)
	for i, effort := range []uint32{0, 5, 9, 5, 0, 9} {
		q.Push(i, effort, start)
	}
	if got, want := drain(q, start), []int{2, 5, 1, 3, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

func TestQueueDropsWhatWaitedTooLong(t *testing.T) {
	q := NewQueue[int](0, 0)
	q.Push(1, 50, start)
	q.Push(2, 5, start.Add(time.Second))
	if got, _, dropped, ok := q.Pop(0, start.Add(15*time.Second+1)); !ok || got != 2 || dropped != 1 {
		t.Errorf("served %d, %v, and %d dropped, want 2 alone", got, ok, dropped)
	}
	// An effort of 50 was not answered: half the average of 55 for one.
	if q.Update(); q.Suggested() != 55 {
		t.Errorf("suggested %d, want 55", q.Suggested())
	}
}

func TestFullQueueKeepsTheBetterHalf(t *testing.T) {
	q := NewQueue[int](1, 4) // full at 4 + 2·1·30
	high := 64
	for i := range high - 1 {
		if dropped := q.Push(i, uint32(i), start); dropped != 0 {
			t.Fatalf("dropped %d of %d", dropped, i)
		}
	}
	if dropped := q.Push(high-1, uint32(high-1), start); dropped != high/2 || q.Len() != high/2 {
		t.Fatalf("dropped %d, kept %d, want half of %d each", dropped, q.Len(), high)
	}
	want := make([]int, high/2)
	for i := range want {
		want[i] = high - 1 - i
	}
	if got := drain(q, start); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

// Whatever comes, the queue stays below its bound and serves in order.
func TestQueueIsBoundedAndOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := NewQueue[int](1, 1)
		now := start
		for i := range rapid.IntRange(1, 300).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			q.Push(i, rapid.Uint32Range(0, 20).Draw(t, "effort"), now)
			if q.Len() >= 61 {
				t.Fatalf("%d requests wait", q.Len())
			}
			if i%7 == 0 {
				q.Pop(0, now)
			}
		}
		lastEffort, lastItem := uint32(1<<31), -1
		for {
			item, effort, _, ok := q.Pop(0, now)
			if !ok {
				break
			}
			if effort > lastEffort || effort == lastEffort && item < lastItem {
				t.Fatalf("%d of effort %d after %d of effort %d", item, effort, lastItem, lastEffort)
			}
			lastEffort, lastItem = effort, item
		}
	})
}

func TestCheapRequestsWaitWhileManyAreUnderWay(t *testing.T) {
	q := NewQueue[int](0, 0)
	q.suggested = 10
	q.Push(1, 9, start)
	if _, _, _, ok := q.Pop(16, start); ok {
		t.Error("a cheap request was served beside 16 others")
	}
	q.Push(2, 10, start)
	if got, _, _, ok := q.Pop(16, start); !ok || got != 2 {
		t.Errorf("served %d, %v, want the one that paid", got, ok)
	}
	if got, _, _, ok := q.Pop(15, start); !ok || got != 1 {
		t.Errorf("served %d, %v, want the cheap one beside 15", got, ok)
	}
}

// The conditions of proposal 327 §3.4.3.4.
func TestSuggestedEffort(t *testing.T) {
	fill := func(q *Queue[int], n int, effort uint32) {
		for i := range n {
			q.Push(i, effort, start)
		}
	}
	for name, c := range map[string]struct {
		before uint32
		period func(q *Queue[int])
		want   uint32
	}{
		"idle: down by a third":         {90, func(*Queue[int]) {}, 60},
		"idle: down to nothing":         {1, func(*Queue[int]) {}, 0},
		"a few, all answered: down":     {9, func(q *Queue[int]) { fill(q, 15, 100); drain(q, start) }, 6},
		"a queue of those who paid: up": {3, func(q *Queue[int]) { fill(q, 40, 3); q.Pop(0, start) }, 120},
		"a queue of who paid less: same": {
			7, func(q *Queue[int]) { fill(q, 40, 3); q.Pop(0, start) }, 7,
		},
		"a queue that emptied: same":         {7, func(q *Queue[int]) { fill(q, 40, 9); drain(q, start) }, 7},
		"nothing answered: up by one":        {7, func(q *Queue[int]) { fill(q, 40, 9); q.period.waited = true }, 8},
		"a long queue never looked at: same": {7, func(q *Queue[int]) { fill(q, 40, 9) }, 7},
		"who paid was dropped: up":           {7, func(q *Queue[int]) { q.Push(0, 8, start); q.Pop(0, start.Add(time.Minute)) }, 8},
		"who paid no more was dropped: down": {
			9, func(q *Queue[int]) { q.Push(0, 9, start); q.Pop(0, start.Add(time.Minute)) }, 6,
		},
		"no more than fits": {1<<32 - 1, func(q *Queue[int]) { fill(q, 40, 1<<32-1); q.Pop(0, start) }, 1<<32 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			q := NewQueue[int](0, 0)
			q.suggested = c.before
			c.period(q)
			if q.Update(); q.Suggested() != c.want {
				t.Errorf("suggested %d, want %d", q.Suggested(), c.want)
			}
			if q.period != (period{}) {
				t.Errorf("the next period begins with %+v", q.period)
			}
		})
	}
}

func TestWorthPublishing(t *testing.T) {
	for _, c := range []struct {
		published, suggested uint32
		want                 bool
	}{
		{0, 0, false},
		{0, 1, true},
		{1, 0, true},
		{100, 115, false},
		{100, 116, true},
		{100, 85, false},
		{100, 84, true},
		{1<<32 - 1, 1<<32 - 1, false},
		{1<<32 - 1, 0, true},
	} {
		if got := WorthPublishing(c.published, c.suggested); got != c.want {
			t.Errorf("published %d, suggested %d: %v, want %v", c.published, c.suggested, got, c.want)
		}
	}
}

// A pop lets go of its item, lest a bounded queue hold on to more.
func TestPopLetsGo(t *testing.T) {
	q := NewQueue[*int](0, 0)
	q.Push(new(int), 1, start)
	q.Pop(0, start)
	if rest := q.requests[:1]; rest[0].item != nil {
		t.Error("the popped item is still held")
	}
}
