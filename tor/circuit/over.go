package circuit

import (
	"fmt"
	"io"
	"time"

	"chive/tor/cell"
)

// Carrier takes the messages of a circuit without hops: a conflux set, whose legs carry
// them.
type Carrier interface {
	// Room is how many DATA messages may be sent now.
	Room() int
	// Send takes the next message of a stream; of DATA no more than Room. The data is the
	// caller's again when Send returns.
	Send(command cell.RelayCommand, id cell.StreamID, data []byte)
	// MaxData is how many bytes a message of the command may have, whichever way it goes.
	MaxData(command cell.RelayCommand) int
	// OnTheirWay is how many DATA messages may still come that the far end sent before it
	// reads what is sent now.
	OnTheirWay() int
}

// Over returns an open circuit that has no hops: it keeps the streams that a conflux set
// carries, under congestion control. What its methods append to dst is nothing; carrier
// gets it as messages. Its cells come by Deliver, in the order of the set. now is a clock
// that never goes back.
func Over(carrier Carrier, p FlowParams, now func() time.Duration, rand io.Reader) (*Circuit, error) {
	switch {
	case carrier == nil || now == nil || rand == nil:
		return nil, fmt.Errorf("%w: no carrier, no clock, or no source of randomness", ErrConfig)
	case p.XoffClient < 1 || p.XoffExit < 1 || p.XonRate < 1:
		return nil, fmt.Errorf("%w: there are no parameters for congestion control", ErrConfig)
	}
	return &Circuit{
		cfg: Config{Rand: rand, Now: now, FlowParams: p}, state: Open, over: carrier, streams: map[cell.StreamID]*stream{},
	}, nil
}

// Deliver is Receive for a circuit from Over: a message of a stream whose turn it is.
func (c *Circuit) Deliver(command cell.RelayCommand, id cell.StreamID, data []byte) (Event, error) {
	if c.over == nil || c.state != Open {
		return Event{}, c.violation(0, ErrClosed)
	}
	c.counters.In++
	_, ev, err := c.receiveOpen(nil, -1, cell.RelayHeader{Cmd: command, Stream: id, Length: len(data)}, data)
	return ev, err
}
