package cores

import (
	"context"
	"runtime"
	"testing"
)

func TestLoaded(t *testing.T) {
	for _, c := range []struct {
		was  bool
		load float64
		want bool
	}{
		{true, 0.9, true},
		{true, 0.5, true},
		{true, 0.49, false},
		{true, 0, false},
		{false, 0.9, true},
		{false, 0.7, true},
		{false, 0.69, false},
		{false, 0, false},
	} {
		if got := loaded(c.was, c.load); got != c.want {
			t.Errorf("loaded(%v, %v) = %v", c.was, c.load, got)
		}
	}
}

func TestNarrowAndWide(t *testing.T) {
	was := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(was)
	runtime.SetDefaultGOMAXPROCS() // who set another number is left alone by Govern
	all := runtime.GOMAXPROCS(0)
	if all == 1 {
		t.Skip("one core")
	}
	want := func(n int, when string) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != n {
			t.Errorf("%s: %d cores, want %d", when, got, n)
		}
	}
	Wide()()
	want(all, "not governed")
	set(func() { governor.on, governor.loaded = true, false })
	want(1, "idle")
	one, two := Wide(), Wide()
	want(all, "computing")
	one()
	one() // only the first call counts
	want(all, "one of two is done")
	two()
	want(1, "both are done")
	set(func() { governor.loaded = true })
	want(all, "loaded")
	set(func() { governor.on = false })
	want(all, "in the end")
}

func TestGovernEnds(t *testing.T) {
	all := runtime.GOMAXPROCS(0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Govern(ctx)
	}()
	cancel()
	<-done
	if got := runtime.GOMAXPROCS(0); got != all {
		t.Errorf("%d cores afterwards, want %d", got, all)
	}
	before := used()
	for x := 0; used() == before; x++ {
		if x > 1<<30 {
			t.Fatal("CPU time does not grow")
		}
	}
}
