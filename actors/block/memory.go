package block

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chive/internal/safego"
)

// began is the zero of Moment.
var began = time.Now()

// Moment is now, on the clock of Holders: in nanoseconds, monotonic, never 0.
func Moment() int64 { return int64(time.Since(began)) + 1 }

// Holder is somebody who keeps blocks because another does not take them, and
// who can let go of them: a stream whose application does not read, or whose
// circuit does not send.
type Holder interface {
	// Held is how many bytes of blocks it keeps and since which Moment; 0 bytes if it keeps none.
	Held() (bytes, since int64)
	// Shed makes it let go; it must not wait. Who lets go calls Leave.
	Shed()
}

// shedAgain is after what time holders are shed again, if those that were did not bring
// the low water: what each keeps is known roughly, and may have grown meanwhile.
const shedAgain = time.Second

// account is the process's: blocks are, too. Over the high water the holders that
// have kept theirs longest are shed until what is left is below the low water.
// Between the two waters nothing new is to be taken on (Pressed).
var account = struct {
	bytes     atomic.Int64 // of blocks that are out
	high, low atomic.Int64
	pressed   atomic.Bool
	shedding  atomic.Bool

	mu       sync.Mutex // protects the fields below
	holders  map[Holder]struct{}
	leaving  map[Holder]int64 // shed, and not gone yet
	expected int64            // bytes of those
	again    bool             // a timer runs to shed again
	watchers map[int]func(MemoryChange)
	next     int
}{holders: map[Holder]struct{}{}, leaving: map[Holder]int64{}, watchers: map[int]func(MemoryChange){}}

func init() { LimitMemory(0) }

// MemoryChange is what watchers are told: that the high water was passed, or the
// low one again.
type MemoryChange struct {
	Over  bool
	Bytes int64 // as Memory
	Shed  int   // holders that were shed, when Over
}

// LimitMemory sets the high water, in bytes; the low one is three quarters of
// it. 0 is no limit.
func LimitMemory(high int64) {
	if high <= 0 {
		high = math.MaxInt64
	}
	account.low.Store(high / 4 * 3)
	account.high.Store(high)
	took(0)
	gave(0)
}

// Memory is how many bytes of blocks are out, with what Keep counts.
func Memory() int64 { return account.bytes.Load() }

// Pressed says whether the high water was passed and the low one not since.
func Pressed() bool { return account.pressed.Load() }

// WatchMemory calls f for each change, until it is cancelled. f must be quick.
func WatchMemory(f func(MemoryChange)) (cancel func()) {
	account.mu.Lock()
	defer account.mu.Unlock()
	id := account.next
	account.next++
	account.watchers[id] = f
	return func() {
		account.mu.Lock()
		defer account.mu.Unlock()
		delete(account.watchers, id)
	}
}

// Join makes a holder known; Leave forgets it.
func Join(h Holder) {
	account.mu.Lock()
	defer account.mu.Unlock()
	account.holders[h] = struct{}{}
}

// Leave is called when the holder keeps nothing any more and never will.
func Leave(h Holder) {
	account.mu.Lock()
	defer account.mu.Unlock()
	delete(account.holders, h)
	account.expected -= account.leaving[h]
	delete(account.leaving, h)
}

// Keep counts memory that is in no block but is kept for the same reason, in bytes; less
// than nought gives it back.
func Keep(bytes int) {
	switch {
	case bytes > 0:
		took(bytes)
	case bytes < 0:
		gave(-bytes)
	}
}

// took counts what went out.
func took(bytes int) {
	if account.bytes.Add(int64(bytes)) > account.high.Load() {
		startShedding()
	}
}

func startShedding() {
	if !account.shedding.CompareAndSwap(false, true) {
		return
	}
	safego.Go("shed memory", func() {
		shedOnce()
		// Who came over the high water after it was looked found that it was being shed. Under
		// pressure it is looked again anyway.
		if account.bytes.Load() > account.high.Load() && !account.pressed.Load() {
			startShedding()
		}
	}, nil)
}

func shedOnce() {
	defer account.shedding.Store(false)
	shed()
}

// gave counts what came back.
func gave(bytes int) {
	n := account.bytes.Add(-int64(bytes))
	if account.pressed.Load() && n < account.low.Load() && account.pressed.CompareAndSwap(true, false) {
		account.mu.Lock()
		defer account.mu.Unlock()
		tell(MemoryChange{Bytes: n})
	}
}

// shed lets go of what was kept longest, as far as it is needed beyond what is
// on its way back already.
func shed() {
	account.mu.Lock()
	defer account.mu.Unlock()
	bytes := account.bytes.Load()
	if bytes <= account.high.Load() && !account.pressed.Load() {
		return
	}
	type kept struct {
		h            Holder
		bytes, since int64
	}
	var all []kept
	for h := range account.holders {
		if n, since := h.Held(); n > 0 {
			all = append(all, kept{h, n, since})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return cmp.Compare(a.since, b.since) })
	over, count := bytes-account.expected-account.low.Load(), 0
	for _, k := range all {
		if over <= 0 {
			break
		}
		over -= k.bytes
		count++
		delete(account.holders, k.h)
		account.leaving[k.h] = k.bytes
		account.expected += k.bytes
		k.h.Shed()
	}
	if !account.pressed.Swap(true) || count > 0 {
		tell(MemoryChange{Over: true, Bytes: bytes, Shed: count})
	}
	// What came back since it was looked may have been the last to do so.
	if n := account.bytes.Load(); n < account.low.Load() && account.pressed.CompareAndSwap(true, false) {
		tell(MemoryChange{Bytes: n})
		return
	}
	if !account.again {
		account.again = true
		time.AfterFunc(shedAgain, lookAgain)
	}
}

// lookAgain sheds again while the pressure lasts.
func lookAgain() {
	account.mu.Lock()
	account.again = false
	account.mu.Unlock()
	if account.pressed.Load() {
		startShedding()
	}
}

// tell must be called with the account's lock held.
func tell(c MemoryChange) {
	for _, f := range account.watchers {
		f(c)
	}
}
