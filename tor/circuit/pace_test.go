package circuit

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
)

// However often it is asked, and however the cells are cut, no more goes in any time than
// the rate of that time and one burst, and one cell; and all of the rate can be had.
func TestPaceKeepsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.OneOf(rapid.Uint32Range(1, 50), rapid.Uint32Range(1, math.MaxInt32/1000)).Draw(t, "rate")
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "begin"))
		clock := func() time.Duration { return now }
		var p pace
		p.set(rate, now)
		type moment struct {
			at   time.Duration
			sent int64 // bytes before
		}
		sent, moments := int64(0), []moment{{now, 0}}
		limit := func(passed time.Duration) float64 {
			return float64(rate)*1000*passed.Seconds() + float64(p.burst()) + cell.MaxRelayData
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += time.Duration(rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, int64(300*time.Millisecond))).Draw(t, "pause"))
			moments = append(moments, moment{now, sent})
			for n := min(p.room(clock), rapid.IntRange(0, 2000).Draw(t, "cells")); n > 0; n-- {
				size := rapid.SampledFrom([]int{1, 100, cell.MaxRelayData}).Draw(t, "size")
				p.spend(size)
				sent += int64(size)
			}
		}
		for _, m := range moments {
			if got := float64(sent - m.sent); got > limit(now-m.at) {
				t.Fatalf("%.0f bytes in %v at %d kB/s", got, now-m.at, rate)
			}
		}
	})
}

// A stream that waits as long as it is told gets its whole rate, at few wake-ups.
func TestPaceGivesItsRate(t *testing.T) {
	for _, rate := range []uint32{1, 7, 100, 12_345, 2_000_000} {
		var (
			p    pace
			now  time.Duration
			sent int64
			wake int
		)
		clock := func() time.Duration { return now }
		p.set(rate, now)
		for now < 20*time.Second {
			for ; p.room(clock) > 0; sent += cell.MaxRelayData {
				p.spend(cell.MaxRelayData)
			}
			wait := p.wait(clock)
			if wait <= 0 {
				t.Fatalf("%d kB/s: nothing may go, and the wait is %v", rate, wait)
			}
			now += wait
			wake++
			if p.room(clock) == 0 {
				t.Fatalf("%d kB/s: nothing may go after the wait", rate)
			}
		}
		if want := int64(rate) * 1000 * 20; sent < want-2*p.burst() {
			t.Errorf("%d kB/s: %d bytes in 20 s", rate, sent)
		}
		if wake > 20*20+1 {
			t.Errorf("%d kB/s: woken %d times in 20 s", rate, wake)
		}
	}
}

func TestPaceWithoutLimit(t *testing.T) {
	never := func() time.Duration { t.Error("the clock is asked"); return 0 }
	for _, rate := range []uint32{0, math.MaxInt32/1000 + 1, math.MaxUint32} {
		var p pace
		p.set(5, 0)
		p.spend(10_000)
		p.set(rate, 0)
		if p.room(never) != math.MaxInt || p.wait(never) != 0 {
			t.Errorf("rate %d is a limit", rate)
		}
	}
}

// A new rate takes the debt of the old one along, and gives no second burst.
func TestPaceOfAnotherRate(t *testing.T) {
	var p pace
	now := time.Duration(0)
	clock := func() time.Duration { return now }
	p.set(100, now)
	for p.room(clock) > 0 {
		p.spend(cell.MaxRelayData)
	}
	p.set(1000, now)
	if n := p.room(clock); n != 0 {
		t.Errorf("%d cells may go for nothing but a new rate", n)
	}
	now += time.Second
	if n := p.room(clock); n != (100_000+497)/498 {
		t.Errorf("%d cells may go after a second, want a burst", n)
	}
	p.set(1, now)
	if n := p.room(clock); n != 1 {
		t.Errorf("%d cells may go at the slowest rate, want 1", n)
	}
}

// uploading is a circuit with congestion control and a stream that has sent so many full
// cells, all acknowledged.
func uploading(t *testing.T, cells int) (*relays, *Circuit, cell.StreamID) {
	t.Helper()
	r := congested(t)
	c := r.build()
	id := r.stream(c)
	r.upload(c, id, cells)
	return r, c, id
}

