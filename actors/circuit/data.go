package circuit

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
)

// roomFor is how many cells one input may make: a SENDME of the circuit and
// those of a stream whose whole window the application took at once.
const roomFor = 12

// smallData is up to what size, in bytes, data shares a block with control
// cells instead of getting one of its own.
const smallData = 2 * cell.MaxRelayData

// slot gathers the data of one stream in one batch.
type slot struct {
	id cell.StreamID
	b  *block.Block
}

func (c *circuitActor) block(ctx actor.Context, b *block.Block) {
	switch {
	case b.Kind == block.CellsIn:
		c.cells(ctx, b)
	case c.closing:
		b.Free()
	case b.Kind == block.MessagesOut:
		c.relay(b)
	default:
		c.data(ctx, b)
		c.flush()
	}
}

// cells feeds a batch to the core and posts what comes of it to the streams.
func (c *circuitActor) cells(ctx actor.Context, b *block.Block) {
	if c.closing || c.core == nil {
		b.Free()
		return
	}
	if c.o.Heard != nil {
		c.o.Heard.Store(c.o.Now().UnixNano())
	}
	c.core.Blocked = c.core.CongestionControl() && c.link.Full()
	used, mayPackage, handed := false, false, 0
	var failed error
	for rest := b.Bytes; len(rest) >= cell.FixedLen && failed == nil; rest = rest[cell.FixedLen:] {
		_, command, body, _, _ := cell.Next(rest)
		c.reserve()
		var ev circuit.Event
		c.out.Bytes, ev, failed = c.core.ReceiveBefore(c.out.Bytes, command, body, relayBody(rest[cell.FixedLen:]))
		switch ev.Kind {
		case circuit.Data:
			used = c.gather(b, used, ev) || used
		case circuit.MayPackage:
			mayPackage = true
		case circuit.Message:
			handed = putMessage(b.Buf, handed, ev.Command, ev.Stream, ev.Data)
		default:
			c.event(ctx, ev)
		}
	}
	for i, p := range c.posts {
		ctx.Send(p.pid, p.msg)
		c.posts[i] = post{}
	}
	c.posts, c.slots = c.posts[:0], c.slots[:0]
	if handed > 0 {
		used = true
		c.handToSet(ctx, b, handed)
	}
	if !used {
		b.Free()
	}
	c.armPadding(ctx)
	if mayPackage && failed == nil {
		c.mayPackage(ctx)
	}
	c.flush()
	if failed != nil {
		c.end(ctx, outcome.FromCircuit(failed), failed)
	}
}

// relayBody is the body of the next cell if that is a RELAY cell, else nil.
func relayBody(rest []byte) []byte {
	if len(rest) < cell.FixedLen {
		return nil
	}
	if _, command, body, _, _ := cell.Next(rest); command == cell.Relay {
		return body
	}
	return nil
}

// gather adds a payload to its stream's block. The first stream of a batch
// gets the batch's own block b: payloads only ever move towards its start, so
// cells not yet read are never overwritten. It reports whether b was taken.
func (c *circuitActor) gather(b *block.Block, used bool, ev circuit.Event) bool {
	for i := range c.slots {
		if s := &c.slots[i]; s.id == ev.Stream {
			s.b.Bytes = append(s.b.Bytes, ev.Data...)
			s.b.Cells++
			return false
		}
	}
	l := c.lanes[ev.Stream]
	if l == nil || l.pid == nil {
		return false // finishing: its END is about to go out
	}
	share := b
	if used {
		share = block.GetLarge(block.DataIn) // room for all that b may hold
	}
	share.Kind, share.Here = block.DataIn, true
	share.Bytes = append(share.Buf[:0], ev.Data...)
	share.Cells = 1
	c.slots = append(c.slots, slot{id: ev.Stream, b: share})
	c.posts = append(c.posts, post{l.pid, share})
	return !used
}

// event handles what is not data; what a stream is to hear waits its turn
// behind the data that came before.
func (c *circuitActor) event(ctx actor.Context, ev circuit.Event) {
	switch ev.Kind {
	case circuit.Extended:
		c.hop(ctx)
	case circuit.Opened:
		c.open(ctx)
	case circuit.Connected:
		c.answer = Answered
		if ev.Stream == c.probe { // not what an exit should do, but the cells arrive
			c.end(ctx, chivev1.Outcome_OUTCOME_IDLE, nil)
			return
		}
		if l := c.lanes[ev.Stream]; l != nil && l.pid != nil {
			l.there = true
			c.posts = append(c.posts, post{l.pid, &stream.Connected{Addr: ev.Addr}})
		}
	case circuit.Resolved:
		c.answer = Answered
		if l := c.lanes[ev.Stream]; l != nil {
			if l.pid != nil {
				c.posts = append(c.posts, post{l.pid, &stream.Resolved{Answers: ev.Answers}})
			}
			c.dropLane(ev.Stream, l, false)
		}
	case circuit.Ended:
		c.answered(ev.Reason)
		if ev.Stream == c.probe {
			c.end(ctx, chivev1.Outcome_OUTCOME_IDLE, nil)
			return
		}
		l := c.lanes[ev.Stream]
		if l == nil {
			return
		}
		if l.pid != nil {
			c.posts = append(c.posts, post{l.pid, &stream.Ended{Reason: ev.Reason}})
		}
		c.dropLane(ev.Stream, l, false)
	case circuit.RendezvousEstablished, circuit.Rendezvous, circuit.IntroduceAck, circuit.IntroEstablished:
		c.heard(ctx, ev)
	case circuit.Introduce2:
		c.introduced(ctx, ev)
	case circuit.Asked:
		c.asked(ctx, ev)
	}
}

