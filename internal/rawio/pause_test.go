package rawio_test

import (
	"testing"
	"time"

	"chive/internal/rawio"
)

func TestPauser(t *testing.T) {
	var p rawio.Pauser
	for _, d := range []time.Duration{time.Millisecond, 3 * time.Millisecond, time.Microsecond, 0, -1} {
		begun := time.Now()
		if p.Sleep(d); time.Since(begun) < d {
			t.Errorf("slept %v, and not %v", time.Since(begun), d)
		}
	}
	p.Close()
	begun := time.Now()
	if p.Sleep(time.Millisecond); time.Since(begun) < time.Millisecond { // as the runtime does it
		t.Error("it did not sleep after its end")
	}
	p.Close()
}

func TestPauserAllocates(t *testing.T) {
	var p rawio.Pauser
	defer p.Close()
	p.Sleep(time.Microsecond)
	if n := testing.AllocsPerRun(50, func() { p.Sleep(10 * time.Microsecond) }); n != 0 {
		t.Errorf("%v allocations a sleep", n)
	}
}
