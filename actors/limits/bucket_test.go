package limits

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chive/internal/leak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { leak.Main(m) }

// elapsed is how long f takes, in the bubble's time.
func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func near(got, want time.Duration) bool { return (got - want).Abs() <= 10*time.Microsecond }

func TestNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *Limits
		for name, b := range map[string]*Bucket{"nil": nil, "zero": {}, "of nil": none.Down()} {
			if d := elapsed(func() {
				for range 1000 {
					b.Spend(1<<30, nil)
					if n := b.Grant(1<<30, 1, nil); n != 1<<30 {
						t.Errorf("%s grants %d", name, n)
					}
					if ok, _ := b.Allow(); !ok {
						t.Errorf("%s does not allow", name)
					}
				}
			}); d != 0 {
				t.Errorf("%s waits %v", name, d)
			}
		}
	})
}

func TestBucketGivesItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bucket
		b.Set(1000, 500)
		if d := elapsed(func() { b.Spend(500, nil) }); d != 0 {
			t.Errorf("the burst takes %v", d)
		}
		if d := elapsed(func() { b.Spend(2000, nil) }); !near(d, 2*time.Second) {
			t.Errorf("2000 more take %v, want 2 s", d)
		}
		if d := elapsed(func() {
			if n := b.Grant(300, 100, nil); n < 100 || n > 101 {
				t.Errorf("granted %d of 300, at least 100", n)
			}
		}); !near(d, 100*time.Millisecond) {
			t.Errorf("100 take %v", d)
		}
		time.Sleep(time.Hour)
		if n := b.Grant(10_000, 1, nil); n != 500 {
			t.Errorf("after an hour %d are there, want the burst of 500", n)
		}
		if n := b.Grant(10_000, 10_000, nil); n != 500 {
			t.Errorf("more than the burst can never be there: granted %d", n)
		}
	})
}

func TestAllowSaysWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bucket
		b.Set(2, 3)
		for i := range 3 {
			if ok, _ := b.Allow(); !ok {
				t.Fatalf("request %d of the burst is refused", i)
			}
		}
		ok, in := b.Allow()
		if ok || !near(in, 500*time.Millisecond) {
			t.Fatalf("the fourth: %v, in %v", ok, in)
		}
		time.Sleep(in)
		if ok, _ := b.Allow(); !ok {
			t.Error("refused when it said there would be one")
		}
	})
}

func TestChangesReachThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bucket
		b.Set(1, 1)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { b.Spend(1e6, nil) })
			wg.Go(func() { b.Grant(1e6, 1e6, nil) })
		}
		time.Sleep(time.Second)
		b.Set(0, 0)
		synctest.Wait()
		if d := elapsed(wg.Wait); d != 0 {
			t.Errorf("without a limit they wait for %v", d)
		}
		b.Set(10, 10)
		if n := b.Grant(100, 1, nil); n != 10 {
			t.Errorf("a new limit begins with %d tokens, want its burst: debts are forgotten", n)
		}
	})
}

func TestStopEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bucket
		b.Set(1, 1)
		stop := make(chan struct{})
		go func() { time.Sleep(time.Second); close(stop) }()
		if d := elapsed(func() { b.Spend(1e9, stop) }); d != time.Second {
			t.Errorf("stopped after %v", d)
		}
		if n := b.Grant(5, 5, stop); n != 0 {
			t.Errorf("granted %d after stop", n)
		}
	})
}

// Whatever is asked in whatever order by however many: never more than the
// burst and what the rate gives in the time.
func TestBucketNeverGivesMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate, burst := rapid.IntRange(1, 1e6).Draw(rt, "rate"), rapid.IntRange(1, 1e6).Draw(rt, "burst")
		asks := rapid.SliceOfN(rapid.IntRange(1, 1e5), 1, 30).Draw(rt, "asks")
		synctest.Test(t, func(*testing.T) {
			var b Bucket
			b.Set(float64(rate), float64(burst))
			var mu sync.Mutex
			var wg sync.WaitGroup
			start, given := time.Now(), 0
			for _, n := range asks {
				wg.Go(func() {
					got := b.Grant(n, n/2+1, nil)
					mu.Lock()
					defer mu.Unlock()
					given += got
					if most := float64(burst) + time.Since(start).Seconds()*float64(rate); float64(given) > math.Ceil(most)+1 {
						rt.Fatalf("%d given, at most %v", given, most)
					}
				})
			}
			wg.Wait()
		})
	})
}

func TestSettingsReachEachLimit(t *testing.T) {
	l := &Limits{}
	l.Set(Settings{BandwidthRate: 10, BandwidthBurst: 20, CircuitRate: 1, CircuitBurst: 2, RequestRate: 3, RequestBurst: 4, FetchRate: 60, FetchBurst: 5})
	for name, want := range map[string]struct {
		b           *Bucket
		rate, burst float64
	}{
		"down": {l.Down(), 10, 20}, "up": {l.Up(), 10, 20}, "circuits": {l.Circuits(), 1, 2},
		"requests": {l.Requests(), 3, 4}, "fetches": {l.Fetches(), 1, 5},
	} {
		if want.b.rate != want.rate || want.b.burst != want.burst {
			t.Errorf("%s: %v a second, burst %v", name, want.b.rate, want.b.burst)
		}
	}
}

func BenchmarkSpend(b *testing.B) {
	var l Bucket
	l.Set(1e12, 1e12)
	b.ReportAllocs()
	for b.Loop() {
		l.Spend(16384, nil)
	}
}
