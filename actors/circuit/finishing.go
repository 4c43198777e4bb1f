package circuit

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/tor/cell"
)

// finishing tells the memory account what a stream whose actor is done still has to send. It
// implements block.Holder.
type finishing struct {
	shed         func()
	bytes, since atomic.Int64 // of what is to be sent; when some of it last went
}

// laneShed: memory is short, and the lane is to let go of what it keeps.
type laneShed struct {
	id cell.StreamID
	l  *lane
}

// moved notes what is still to be sent.
func (f *finishing) moved(pending []*block.Block) {
	bytes := 0
	for _, b := range pending {
		bytes += len(b.Buf)
	}
	f.since.Store(block.Moment())
	f.bytes.Store(int64(bytes))
}

// Held implements block.Holder.
func (f *finishing) Held() (bytes, since int64) { return f.bytes.Load(), f.since.Load() }

// Shed implements block.Holder.
func (f *finishing) Shed() { f.shed() }

// forget lets go of what was still to be sent.
func (l *lane) forget() {
	for _, b := range l.pending {
		b.Free()
	}
	l.pending = nil
	if l.finish != nil {
		block.Leave(l.finish)
	}
}

// finishLane sends what the stream still had to send, then END.
func (c *circuitActor) finishLane(ctx actor.Context, id cell.StreamID, l *lane, end bool) {
	if !end || c.closing || len(l.pending) == 0 {
		c.dropLane(id, l, end)
		c.flush()
		return
	}
	root, self := ctx.ActorSystem().Root, ctx.Self()
	l.pid = nil
	l.finish = &finishing{shed: func() { root.Send(self, &laneShed{id, l}) }}
	l.finish.moved(l.pending)
	block.Join(l.finish)
}

// shedLane ends a stream that is finishing: the far end does not get what was still to be sent.
func (c *circuitActor) shedLane(m *laneShed) {
	if c.lanes[m.id] != m.l {
		return
	}
	c.dropLane(m.id, m.l, true)
	c.flush()
}
