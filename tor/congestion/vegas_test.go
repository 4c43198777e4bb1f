package congestion

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func defaults(_ string, def, _, _ int32) int32 { return def }

func exit() *Vegas { return New(ParamsOf(defaults, PathExit, 31)) }

func usec(n int) time.Duration { return time.Duration(n) * time.Microsecond }

func at(now time.Duration) func() time.Duration { return func() time.Duration { return now } }

type line struct {
	word string
	n    []int
}

func traces(t *testing.T) (all []line) {
	t.Helper()
	f, err := os.Open("testdata/traces.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if words[0] == "#" {
			continue
		}
		l := line{word: words[0]}
		for _, w := range words[1:] {
			n, err := strconv.Atoi(w)
			if err != nil {
				t.Fatal(err)
			}
			l.n = append(l.n, n)
		}
		all = append(all, l)
	}
	return all
}

func TestPublishedRoundTrips(t *testing.T) {
	v, n := exit(), 0
	for _, l := range traces(t) {
		if l.word != "rtt" {
			continue
		}
		n++
		v.window, v.slowStart = l.n[2], l.n[3] == 1
		v.measure(int64(l.n[1] - l.n[0]))
		if v.average != int64(l.n[4]) || v.smallest != int64(l.n[5]) {
			t.Errorf("step %d: average %d, smallest %d; want %d", n, v.average, v.smallest, l.n[4:])
		}
	}
	if n != 9 {
		t.Errorf("%d steps, want 9", n)
	}
}

func TestPublishedRuns(t *testing.T) {
	var v *Vegas
	runs, steps := 0, 0
	all := traces(t)
	for i, l := range all {
		switch l.word {
		case "new":
			v = exit()
			runs, steps = runs+1, 0
			for _, later := range all[i+1:] {
				if later.word != "run" {
					break
				}
				v.sent = append(v.sent, usec(later.n[0]))
			}
		case "run":
			steps++
			v.inflight = l.n[3]
			if err := v.Acknowledged(usec(l.n[1]), l.n[2] == 1); err != nil {
				t.Fatalf("run %d, step %d: %v", runs, steps, err)
			}
			is := []int{int(v.average), int(v.smallest), v.window, number(v.slowStart), number(v.full), number(v.blocked)}
			for k, want := range l.n[4:] {
				if is[k] != want {
					t.Fatalf("run %d, step %d: %d, want %d", runs, steps, is, l.n[4:])
				}
			}
		}
	}
	if runs != 4 {
		t.Errorf("%d runs, want 4", runs)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Cells are acknowledged in the order they were sent, and never more than were.
func TestUnexpectedSENDMEs(t *testing.T) {
	v := exit()
	if err := v.Acknowledged(usec(1), false); !errors.Is(err, ErrUnexpected) {
		t.Errorf("a SENDME for nothing: %v", err)
	}
	for i := range 31 {
		if got := v.Sent(at(usec(i))); got != (i == 30) {
			t.Errorf("cell %d is acknowledged: %v", i, got)
		}
	}
	if v.InFlight() != 31 || v.Room() != 124-31 {
		t.Errorf("%d in flight, room for %d", v.InFlight(), v.Room())
	}
	if err := v.Acknowledged(usec(100), false); err != nil {
		t.Error(err)
	}
	if err := v.Acknowledged(usec(101), false); !errors.Is(err, ErrUnexpected) {
		t.Errorf("a second SENDME: %v", err)
	}
}

// A clock that stands still or leaps tells nothing, and takes nothing away.
func TestClockTroubleIsNoSignal(t *testing.T) {
	v := exit()
	v.slowStart, v.average, v.smallest = false, 100_000, 90_000
	if v.measure(0) || v.measure(100_000*jump+1) {
		t.Error("a round trip of nothing, or of ages, is taken")
	}
	if v.average != 100_000 || v.smallest != 90_000 {
		t.Errorf("average %d, smallest %d", v.average, v.smallest)
	}
	if v.measure(19) {
		t.Error("a tiny round trip is taken although the clock stood still")
	}
	if !v.measure(100_000) || !v.measure(19) {
		t.Error("a round trip is not taken although the clock runs again")
	}
	never := exit()
	for i := range 31 {
		never.Sent(at(usec(i)))
	}
	if err := never.Acknowledged(usec(30), false); err != nil || never.window != 124 {
		t.Errorf("window %d, %v after a clock that never ran", never.window, err)
	}
}

// Whatever the network does, the window stays within its bounds and the memory within
// the window's.
// A connection that takes no more cells makes the window smaller also while the clock stands
// still, as with C tor; one that does take them leaves it as it is.
func TestBlockedWhileTheClockStandsStill(t *testing.T) {
	for _, blocked := range []bool{true, false} {
		v := exit()
		send := func(cells int, now time.Duration) {
			for range cells {
				v.Sent(at(now))
			}
		}
		send(4*31, 0)
		now := usec(100_000)
		for range 4 {
			if err := v.Acknowledged(now, true); err != nil { // which ends slow start
				t.Fatal(err)
			}
		}
		before := v.Window()
		for range 100 {
			send(31, now)
			if err := v.Acknowledged(now, blocked); err != nil {
				t.Fatal(err)
			}
		}
		if smaller := v.Window() < before; smaller != blocked {
			t.Errorf("blocked %v: window %d after %d", blocked, v.Window(), before)
		}
	}
}

func TestWindowStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := ParamsOf(defaults, PathExit, rapid.IntRange(16, 62).Draw(t, "increment"))
		p.Max = rapid.IntRange(500, 3000).Draw(t, "most")
		v := New(p)
		now := time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			for range min(v.Room(), rapid.IntRange(0, 400).Draw(t, "cells")) {
				v.Sent(at(now))
			}
			now += usec(rapid.IntRange(0, 1_000_000).Draw(t, "wait"))
			for range rapid.IntRange(0, 8).Draw(t, "SENDMEs") {
				if err := v.Acknowledged(now, rapid.Bool().Draw(t, "blocked")); err != nil {
					break
				}
			}
			if v.window > p.Max || v.window < min(p.Min, p.Initial) || v.inflight < 0 {
				t.Fatalf("window %d, in flight %d", v.window, v.inflight)
			}
			if n := len(v.sent) - v.head; n != v.inflight/p.SendmeIncrement {
				t.Fatalf("%d moments for %d cells", n, v.inflight)
			}
		}
	})
}

