package conflux

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"chive/tor/cell"
)

// Why a set ends, or a call is refused. Errors of Receive, Next, Route and LegClosed other
// than ErrBlocked and ErrNotSequenced end the set, and its owner all its circuits.
var (
	// ErrUnexpected: a message that the leg's state does not allow.
	ErrUnexpected = errors.New("conflux: message that is not allowed in this state")
	// ErrNonce: the exit names another set.
	ErrNonce = errors.New("conflux: the exit links the circuit to another set")
	// ErrSequence: sequence numbers that cannot be.
	ErrSequence = errors.New("conflux: impossible sequence number")
	// ErrWaiting: more waits for its turn than there is memory for.
	ErrWaiting = errors.New("conflux: too much came before its turn")
	// ErrLost: what a leg carried may be lost with it.
	ErrLost = errors.New("conflux: a leg that was in use is gone")
	// ErrLegs: legs fail again and again.
	ErrLegs = errors.New("conflux: not enough legs could be linked")
	// ErrOver: the set ended before.
	ErrOver = errors.New("conflux: the set has ended")

	// ErrBlocked: no leg has room for DATA now. The set goes on.
	ErrBlocked = errors.New("conflux: no leg has room")
	// ErrNotSequenced: this command is not for a set. The set goes on.
	ErrNotSequenced = errors.New("conflux: command outside the sequence")
)

// Config is what a set is made of.
type Config struct {
	Params Params
	UX     UX            // what is asked of the exit; C tor's clients ask for HighThroughput
	MaxRTT time.Duration // a leg whose LINKED takes as long is given up: the circuit build timeout
	Rand   io.Reader     // crypto/rand's, but for tests
}

// State is where a set is in its life.
type State uint8

// The states; see the diagram in the package comment.
const (
	Linking State = iota
	Ready
	Over
)

// LegState is where a leg is in its life.
type LegState uint8

// The states; see the diagram in the package comment.
const (
	LegBuilding LegState = iota
	LegLinking
	LegLinked
	LegGone
)

// Set is the client's end of a set. Its legs are numbered from 0, in the order of their
// launch. It is not safe for concurrent use.
type Set struct {
	cfg   Config
	nonce [NonceLen]byte
	state State
	legs  []leg

	asked     UX     // what the exit wants of us
	sent      uint64 // the last sequence number that we gave
	delivered uint64 // the last one that was handed on
	current   int    // the leg that we send on; -1: none yet
	lost      int    // legs that went while the set was Ready
	waiting   store
	counters  Counters
}

type leg struct {
	state    LegState
	linkSent time.Time
	rtt      time.Duration
	room     int // DATA cells that may be sent
	sent     uint64
	received uint64
	switched bool // the last was a SWITCH
	queue    queue
}

// Counters are totals over a set's life.
type Counters struct {
	SwitchesIn, SwitchesOut uint64
	MostHeld                int // bytes that waiting messages had, at most
}

// New makes a set without legs.
func New(cfg Config) (*Set, error) {
	s := &Set{cfg: cfg, current: -1, waiting: store{most: cfg.Params.MaxWaiting / chunkSize}}
	if cfg.Params.Legs < 1 {
		return nil, fmt.Errorf("conflux: a set of %d legs", cfg.Params.Legs)
	}
	if _, err := io.ReadFull(cfg.Rand, s.nonce[:]); err != nil {
		return nil, fmt.Errorf("conflux: nonce: %w", err)
	}
	return s, nil
}

// State is where the set is in its life.
func (s *Set) State() State { return s.state }

// Leg is where a leg is in its life.
func (s *Set) Leg(i int) LegState { return s.legs[i].state }

// Asked is what the exit wants of us, once a leg is linked.
func (s *Set) Asked() UX { return s.asked }

// Linked is how many legs are linked.
func (s *Set) Linked() int { return s.linkedLegs() }

// RTT is the newest estimate of a leg's round trip; 0: none yet.
func (s *Set) RTT(leg int) time.Duration { return s.legs[leg].rtt }

// Counters returns the totals so far.
func (s *Set) Counters() Counters { return s.counters }

// MostWaiting is how many DATA messages of a whole cell may wait for their turn.
func (s *Set) MostWaiting() int { return s.waiting.most * chunkSize / (entryLen + cell.MaxRelayData) }

// Held is how much memory waiting messages have, in bytes; 0 if none waits.
func (s *Set) Held() int { return s.waiting.used() * chunkSize }

// Memory is Held with what is kept for the next that has to wait, in bytes.
func (s *Set) Memory() int { return s.waiting.out * chunkSize }