// upload sends full cells and acknowledges them as the far end does; it stops when no more
// may go.
func (r *relays) upload(c *Circuit, id cell.StreamID, cells int) (sent int) {
	r.t.Helper()
	for sent < cells {
		out, n := c.Send(nil, id, make([]byte, cell.MaxRelayData), 1)
		if n == 0 {
			return sent
		}
		sent++
		r.sent(out)
		if r.uploaded++; r.uploaded%31 == 0 {
			tag := r.layers[len(r.layers)-1].ForwardTag()
			if _, err := r.deliver(c, cell.RelaySendme, 0, cell.AppendSendmeV1(nil, tag.Bytes())); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return sent
}

// The rate in XON holds (proposal 324 §4.1.2), in virtual time.
func TestXonRateIsObeyed(t *testing.T) {
	r, c, id := uploading(t, 600)
	r.frozen = true
	if ev, err := r.deliver(c, cell.RelayXon, id, cell.AppendXon(nil, 100)); err != nil || ev.Kind != MayPackage {
		t.Fatalf("%v, %v", ev.Kind, err)
	}
	burst := r.upload(c, id, 1000)
	if burst != 21 { // 10 000 bytes
		t.Errorf("%d cells at once, want 21", burst)
	}
	wait := c.Paced(id)
	if wait <= 0 || wait > 100*time.Millisecond || c.Sendable(id) != 0 {
		t.Errorf("%d cells may go, wait %v", c.Sendable(id), wait)
	}
	total := 0
	for until := r.now + 10*time.Second; r.now < until; {
		r.now += c.Paced(id)
		total += r.upload(c, id, 1000)
	}
	if total*cell.MaxRelayData > 1_010_000 || total*cell.MaxRelayData < 980_000 {
		t.Errorf("%d cells in ten seconds at 100 kB/s", total)
	}
	other := r.stream(c)
	if n := r.upload(c, other, 200); n != 200 || c.Paced(other) != 0 {
		t.Errorf("%d cells of another stream: the rate is one stream's", n)
	}
	if _, err := r.deliver(c, cell.RelayXon, id, cell.AppendXon(nil, 0)); err != nil {
		t.Fatal(err)
	}
	if n := r.upload(c, id, 1000); n != 1000 || c.Paced(id) != 0 {
		t.Errorf("%d cells without a limit", n)
	}
}

// What else holds a stream back ends with a cell, not with time.
func TestPacedIsForTheRateOnly(t *testing.T) {
	r, c, id := uploading(t, 600)
	r.frozen = true
	if _, err := r.deliver(c, cell.RelayXon, id, cell.AppendXon(nil, 1)); err != nil {
		t.Fatal(err)
	}
	r.upload(c, id, 100)
	if c.Paced(id) == 0 {
		t.Fatal("no wait at the slowest rate")
	}
	if _, err := r.deliver(c, cell.RelayXoff, id, cell.AppendXoff(nil)); err != nil {
		t.Fatal(err)
	}
	if c.Paced(id) != 0 || c.Sendable(id) != 0 {
		t.Errorf("stopped, %d cells may go, wait %v", c.Sendable(id), c.Paced(id))
	}
	other := r.stream(c)
	if c.Send(nil, other, bytes.Repeat([]byte{1}, 1<<20), math.MaxInt); c.Sendable(other) != 0 || c.Paced(other) != 0 {
		t.Errorf("no window, %d cells may go, wait %v", c.Sendable(other), c.Paced(other))
	}
	if c.Paced(id+other) != 0 {
		t.Error("a wait for no stream")
	}
}

// A far end may stop a stream and change its rate as often as what we sent explains, and no
// more often (proposal 324 §4.1.4): half of the consensus's numbers for each, as Arti does.
func TestXoffAndXonAreEarned(t *testing.T) {
	const (
		xoff = cell.RelayXoff
		xon  = cell.RelayXon
	)
	for name, tt := range map[string]struct {
		sent int // full cells
		say  []cell.RelayCommand
		ok   int // of them are
	}{
		"XOFF for a cell too few":       {249, []cell.RelayCommand{xoff}, 0},
		"XOFF for as much":              {250, []cell.RelayCommand{xoff}, 1},
		"XON after XOFF needs no data":  {250, []cell.RelayCommand{xoff, xon}, 2},
		"two XOFFs":                     {5000, []cell.RelayCommand{xoff, xoff}, 1},
		"XOFF, XON and XOFF":            {499, []cell.RelayCommand{xoff, xon, xoff}, 2},
		"XOFF, XON and XOFF for enough": {500, []cell.RelayCommand{xoff, xon, xoff}, 3},
		"XON for a cell too few":        {249, []cell.RelayCommand{xon}, 0},
		"XONs":                          {749, []cell.RelayCommand{xon, xon, xon}, 2},
		"XON after XON after XOFF":      {250, []cell.RelayCommand{xoff, xon, xon, xon}, 3},
	} {
		for _, ended := range []bool{false, true} { // a stream that we ended is no exception
			t.Run(name, func(t *testing.T) {
				r, c, id := uploading(t, tt.sent)
				if ended {
					r.end(c, id)
				}
				for i, command := range tt.say {
					data := cell.AppendXoff(nil)
					if command == xon {
						data = cell.AppendXon(nil, 0)
					}
					_, err := r.deliver(c, command, id, data)
					if i < tt.ok && err != nil {
						t.Fatalf("%v %d: %v", command, i+1, err)
					}
					if i == tt.ok && (!errors.Is(err, ErrUnexpected) || c.State() != Closed) {
						t.Fatalf("%v %d: %v, state %v", command, i+1, err, c.State())
					}
				}
			})
		}
	}
}

// A long upload earns no storm: what was sent long ago is forgotten.
func TestXoffsOfALongUpload(t *testing.T) {
	var s stops
	for range 100_000 {
		s.sent(cell.MaxRelayData)
	}
	n := 0
	for ; s.xoff(testFlow) == nil && s.xon(testFlow) == nil; n++ {
	}
	if n != maxCredit/(250*cell.MaxRelayData) {
		t.Errorf("%d XOFFs after 50 MB", n)
	}
}
