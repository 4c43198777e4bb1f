package circuit

import (
	"encoding/binary"
	"fmt"

	"chive/tor/cell"
)

// Hop is the hop, from 1, that all machines are at: to it go all messages of this
// package, and from it come the relay's.
const Hop = 2

// Command is what a negotiation is about.
type Command uint8

// The commands.
const (
	Stop  Command = 1
	Start Command = 2
)

// Response is the relay's.
type Response uint8

// The responses.
const (
	OK  Response = 1
	Err Response = 2
)

// Negotiate is the body of PADDING_NEGOTIATE: version 0, command, machine, no echo, and
// a 32-bit counter.
type Negotiate struct {
	Command Command
	Machine uint8
	Counter uint32
}

// Append appends the body.
func (n Negotiate) Append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0, byte(n.Command), n.Machine, 0), n.Counter)
}

// Negotiated is the body of PADDING_NEGOTIATED: version 0, command, response, machine
// and a 32-bit counter.
type Negotiated struct {
	Command  Command
	Response Response
	Machine  uint8
	Counter  uint32
}

const negotiatedLen = 8

// Append appends the body.
func (n Negotiated) Append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0, byte(n.Command), byte(n.Response), n.Machine), n.Counter)
}

// ParseNegotiated reads a body; what follows it is ignored. A body that is too short
// gives cell.ErrTruncated, an unknown version, command or response cell.ErrMalformed.
func ParseNegotiated(body []byte) (Negotiated, error) {
	if len(body) < negotiatedLen {
		return Negotiated{}, fmt.Errorf("PADDING_NEGOTIATED: %w", cell.ErrTruncated)
	}
	n := Negotiated{Command(body[1]), Response(body[2]), body[3], binary.BigEndian.Uint32(body[4:])}
	if body[0] != 0 || n.Command != Stop && n.Command != Start || n.Response != OK && n.Response != Err {
		return Negotiated{}, fmt.Errorf("PADDING_NEGOTIATED % x: %w", body[:3], cell.ErrMalformed)
	}
	return n, nil
}