// Launch says that a circuit is to be built as a leg, with what number; ok is false if
// there are enough, or no more may be tried.
func (s *Set) Launch() (number int, ok bool) {
	p := s.cfg.Params
	if s.state != Linking || s.live() >= p.Legs || len(s.legs) >= p.Legs+p.Retries {
		return 0, false
	}
	s.legs = append(s.legs, leg{})
	return len(s.legs) - 1, true
}

// live is how many legs are not gone.
func (s *Set) live() (n int) {
	for i := range s.legs {
		if s.legs[i].state != LegGone {
			n++
		}
	}
	return n
}

// Opened appends the body of the LINK to send: the leg's circuit is open, to the exit
// of the set's other legs, and with congestion control. It goes out now.
func (s *Set) Opened(dst []byte, leg int, now time.Time) ([]byte, error) {
	l := &s.legs[leg]
	if s.state != Linking || l.state != LegBuilding {
		return dst, fmt.Errorf("%w: leg %d opened", ErrUnexpected, leg)
	}
	l.state, l.linkSent = LegLinking, now
	link := Link{Nonce: s.nonce, UX: s.cfg.UX}
	return link.Append(dst), nil
}

// Verdict is what becomes of a received message.
type Verdict uint8

// The verdicts.
const (
	OwnMessage Verdict = iota // the leg's own: its circuit deals with it
	Taken                     // nothing is left to do
	Deliver                   // it is its turn; then those that Next gives
	Linked                    // answer LINKED_ACK, without a body, on the leg; the set may be Ready now
	TooSlow                   // the leg is Gone: close its circuit, and see Launch
)

// kind is what a message is to a set.
type kind uint8

const (
	refused   kind = iota
	own            // of the circuit
	linked         // LINKED
	switching      // SWITCH
	sequenced      // with a place in the sequence
)

// expected says what a leg that is not gone may receive from the exit.
func expected(leg LegState, set State, c cell.RelayCommand) kind {
	if c == cell.RelayDrop || c == cell.RelayTruncated {
		return own
	}
	switch leg {
	case LegBuilding:
		if c == cell.RelayExtended2 {
			return own
		}
	case LegLinking:
		if c == cell.RelayConfluxLinked {
			return linked
		}
	case LegLinked:
		if set != Ready {
			return refused // nothing was asked for yet
		}
		switch c {
		case cell.RelaySendme:
			return own
		case cell.RelayConfluxSwitch:
			return switching
		case cell.RelayData, cell.RelayEnd, cell.RelayConnected, cell.RelayResolved, cell.RelayXoff, cell.RelayXon:
			return sequenced
		}
	}
	return refused
}

// Receive says what becomes of a message that came on a leg, from its last hop; from
// any other hop none of conflux's is legal. The data is copied if it must wait.
func (s *Set) Receive(leg int, m Message, now time.Time) (Verdict, error) {
	if s.state == Over {
		return Taken, ErrOver
	}
	l := &s.legs[leg]
	if l.state == LegGone {
		return Taken, nil // it was on its way while the leg was given up
	}
	switch expected(l.state, s.state, m.Command) {
	case own:
		return OwnMessage, nil
	case linked:
		return s.link(l, m, now)
	case switching:
		return Taken, s.skip(l, m)
	case sequenced:
		return s.sequence(l, m)
	}
	return Taken, s.end(fmt.Errorf("%w: %v", ErrUnexpected, m.Command))
}

// end ends the set, once.
func (s *Set) end(err error) error {
	s.state = Over
	for i := range s.legs {
		s.legs[i].queue.drop(&s.waiting)
		s.legs[i].state = LegGone
	}
	s.waiting.free, s.waiting.out = nil, 0
	return err
}

// Close ends the set; all its circuits are to be closed.
func (s *Set) Close() { _ = s.end(ErrOver) }

// link takes a LINKED. A set that has carried nothing has no numbers but nought; one
// that says otherwise would have us wait for what never comes.
func (s *Set) link(l *leg, m Message, now time.Time) (Verdict, error) {
	if m.Stream != 0 {
		return Taken, s.end(fmt.Errorf("%w: LINKED of a stream", ErrUnexpected))
	}
	got, err := ParseLink(m.Data)
	switch {
	case err != nil:
		return Taken, s.end(err)
	case subtle.ConstantTimeCompare(got.Nonce[:], s.nonce[:]) != 1:
		return Taken, s.end(ErrNonce)
	case got.UX != s.asked && s.linkedLegs() > 0:
		return Taken, s.end(fmt.Errorf("%w: LINKED asks for %d and for %d", ErrUnexpected, s.asked, got.UX))
	case got.Sent != 0 || got.Received != 0:
		return Taken, s.end(fmt.Errorf("%w: LINKED after %d sent and %d received", ErrSequence, got.Sent, got.Received))
	}
	l.rtt = max(now.Sub(l.linkSent), 1)
	if l.rtt >= s.cfg.MaxRTT {
		l.state = LegGone
		return TooSlow, s.enough()
	}
	l.state, s.asked = LegLinked, got.UX
	if s.linkedLegs() == s.cfg.Params.Legs {
		s.state = Ready
	}
	return Linked, nil
}

