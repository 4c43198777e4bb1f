package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/internal/testnet/target"
)

// soaked is what a soak looks at, again and again.
type soaked struct {
	heap       uint64 // bytes that live on it
	goroutines int
}

func look() soaked {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	runtime.ReadMemStats(&m)
	return soaked{m.HeapAlloc, runtime.NumGoroutine()}
}

// soakOf reads how long a soak is and how much passes; it is none of make test.
func soakOf(t *testing.T) (length time.Duration, total int64) {
	t.Helper()
	text := os.Getenv("CHIVE_SOAK_TIME")
	if text == "" {
		t.Skip("CHIVE_SOAK_TIME says how long it is, as in 1h, and CHIVE_SOAK_GIB how much passes")
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	gib, err := strconv.ParseFloat(os.Getenv("CHIVE_SOAK_GIB"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return length, int64(gib * (1 << 30))
}

// soak is traffic that is spread over its time.
type soak struct {
	n     *testnet.Network
	c     *client
	all   []byte // what uploads are the beginning of
	began time.Time
	pace  time.Duration // of a mebibyte
	total int64
	taken atomic.Int64 // bytes that somebody sees to
	done  atomic.Int64 // bytes that passed, whole
}

// most is the size of the longest transfer.
const most = 64 << 20

// next is the size of a transfer that is due now, after waiting for that; 0: all is done.
func (s *soak) next(t *testing.T, rng *rand.Rand) int64 {
	size := 1 + rng.Int64N(1<<(10+rng.IntN(17))) // up to most; short ones as often as long
	before := s.taken.Add(size) - size
	if before >= s.total || t.Failed() {
		return 0
	}
	select {
	case <-time.After(time.Until(s.began.Add(time.Duration(before>>20) * s.pace))):
		return size
	case <-t.Context().Done():
		return 0
	}
}

// work passes data both ways, as one of some users.
func (s *soak) work(t *testing.T, number int) {
	rng := rand.New(rand.NewPCG(uint64(number), 1))
	upload := "http://" + netip.AddrPortFrom(s.n.Target().IP, uint16(s.n.Target().HTTPPort)).String() + "/upload"
	for size := s.next(t, rng); size > 0; size = s.next(t, rng) {
		user, sum := fmt.Sprintf("soak%d", rng.IntN(4)), target.Sum(size)
		if rng.IntN(2) == 0 {
			got, length, err := s.c.get(t.Context(), user, resource(s.n, int(size)))
			if err != nil || length != size || got != fmt.Sprintf("%x", sum) {
				t.Errorf("after %d bytes: download of %d bytes of %d, hash %s, err %v", s.done.Load(), length, size, got, err)
				return
			}
		} else {
			got, err := s.c.post(t.Context(), user, upload, s.all[:size])
			if err != nil || got != fmt.Sprintf("%x %d\n", sum, size) {
				t.Errorf("after %d bytes: upload of %d answered %q, err %v", s.done.Load(), size, got, err)
				return
			}
		}
		s.done.Add(size)
	}
}

// watch looks at the process a number of times while the soak goes on.
func (s *soak) watch(t *testing.T, length time.Duration, over <-chan struct{}) (seen []soaked) {
	tick := time.NewTicker(length / 24)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			x := look()
			seen = append(seen, x)
			t.Logf("%v: %d MiB passed; heap %d KiB, %d goroutines", time.Since(s.began).Round(time.Second), s.done.Load()>>20, x.heap>>10, x.goroutines)
		case <-over:
			return seen
		}
	}
}

// lowest is the least of each of several looks: what is there while little is under way.
func lowest(seen []soaked) soaked {
	least := seen[0]
	for _, x := range seen {
		least = soaked{min(least.heap, x.heap), min(least.goroutines, x.goroutines)}
	}
	return least
}

// Hours of mixed traffic through C tor's relays: all of it whole, every hop with congestion
// control and Counter Galois Onion, and at the end no more memory and goroutines than when
// it had settled. Its log is kept, of which so much may come.
func TestSoak(t *testing.T) {
	length, total := soakOf(t)
	const growth = 16 << 20
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	c := start(t, n)
	s := &soak{n: n, c: c, all: sequence(most), began: time.Now(), total: total}
	s.pace = time.Duration(float64(length) * (1 << 20) / float64(total))
	over := make(chan struct{})
	var workers, watcher sync.WaitGroup
	var seen []soaked
	watcher.Go(func() { seen = s.watch(t, length, over) })
	for i := range 4 {
		workers.Go(func() { s.work(t, i) })
	}
	workers.Wait()
	close(over)
	watcher.Wait()
	t.Logf("%d bytes passed in %v", s.done.Load(), time.Since(s.began).Round(time.Second))
	if len(seen) < 8 {
		t.Fatalf("%d looks at memory", len(seen))
	}
	quarter := len(seen) / 4
	settled, end := lowest(seen[quarter:2*quarter]), lowest(seen[len(seen)-quarter:])
	if end.heap > settled.heap+growth || end.goroutines > settled.goroutines+50 {
		t.Errorf("grown from %+v to %+v", settled, end)
	}
	c.stop()
	negotiated(t, c)
}
