package circuit

import (
	"fmt"
	"math"
	"time"

	"chive/tor/cell"
)

// pace holds a stream to the rate that its far end's application takes, which XON tells
// (proposal 324 §4.1.2), so that the far end need not stop and start it all the time. A
// token is a byte; a stream sends while it has any. The zero pace is no limit.
type pace struct {
	rate   int64         // bytes a second; 0: no limit
	tokens int64         // below zero, a cell went before all of it was earned
	at     time.Duration // up to when they are earned
}

// burstTime is how much of its rate a stream may send at once. It is less than C tor's
// second: what goes at once is what fills the far end's buffer again.
const burstTime = 100 * time.Millisecond

// set begins a rate in 1000 bytes a second, as XON says it. 0 is no limit, and so is what
// C tor takes for none.
func (p *pace) set(rate uint32, now time.Duration) {
	if rate == 0 || rate > math.MaxInt32/1000 {
		*p = pace{}
		return
	}
	p.earn(now)
	limited := p.rate > 0
	p.rate = int64(rate) * 1000
	if !limited {
		p.tokens, p.at = p.burst(), now
	}
	p.tokens = min(p.tokens, p.burst())
}

// burst is one full cell at least.
func (p *pace) burst() int64 {
	return max(p.rate*int64(burstTime)/int64(time.Second), cell.MaxRelayData)
}

// earn adds what the time since brought.
func (p *pace) earn(now time.Duration) {
	passed := now - p.at
	if p.rate == 0 || passed <= 0 {
		return
	}
	// A second fills any bucket: the slowest rate is two cells a second.
	gained := p.rate * int64(min(passed, time.Second)) / int64(time.Second)
	if p.tokens+gained >= p.burst() {
		p.tokens, p.at = p.burst(), now
		return
	}
	p.tokens += gained
	// Not up to now: the rest of a byte is kept, however often this is asked.
	p.at += time.Duration((gained*int64(time.Second) + p.rate - 1) / p.rate)
}

// room is how many cells may go now.
func (p *pace) room(now func() time.Duration) int {
	if p.rate == 0 {
		return math.MaxInt
	}
	p.earn(now())
	return int((max(0, p.tokens) + cell.MaxRelayData - 1) / cell.MaxRelayData)
}

func (p *pace) spend(bytes int) {
	if p.rate > 0 {
		p.tokens -= int64(bytes)
	}
}

// wait is how long until half a burst may go; 0 if anything may go now.
func (p *pace) wait(now func() time.Duration) time.Duration {
	if p.room(now) > 0 {
		return 0
	}
	missing := p.burst()/2 - p.tokens
	return time.Duration((missing*int64(time.Second) + p.rate - 1) / p.rate)
}

// stops is how a far end stopped a stream of ours, and let it go on. It may do so no more
// often than what we sent it can have filled its buffer, or else it marks our traffic with
// cells that mean nothing (proposal 324 §4.1.4):
//
//   - XOFF: once for each XoffExit cells of data, and never twice without XON between.
//   - XON after XOFF: once. Any other is an advice of another rate: once for each XonRate
//     cells of data.
//
// Like Arti we ask for half of that much data only, as the relay may know another consensus
// than we do. Like C tor we forget what was sent long ago: a long upload does not earn a
// storm.
type stops struct {
	stopped bool
	forXoff int // bytes sent that no XOFF was for yet, at most maxCredit
	forXon  int
}

// maxCredit is where C tor begins to forget, in bytes.
const maxCredit = 10 << 20

func (s *stops) sent(bytes int) {
	s.forXoff = min(s.forXoff+bytes, maxCredit)
	s.forXon = min(s.forXon+bytes, maxCredit)
}

// earned is what so many cells of the consensus are, in bytes.
func earned(cells int) int { return cells * cell.MaxRelayData / 2 }

// xoff takes an XOFF. Errors: ErrUnexpected.
func (s *stops) xoff(p FlowParams) error {
	if s.stopped {
		return fmt.Errorf("%w: a second XOFF", ErrUnexpected)
	}
	price := earned(min(p.XoffExit, p.XoffClient))
	if s.forXoff < price {
		return fmt.Errorf("%w: XOFF for %d bytes", ErrUnexpected, s.forXoff)
	}
	s.forXoff -= price
	s.stopped = true
	return nil
}

// xon takes an XON. Errors: ErrUnexpected.
func (s *stops) xon(p FlowParams) error {
	if s.stopped {
		s.stopped = false
		return nil
	}
	price := earned(min(p.XoffExit, p.XoffClient, p.XonRate))
	if s.forXon < price {
		return fmt.Errorf("%w: XON for %d bytes", ErrUnexpected, s.forXon)
	}
	s.forXon -= price
	return nil
}