func (s *Set) linkedLegs() (n int) {
	for i := range s.legs {
		if s.legs[i].state == LegLinked {
			n++
		}
	}
	return n
}

// enough ends a set that cannot get the legs it wants any more.
func (s *Set) enough() error {
	if p := s.cfg.Params; s.live()+p.Legs+p.Retries-len(s.legs) < p.Legs {
		return s.end(ErrLegs)
	}
	return nil
}

// skip takes a SWITCH: what comes next on the leg is so much later in the sequence. A
// sender always has something that comes next, so that a second one is a signal to
// somebody.
func (s *Set) skip(l *leg, m Message) error {
	skipped, err := ParseSwitch(m.Data)
	switch {
	case err != nil:
		return s.end(err)
	case m.Stream != 0 || l.switched:
		return s.end(fmt.Errorf("%w: SWITCH", ErrUnexpected))
	case l.received > math.MaxInt64:
		return s.end(ErrSequence)
	}
	l.received += uint64(skipped)
	l.switched = true
	s.counters.SwitchesIn++
	return s.fillable()
}

// sequence gives a message its number, and hands it on or keeps it.
func (s *Set) sequence(l *leg, m Message) (Verdict, error) {
	if m.Stream == 0 || len(m.Data) > cell.BodyLen {
		return Taken, s.end(fmt.Errorf("%w: %v without a stream, or too long", ErrUnexpected, m.Command))
	}
	l.switched = false
	l.received++
	switch {
	case l.received == s.delivered+1:
		s.delivered++
		return Deliver, nil
	case l.received <= s.delivered:
		return Taken, s.end(fmt.Errorf("%w: %d was delivered already", ErrSequence, l.received))
	case !l.queue.push(&s.waiting, l.received, m):
		return Taken, s.end(ErrWaiting)
	}
	s.counters.MostHeld = max(s.counters.MostHeld, s.Held())
	return Taken, s.fillable()
}

// fillable ends a set whose next number no leg can bring any more, as each has passed
// it.
func (s *Set) fillable() error {
	for i := range s.legs {
		l := &s.legs[i]
		if l.state == LegLinked && l.received <= s.delivered || l.queue.head() == s.delivered+1 {
			return nil
		}
	}
	why := ErrSequence
	if s.lost > 0 {
		why = ErrLost // it was on its way there
	}
	return s.end(fmt.Errorf("%w: number %d is missing on every leg", why, s.delivered+1))
}

// Next gives the next message in the sequence, if it is here already. Its data is good
// until the next Receive. It is to be called after a Deliver until there is none: then
// it also finds out whether a number came twice, which ends the set.
func (s *Set) Next() (m Message, ok bool, err error) {
	var next *leg
	for i := range s.legs {
		l := &s.legs[i]
		switch head := l.queue.head(); {
		case head == 0 || head > s.delivered+1:
		case head == s.delivered+1 && next == nil:
			next = l
		default:
			return Message{}, false, s.end(fmt.Errorf("%w: number %d came twice", ErrSequence, head))
		}
	}
	if next == nil {
		return Message{}, false, nil
	}
	s.delivered++
	return next.queue.pop(&s.waiting), true, nil
}

// LegClosed tells that a leg's circuit is gone. unacknowledged says that its window was
// still open by an increment or more: that much of what it carried may be lost.
// An error ends the set.
func (s *Set) LegClosed(leg int, unacknowledged bool) error {
	l := &s.legs[leg]
	if s.state == Over || l.state == LegGone {
		return nil
	}
	l.state = LegGone
	if s.state == Linking {
		return s.enough()
	}
	s.lost++
	ahead := true // of all others
	for i := range s.legs {
		if o := &s.legs[i]; o.state == LegLinked && o.sent >= l.sent && o.received >= l.received {
			ahead = false
		}
	}
	if ahead || unacknowledged || s.current == leg {
		return s.end(ErrLost)
	}
	return s.fillable()
}
