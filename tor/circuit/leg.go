package circuit

import (
	"fmt"
	"time"

	"chive/tor/cell"
)

// A leg of a conflux set (proposal 329) is a circuit whose streams are its set's. It seals
// and opens cells, and keeps the windows that are between it and the exit; everything else
// that comes from the exit it hands to the set, which knows what may come when (package
// conflux).

// receiveLeg takes what the exit sent on an open leg, but SENDME of the circuit.
//
//	stream 0       LINKED, SWITCH
//	a stream's     BEGIN's answers: CONNECTED, END, RESOLVED; DATA; XON, XOFF
//	all others     refused
func (c *Circuit) receiveLeg(dst []byte, hop int, h cell.RelayHeader, data []byte) ([]byte, Event, error) {
	ofStream := true
	switch h.Cmd {
	case cell.RelayConfluxLinked, cell.RelayConfluxSwitch:
		ofStream = false
	case cell.RelayConnected, cell.RelayEnd, cell.RelayResolved, cell.RelayXon, cell.RelayXoff:
	case cell.RelayData:
		var err error
		if dst, err = c.delivered(dst, hop); err != nil {
			return dst, Event{}, err
		}
	default:
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v on a leg", ErrUnexpected, h.Cmd))
	}
	if ofStream == (h.Stream == 0) {
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v of stream %d on a leg", ErrStreamID, h.Cmd, h.Stream))
	}
	return dst, Event{Kind: Message, Command: h.Cmd, Stream: h.Stream, Data: data}, nil
}

// Relay appends a message that the set sends over this leg; of DATA no more than Room.
// Errors: ErrNotOpen, cell.ErrRelayLength.
func (c *Circuit) Relay(dst []byte, command cell.RelayCommand, id cell.StreamID, data []byte) ([]byte, error) {
	if !c.cfg.Leg || c.state != Open {
		return dst, ErrNotOpen
	}
	if len(data) > c.maxData(command) {
		return dst, fmt.Errorf("%w: %v", cell.ErrRelayLength, command)
	}
	dst = c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: command, Stream: id}, data)
	if command == cell.RelayData {
		c.legSent++
		c.packaged(&stream{}, len(data))
	}
	return dst, nil
}

// Room is how many DATA cells the congestion window lets go now.
func (c *Circuit) Room() int {
	if c.over != nil {
		return c.over.Room()
	}
	return max(0, c.flow.room())
}

// Sent is how many DATA cells a leg has sent.
func (c *Circuit) Sent() int { return c.legSent }

// RTT is the average round trip to the last hop; 0 until there is one, and without
// congestion control.
func (c *Circuit) RTT() time.Duration {
	if c.flow.vegas == nil {
		return 0
	}
	return c.flow.vegas.RTT()
}

// Unacknowledged says whether an increment of DATA cells or more may not have arrived.
func (c *Circuit) Unacknowledged() bool {
	return c.flow.vegas != nil && c.flow.vegas.InFlight() >= c.flow.increment
}
