package congestion

import (
	"errors"
	"time"
)

// ErrUnexpected is a SENDME that nothing was sent for.
var ErrUnexpected = errors.New("congestion: a SENDME for cells that were not sent")

// jump is by how much a round trip may differ from the average before it is the clock's
// fault, or a sleeping peer's.
const jump = 5000

// Vegas is the control of one circuit in one direction. It is not safe for concurrent
// use.
type Vegas struct {
	p         Params
	window    int
	inflight  int // cells sent and not acknowledged
	slowStart bool
	full      bool  // the window was used up since it was last looked at
	blocked   bool  // the connection takes no more
	untilMove int   // SENDMEs to the next move of the window
	untilFull int   // SENDMEs to the next look whether it is used
	smallest  int64 // round trip in µs
	average   int64 // the same; 0: no round trip yet
	stalled   bool  // the clock stood still lately
	sent      []time.Duration
	head      int // of sent
}

// New begins in slow start. A window smaller than what one SENDME is for would never earn
// one, and the circuit would stand still: where the consensus and what the far end granted
// say so, a SENDME's cells are the window all the same.
func New(p Params) *Vegas {
	p.Max = max(p.Max, p.SendmeIncrement)
	p.Min = min(max(p.Min, p.SendmeIncrement), p.Max)
	v := &Vegas{p: p, window: min(max(p.Initial, p.SendmeIncrement), p.Max), slowStart: true}
	v.untilMove = v.movesEvery()
	return v
}

// Window is how many cells may be on their way.
func (v *Vegas) Window() int { return v.window }

// InFlight is how many are.
func (v *Vegas) InFlight() int { return v.inflight }

// SlowStart says whether it has not left slow start yet.
func (v *Vegas) SlowStart() bool { return v.slowStart }

// RTT is the average round-trip time; 0 before the first.
func (v *Vegas) RTT() time.Duration { return time.Duration(v.average) * time.Microsecond }

// Room is how many cells may be sent now.
func (v *Vegas) Room() int { return max(0, v.window-v.inflight) }

// Sent counts a cell. It says whether the far end acknowledges it by a SENDME, for whose
// proof the caller must remember the cell; only then it asks what time it is.
func (v *Vegas) Sent(now func() time.Duration) (acknowledged bool) {
	v.inflight++
	if v.inflight%v.p.SendmeIncrement != 0 {
		return false
	}
	if v.head > len(v.sent)/2 { // move down what is left, now and then
		n := copy(v.sent, v.sent[v.head:])
		v.sent, v.head = v.sent[:n], 0
	}
	v.sent = append(v.sent, now())
	return true
}

// Acknowledged takes a SENDME. blocked says whether the connection takes no more cells
// now. Errors: ErrUnexpected.
func (v *Vegas) Acknowledged(now time.Duration, blocked bool) error {
	if v.head == len(v.sent) || v.inflight < v.p.SendmeIncrement {
		return ErrUnexpected
	}
	at := v.sent[v.head]
	v.head++
	v.untilMove, v.untilFull = max(0, v.untilMove-1), max(0, v.untilFull-1)
	measured := v.measure((now - at).Microseconds())
	// A blocked connection is a signal at once, and so is one that no longer is.
	if v.average > 0 && blocked != v.blocked {
		v.untilMove = 0
	}
	v.blocked = blocked
	// It also is one where the clock stood still; what was measured before has to do.
	if measured || blocked && v.average > 0 {
		v.move()
	}
	v.inflight -= v.p.SendmeIncrement
	return nil
}

// measure takes a round trip in µs. False: the estimates are not to be acted on.
func (v *Vegas) measure(rtt int64) bool {
	if v.odd(rtt) {
		return false
	}
	n := int64(v.averageOver())
	if v.average == 0 {
		v.average = rtt
	} else {
		v.average = (2*rtt + (n-1)*v.average) / (n + 1)
	}
	switch {
	case v.window == v.p.Min && !v.slowStart && v.smallest > 0:
		// The window is as small as it gets: the smallest round trip was a freak.
		percent := int64(v.p.ResetPercent)
		v.smallest = percent*max(v.average, v.smallest)/100 + (100-percent)*min(v.average, v.smallest)/100
	case v.smallest == 0 || v.average < v.smallest:
		// The average rather than the round trip itself: others' bursts are averaged out.
		v.smallest = v.average
	}
	return true
}

