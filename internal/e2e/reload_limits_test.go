package e2e

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// bandwidth: a download cannot be faster than the limit, and one under way is
// when the limit goes.
func bandwidth(t *testing.T, l *lab) {
	l.set(t, "BandwidthRate 100 KBytes", "BandwidthBurst 100 KBytes")
	start := time.Now()
	if _, n, err := l.client.get(t.Context(), "bandwidth", resource(l.n, 400<<10)); err != nil || n != 400<<10 {
		t.Fatal(n, err)
	}
	if took := time.Since(start); took < 2900*time.Millisecond {
		t.Fatalf("400 KiB at 100 KiB/s after 100 at once came in %v", took)
	}
	done := make(chan error, 1)
	go func() { // 200 s at this rate
		_, _, err := l.client.get(t.Context(), "bandwidth", resource(l.n, 20<<20))
		done <- err
	}()
	l.set(t)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the download does not notice that the limit is gone")
	}
}

// overloaded counts streams that ended because of a limit of ours.
func (l *lab) overloaded(from int) (n int) {
	log, _ := l.events(from)
	for _, e := range log {
		if e.GetStreamEnded().GetOutcome() == chivev1.Outcome_OUTCOME_OVERLOADED {
			n++
		}
	}
	return n
}

// requestRate: requests beyond it are refused in SOCKS, and told.
func requestRate(t *testing.T, l *lab) {
	l.set(t, "SocksRequestRate 1", "SocksRequestBurst 1")
	_, from := l.events(0)
	var mu sync.Mutex
	var wg sync.WaitGroup
	ok, refused := 0, 0
	for range 40 {
		wg.Go(func() {
			c, err := net.Dial("tcp", l.socks)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			err = socksRequest(c, "rate", 0xf0, "target.test", 0)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ok++
			case err.Error() == "SOCKS replies [5 2 1 0 5 1 0 1 0 0 0 0 0 0]":
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ok == 0 || refused == 0 {
		t.Fatalf("%d served, %d refused", ok, refused)
	}
	l.until(t, patience, "every refusal is told", func() bool { return l.overloaded(from) == refused })
}

// circuitRate: requests wait for circuits that may not be built yet.
func circuitRate(t *testing.T, l *lab) {
	l.set(t, "CircuitRate 2", "CircuitBurst 1", "EnableCircuitPrebuilding 0", "MaxClientCircuitsPending 1")
	l.drained(t)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 6 {
		get := l.get(t, fmt.Sprintf("circuitRate%d", i))
		wg.Go(func() {
			if err := get(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took < 2400*time.Millisecond {
		t.Errorf("6 circuits at 2 a second, 1 at once, took %v", took)
	}
}

// memory: applications that do not read are ended, the longest waiting first,
// when too much waits for them; new requests are served again afterwards.
func memory(t *testing.T, l *lab) {
	path := filepath.Join(t.TempDir(), "s")
	l.set(t, "MaxMemInQueues 16 MBytes", "SocksPort unix:"+path+" RelaxDirModeCheck")
	_, from := l.events(0)
	pressure := func(over bool) func() bool {
		return func() bool {
			log, _ := l.events(from)
			for _, e := range log {
				if p := e.GetMemoryPressure(); p != nil && p.GetOver() == over {
					return true
				}
			}
			return false
		}
	}
	target := l.n.Target()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := 0; i < 150 && !pressure(true)(); i++ {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		if err := socksRequest(c, "memory", 1, target.IP.String(), uint16(target.HTTPPort)); err != nil {
			continue // refused: the pressure is there
		}
		if _, err := io.WriteString(c, "GET /bytes/2000000 HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	l.until(t, patience, "memory pressure", pressure(true))
	l.until(t, patience, "streams that are ended for it", func() bool { return l.overloaded(from) > 0 })
	l.until(t, patience, "no memory pressure", pressure(false))
	for _, c := range open { // what is left of them may fill what has become free
		c.Close()
	}
	l.until(t, patience, "the streams have ended, and there is no memory pressure any more", func() bool {
		log, _ := l.events(from)
		over := true
		for _, e := range log {
			if p := e.GetMemoryPressure(); p != nil {
				over = p.GetOver()
			}
		}
		return !over && l.streaming() == 0
	})
	l.once(t)
}