func BenchmarkSentAndAcknowledged(b *testing.B) {
	v := exit()
	b.ReportAllocs()
	now := time.Duration(0)
	clock := func() time.Duration { return now }
	for range b.N {
		now += usec(10)
		if v.Sent(clock) {
			_ = v.Acknowledged(now+usec(50_000), false)
		}
	}
}

// Whatever the consensus says and the far end grants, a window's worth of cells earns a
// SENDME: a circuit never waits for one that cannot come (proposal 324, cc_cwnd_min).
func TestNeverStandsStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		consensus := func(name string, _, low, high int32) int32 {
			return rapid.OneOf(rapid.Just(low), rapid.Just(high), rapid.Int32Range(low, min(high, 2000))).Draw(t, name)
		}
		increment := Increment(consensus)
		granted := rapid.IntRange((increment+1)/2, min(2*increment, 255)).Draw(t, "granted")
		path := rapid.SampledFrom([]Path{PathExit, PathOnion}).Draw(t, "path")
		v := New(ParamsOf(consensus, path, granted))
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			due := 0
			for range min(v.Room(), 3000) {
				if v.Sent(at(now)) {
					due++
				}
			}
			if due == 0 {
				t.Fatalf("window %d, %d in flight, and no SENDME of %d cells is due", v.Window(), v.InFlight(), granted)
			}
			now += usec(rapid.IntRange(1, 3_000_000).Draw(t, "round trip"))
			for range due {
				if err := v.Acknowledged(now, rapid.Bool().Draw(t, "blocked")); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// The least windows that a consensus may say, with the most cells a SENDME that a relay may
// grant beside them.
func TestWindowIsNoSmallerThanASENDME(t *testing.T) {
	least := func(_ string, _, low, _ int32) int32 { return low }
	p := ParamsOf(least, PathExit, 62)
	if p.Initial != 31 || p.Min != 31 || p.Gamma != 0 {
		t.Fatalf("the least that a consensus may say is %+v", p)
	}
	v := New(p)
	for i := range 10 {
		if v.Room() < 62 {
			t.Fatalf("room for %d cells after %d SENDMEs", v.Room(), i)
		}
		for range 62 {
			v.Sent(at(usec(1 + i*1000)))
		}
		if err := v.Acknowledged(usec(100+i*(1000+100*i)), true); err != nil {
			t.Fatal(err)
		}
	}
}
