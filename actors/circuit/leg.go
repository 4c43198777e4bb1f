package circuit

import (
	"encoding/binary"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/tor/cell"
)

// LegStatus tells a conflux set what the congestion window of a leg lets go: Room DATA
// cells when Sent of them had gone.
type LegStatus struct {
	Number, Room, Sent int
	RTT                time.Duration // 0: none yet
}

// A block of messages holds one behind the other, each with command, stream and length
// before its data.
const messageHead = 1 + 2 + 2

// putMessage writes a message at an offset of buf and returns the offset behind it. The
// data may be in buf, further on.
func putMessage(buf []byte, at int, command cell.RelayCommand, id cell.StreamID, data []byte) int {
	copy(buf[at+messageHead:], data)
	buf[at] = byte(command)
	binary.BigEndian.PutUint16(buf[at+1:], uint16(id))
	binary.BigEndian.PutUint16(buf[at+3:], uint16(len(data)))
	return at + messageHead + len(data)
}

// nextMessage is the first message of some, and the others.
func nextMessage(messages []byte) (command cell.RelayCommand, id cell.StreamID, data, rest []byte) {
	end := messageHead + int(binary.BigEndian.Uint16(messages[3:]))
	return cell.RelayCommand(messages[0]), cell.StreamID(binary.BigEndian.Uint16(messages[1:])), messages[messageHead:end], messages[end:]
}

// handToSet gives the set what came, in the block that the cells came in.
func (c *circuitActor) handToSet(ctx actor.Context, b *block.Block, size int) {
	b.Kind, b.Here, b.Bytes, b.Leg = block.MessagesIn, true, b.Buf[:size], c.o.Leg.Number
	ctx.Send(ctx.Parent(), b)
}

func (c *circuitActor) mayPackage(ctx actor.Context) {
	if c.o.Leg != nil {
		c.reportLeg(ctx)
		return
	}
	c.unblock(ctx)
}

func (c *circuitActor) reportLeg(ctx actor.Context) {
	ctx.Send(ctx.Parent(), &LegStatus{Number: c.o.Leg.Number, Room: c.core.Room(), Sent: c.core.Sent(), RTT: c.core.RTT()})
}

// relay sends the messages of a block; the credit of the stream they are of travels with
// the last.
func (c *circuitActor) relay(b *block.Block) {
	defer b.Free()
	if c.link == nil || c.core == nil {
		return
	}
	c.flush() // what is sealed already must leave first
	out := block.Get(block.CellsOut)
	out.Bytes = out.Buf[:0]
	for rest := b.Bytes; len(rest) > 0; {
		var (
			command cell.RelayCommand
			id      cell.StreamID
			data    []byte
			err     error
		)
		command, id, data, rest = nextMessage(rest)
		if len(out.Bytes)+cell.FixedLen > len(out.Buf) {
			c.link.Send(out)
			out = block.Get(block.CellsOut)
			out.Bytes = out.Buf[:0]
		}
		if out.Bytes, err = c.core.Relay(out.Bytes, command, id, data); err != nil {
			out.Free() // the leg is not open any more: the set hears of it
			return
		}
	}
	out.Credit, b.Credit = b.Credit, nil
	c.link.Send(out)
}