// odd says whether a round trip tells more of the clock, or of a peer that slept, than of
// the network.
func (v *Vegas) odd(rtt int64) bool {
	if rtt <= 0 {
		v.stalled = true
		return true
	}
	if v.slowStart || v.average == 0 {
		return false // too little is known
	}
	if v.average > rtt*jump {
		return v.stalled // it may have stood still during this one only
	}
	if rtt > v.average*jump {
		return true
	}
	v.stalled = false
	return false
}

// averageOver is how many round trips the average is over: they come once a SENDME, and
// are acted on once a window after slow start.
func (v *Vegas) averageOver() int {
	if v.slowStart {
		return max(2, v.p.AverageSlowStart)
	}
	return max(2, min(v.movesEvery()*v.p.AveragePercent/100, v.p.AverageMax))
}

// move is the algorithm.
func (v *Vegas) move() {
	onWire := int(int64(v.window) * v.smallest / v.average)
	queue := max(0, v.window-onWire)
	if v.inflight+v.p.FullGap*v.p.SendmeIncrement >= v.window {
		v.full = true
	} else if 100*v.inflight < v.p.FullPercent*v.window {
		v.full = false
	}
	if v.slowStart {
		v.start(onWire, queue)
	} else if v.untilMove == 0 {
		v.steady(onWire, queue)
	}
	if !v.slowStart {
		v.window = max(v.window, v.p.Min)
	}
	v.window = min(v.window, v.p.Max)
	if v.untilFull == 0 {
		v.untilFull = v.sendmesPerWindow()
	}
	if v.untilMove == 0 {
		v.untilMove = v.movesEvery()
	}
	if v.p.FullPerWindow && v.untilFull == v.sendmesPerWindow() || !v.p.FullPerWindow && v.untilMove == v.movesEvery() {
		v.full = false
	}
}

// start is slow start, limited as RFC 3742 says.
func (v *Vegas) start(onWire, queue int) {
	if queue >= v.p.Gamma || v.blocked {
		v.window = onWire + v.p.Gamma
		v.slowStart = false
	} else if v.full {
		step := v.step()
		v.window += step
		if step*v.sendmesPerWindow() <= v.p.Increment*v.p.UpdatesPerWindow {
			v.slowStart = false // the steady state is no slower
		}
	}
	if v.window >= v.p.SlowStartMax {
		v.window, v.slowStart = v.p.SlowStartMax, false
	}
}

// step is what slow start adds for a SENDME.
func (v *Vegas) step() int {
	if v.window <= v.p.SlowStartCap {
		return (v.p.SlowStartPercent*v.p.SendmeIncrement + 50) / 100
	}
	return max(1, (v.p.SendmeIncrement*v.p.SlowStartCap+v.window)/(2*v.window))
}

func (v *Vegas) steady(onWire, queue int) {
	switch {
	case queue > v.p.Delta:
		v.window = onWire + v.p.Delta - v.p.Increment
	case queue > v.p.Beta || v.blocked:
		v.window -= v.p.Increment
	case v.full && queue < v.p.Alpha:
		v.window += v.p.Increment
	}
}

// sendmesPerWindow is the number of SENDMEs for a whole window, rounded.
func (v *Vegas) sendmesPerWindow() int {
	return (v.window + v.p.SendmeIncrement/2) / v.p.SendmeIncrement
}

// movesEvery is how many SENDMEs lie between moves of the window.
func (v *Vegas) movesEvery() int {
	if v.slowStart {
		return 1
	}
	per := v.p.UpdatesPerWindow * v.p.SendmeIncrement
	return (v.window + per/2) / per
}
