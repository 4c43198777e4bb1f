package connection

import (
	"errors"
	"os"
	"testing"
	"time"
)

// A wait that brings nothing is left out for a while, longer each time, until one pays.
func TestRest(t *testing.T) {
	var r rest
	play := func(busy, waited bool, bursts int, want bool) {
		t.Helper()
		for i := range bursts {
			if got := r.due(busy, waited); got != want {
				t.Fatalf("burst %d: %t", i, got)
			}
		}
	}
	play(false, true, 3, false)
	play(true, false, 5, true) // each brought something
	play(true, true, 1, false)
	play(true, false, 1, true)
	play(true, true, 3, false)
	play(true, true, 1, true)
	for range 3 {
		play(true, true, mostVain, false)
		play(false, true, 4, false) // what is not busy counts for nothing
		play(true, false, 1, true)
	}
	play(true, false, 10, true)
	play(false, false, 1, false)
	play(true, true, 1, true)
}

// The reader knows whether it had to wait for what it read.
func TestWaited(t *testing.T) {
	here, there := sockets(t)
	r := newRecordConn(here)
	if _, err := there.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if n, err := r.receive(p); n != len(p) || err != nil || r.waited {
		t.Fatalf("what is there: %d bytes, %v, waited %t", n, err, r.waited)
	}
	for d := time.Millisecond; !r.waited; d *= 2 { // one that has passed already reads nothing
		if err := here.SetReadDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
		if n, err := r.receive(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
}