// data takes what a stream has to send.
func (c *circuitActor) data(ctx actor.Context, b *block.Block) {
	l := c.laneOf(b.Stream, b.Of)
	if l == nil || l.finish != nil {
		b.Free()
		return
	}
	l.pending = append(l.pending, b)
	if l.blocked {
		return
	}
	if link := c.link; link != nil && len(b.Bytes) > block.MaxData {
		link.Cork()
		defer link.Uncork()
	}
	id := b.Stream
	c.pump(id, l)
	switch {
	case !l.blocked:
	case c.core.Sendable(id) > 0:
		// The block was more than goes at once. No window holds the rest back, so no
		// SENDME need come for it.
		c.unblock(ctx)
	default:
		c.wakeLater(ctx)
	}
}

// mayGoOn: a stream that its far end's rate held back may send again.
type mayGoOn struct{}

// wakeLater sets the timer for the first of the waiting lanes that only its far end's rate
// holds back. Whatever else holds a lane back ends with a cell.
func (c *circuitActor) wakeLater(ctx actor.Context) {
	c.pacing.Stop()
	c.pacing = nil
	var first time.Duration
	for _, id := range c.blocked {
		wait := c.core.Paced(id)
		if wait == 0 && c.core.Sendable(id) > 0 {
			wait = 1 // it was too early for it a moment ago
		}
		if wait > 0 && (first == 0 || wait < first) {
			first = wait
		}
	}
	if first > 0 {
		c.pacing = kernel.After(ctx.ActorSystem(), ctx.Self(), first, &mayGoOn{})
	}
}

// pump sends one block's worth of a lane; it reports whether anything went.
// What the windows hold back waits in the lane.
func (c *circuitActor) pump(id cell.StreamID, l *lane) bool {
	b := l.pending[0]
	var n int
	if len(b.Bytes) <= smallData {
		c.reserve()
		c.out.Bytes, n = c.core.Send(c.out.Bytes, id, b.Bytes, roomFor)
		b.Bytes = b.Bytes[n:]
	} else {
		n = c.pumpBlock(id, b)
	}
	if n > 0 {
		l.sent = c.o.Now()
	}
	more := len(b.Bytes) > 0
	if !more {
		b.Free()
		l.pending = append(l.pending[:0], l.pending[1:]...)
	}
	if l.finish != nil && n > 0 {
		l.finish.moved(l.pending)
	}
	if more {
		c.waitForWindow(id, l)
		return n > 0
	}
	if len(l.pending) > 0 {
		c.waitForWindow(id, l)
	} else if l.finish != nil {
		c.dropLane(id, l, true)
	}
	return true
}

// pumpBlock seals up to a block of cells and sends it; the stream's credit
// travels with the last of its data.
func (c *circuitActor) pumpBlock(id cell.StreamID, b *block.Block) int {
	if c.set != nil {
		return c.set.pumpBlock(id, b)
	}
	c.flush() // what is sealed already must leave first
	out := block.Get(block.CellsOut)
	var n int
	out.Bytes, n = c.core.Send(out.Buf[:0], id, b.Bytes, block.CellsPerBlock)
	if n == 0 {
		out.Free()
		return 0
	}
	if b.Bytes = b.Bytes[n:]; len(b.Bytes) == 0 {
		out.Credit, b.Credit = b.Credit, nil
	}
	c.send(out)
	return n
}

func (c *circuitActor) waitForWindow(id cell.StreamID, l *lane) {
	if !l.blocked {
		l.blocked = true
		c.blocked = append(c.blocked, id)
	}
}

// unblock lets the waiting lanes send, a block each in turn, until the windows
// are used up.
func (c *circuitActor) unblock(ctx actor.Context) {
	for progress := true; progress; {
		progress = false
		waiting := c.blocked
		c.blocked = c.spare[:0]
		for _, id := range waiting {
			l := c.lanes[id]
			if l == nil {
				continue
			}
			l.blocked = false
			if len(l.pending) > 0 && c.pump(id, l) {
				progress = true
			}
		}
		c.spare = waiting
	}
	c.wakeLater(ctx)
}

// reserve makes sure that out has room for the cells of one input.
func (c *circuitActor) reserve() {
	if c.set != nil {
		return // nothing is sealed here
	}
	if c.out != nil && len(c.out.Bytes)+roomFor*cell.FixedLen > block.Size {
		c.flush()
	}
	if c.out == nil {
		c.out = block.Get(block.CellsOut)
		c.out.Bytes = c.out.Buf[:0]
	}
}

// flush queues what this turn has sealed.
func (c *circuitActor) flush() {
	if c.set != nil {
		c.set.flushLegs()
		return
	}
	if c.out == nil {
		return
	}
	b := c.out
	c.out = nil
	if len(b.Bytes) == 0 || c.link == nil {
		b.Free()
		return
	}
	c.send(b)
}
