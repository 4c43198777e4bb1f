package link

import (
	"encoding/binary"
	"time"

	"chive/tor/cell"
)

// Command is what a PADDING_NEGOTIATE cell asks of the relay.
type Command uint8

// The commands of padding-spec 2.2; None is no cell.
const (
	None  Command = 0
	Stop  Command = 1
	Start Command = 2
)

// Negotiation is what to tell the relay. The bounds of Start are those between which
// the relay may pause; it raises them to the consensus's.
type Negotiation struct {
	Command   Command
	Low, High time.Duration // whole milliseconds, at most a minute; 0 with Stop
}

// Append appends the PADDING_NEGOTIATE cell, of cell.FixedLen bytes. Its body is
// version 0, command, and two 16-bit numbers of milliseconds.
func (n Negotiation) Append(dst []byte) []byte {
	body := [6]byte{1: byte(n.Command)}
	binary.BigEndian.PutUint16(body[2:], uint16(n.Low/time.Millisecond))
	binary.BigEndian.PutUint16(body[4:], uint16(n.High/time.Millisecond))
	return cell.AppendFixed(dst, 0, cell.PaddingNegotiate, body[:])
}
