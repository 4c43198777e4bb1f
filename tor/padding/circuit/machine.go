package circuit

import "time"

// event is what moves a machine.
type event uint8

const (
	sent     event = iota // a cell that is no padding, PADDING_NEGOTIATE among them
	padded                // a DROP came
	complete              // as many DROP as the state sends were sent
	events
)

// Pseudo-states: the zero value of a transition is none.
const (
	stay = 0
	end  = -1
)

// state is one of a machine; from 1, as the table counts.
type state struct {
	next   [events]int
	length int           // DROP to send in the state; 0: none
	within time.Duration // each after a wait of less than this, drawn anew
}

// machine is what to do on a circuit, and what the relay may do.
type machine struct {
	number uint8
	states []state
	most   int  // DROP that the relay may send
	holds  bool // the circuit stays open until the machine has ended
}

const (
	begin     = 1 // both machines are in it for a moment
	obfuscate = 2
)

var introduction = machine{
	number: 0, most: 10, holds: true,
	states: []state{
		begin:     {next: [events]int{sent: obfuscate}},
		obfuscate: {}, // ends with the relay's STOP
	},
}

var rendezvous = machine{
	number: 1, most: 1,
	states: []state{
		begin:     {next: [events]int{sent: obfuscate}},
		obfuscate: {next: [events]int{padded: end, complete: end}, length: 1, within: time.Millisecond},
	},
}

// running is a machine on a circuit.
type running struct {
	machine *machine // nil: none
	counter uint32
	state   int
	left    int       // DROP to send in this state
	due     time.Time // of the next; zero: none is
	heard   time.Time // when a cell went or came last
}

// step moves the machine by an event.
func (r *running) step(e event, now time.Time, draw func(n int) int) {
	switch next := r.machine.states[r.state].next[e]; next {
	case stay:
	case end:
		r.machine = nil
	default:
		r.state, r.left, r.due = next, r.machine.states[next].length, time.Time{}
		r.schedule(now, draw)
	}
}

// schedule draws when to pad, in whole microseconds.
func (r *running) schedule(now time.Time, draw func(n int) int) {
	if r.left > 0 {
		within := r.machine.states[r.state].within
		r.due = now.Add(time.Duration(draw(int(within/time.Microsecond))) * time.Microsecond)
	}
}
