package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"chive/messages"
)

// BenchmarkAppend tells beside the median of an append what the disk alone takes to sync
// as many bytes.
func BenchmarkAppend(b *testing.B) {
	dir := b.TempDir()
	j := open(b, Options{Dir: filepath.Join(dir, "journal"), MaxBytes: 1 << 30})
	f, err := os.OpenFile(filepath.Join(dir, "alone"), os.O_CREATE|os.O_WRONLY|syscall.O_SYNC, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	ctx := testContext(b)
	data := make([]byte, 200)
	var journal, disk []time.Duration
	n := uint64(0)
	for b.Loop() {
		start := time.Now()
		n, err = j.Append(ctx, messages.JournalAppend{
			Aggregate: "guards", Expected: n, ID: fmt.Sprint("b-", n), Events: []messages.JournalEvent{{Kind: "said", Version: 1, Data: data}},
		})
		if err != nil {
			b.Fatal(err)
		}
		journal = append(journal, time.Since(start))
		start = time.Now()
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		disk = append(disk, time.Since(start))
	}
	slices.Sort(journal)
	slices.Sort(disk)
	b.ReportMetric(float64(journal[len(journal)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(journal[len(journal)*99/100].Microseconds()), "µs-p99")
	b.ReportMetric(float64(disk[len(disk)/2].Microseconds()), "µs-p50-disk")
}

func BenchmarkReplay10000(b *testing.B) {
	for _, each := range []uint64{1, 10} {
		b.Run(fmt.Sprint(each, "-an-append"), func(b *testing.B) {
			dir := b.TempDir()
			j := open(b, Options{Dir: dir})
			x := &indexed{store: j.open.store, aggregates: j.open.aggregates}
			ctx := testContext(b)
			for n := uint64(0); n < 10000; n += each {
				r := &record{aggregate: "guards", id: fmt.Sprint(n), before: n, sequence: n + each}
				for range each {
					r.events = append(r.events, messages.JournalEvent{Kind: "said", Version: 1, Data: make([]byte, 100)})
				}
				if err := x.carry([]found{{r, r.encode()}}); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				count := 0
				if _, err := j.Load(ctx, "guards", nil, func(messages.JournalEntry) error { count++; return nil }); err != nil || count != 10000 {
					b.Fatal(count, err)
				}
			}
			start := time.Now()
			j.Close()
			open(b, Options{Dir: dir})
			b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-reopen")
		})
	}
}

// BenchmarkIdle tells what an open journal costs that nobody uses. The time is of no
// interest.
func BenchmarkIdle(b *testing.B) {
	before, heap := resident(b), heapInUse()
	j := open(b, Options{Dir: b.TempDir()})
	appendText1(b, j, "guards", 0, "a")
	rss, live := resident(b), heapInUse()
	cpu := used(b)
	start := time.Now()
	for b.Loop() {
		<-time.After(5 * time.Second)
	}
	b.ReportMetric(float64(rss-before)/1024, "KiB-rss")
	b.ReportMetric(float64(live-heap)/1024, "KiB-heap")
	b.ReportMetric(float64(used(b)-cpu)/float64(time.Since(start))*1e6, "ppm-cpu")
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func resident(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
