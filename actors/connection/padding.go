package connection

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/tor/cell"
	padding "chive/tor/padding/link"
)

// Pad changes when an open connection is padded.
type Pad struct{ Policy padding.Policy }

type padNow struct{}

// activity is what passes on a link, as far as padding asks. Its methods may be called
// from any goroutine.
type activity struct {
	epoch time.Time     // when the link opened
	last  atomic.Int64  // nanoseconds after epoch: the last cells, either way
	heard atomic.Int64  // the last that came in, likewise
	usage atomic.Uint32 // a padding.Usage

	sent, received atomic.Uint64 // PADDING cells
}

// touch says that cells pass now, and gives the time after epoch.
func (a *activity) touch() time.Duration {
	now := time.Since(a.epoch)
	a.last.Store(int64(now))
	return now
}

func (a *activity) hear() {
	now := int64(time.Since(a.epoch))
	a.last.Store(now)
	a.heard.Store(now)
}

// Heard is when the relay last sent something; the opening of the link counts.
func (l *Link) Heard() time.Time {
	return l.activity.epoch.Add(time.Duration(l.activity.heard.Load()))
}

// rise has the link be used for more than before.
func (a *activity) rise(from, to padding.Usage) {
	if padding.Usage(a.usage.Load()) == from {
		a.usage.CompareAndSwap(uint32(from), uint32(to))
	}
}

// Cover has the link padded from now on: a circuit of several hops begins on it.
func (l *Link) Cover() { l.activity.rise(padding.Unused, padding.Circuits) }

// Padding is how many PADDING cells went out and came in.
func (l *Link) Padding() (sent, received uint64) {
	return l.activity.sent.Load(), l.activity.received.Load()
}

// waiting reports whether cells wait for the socket.
func (l *Link) waiting() bool {
	l.queueMu.Lock()
	queued := l.queue.Len() > 0 || l.stuck
	l.queueMu.Unlock()
	return queued || l.records.backlog()
}

// beginPadding starts the decisions about padding on the link that has just opened.
func (c *connection) beginPadding(ctx actor.Context) {
	c.padding = padding.New(c.link.Peer.Version, rand.IntN)
	c.pad(ctx, c.o.Padding)
}

// pad follows a policy.
func (c *connection) pad(ctx actor.Context, p padding.Policy) {
	c.o.Padding = p
	if c.link == nil || c.over {
		return
	}
	if n := c.padding.Configure(p); n.Command != padding.None {
		b := block.Get(block.CellsOut)
		b.Bytes = n.Append(b.Buf[:0])
		c.link.Send(b)
	}
	c.padNow(ctx)
}

// padNow sends a PADDING cell if it is time, and looks again when it may be.
func (c *connection) padNow(ctx actor.Context) {
	c.padTimer.Stop()
	c.padTimer = nil
	if c.over {
		return
	}
	a := &c.link.activity
	now := time.Since(a.epoch)
	due, wait := c.padding.Next(now, time.Duration(a.last.Load()), padding.Usage(a.usage.Load()), c.link.waiting())
	if due {
		b := block.Get(block.CellsOut)
		b.Bytes = cell.AppendFixed(b.Buf[:0], 0, cell.Padding, nil)
		c.link.Send(b)
		a.sent.Add(1)
	}
	if wait > 0 {
		c.padTimer = kernel.After(ctx.ActorSystem(), ctx.Self(), wait, &padNow{})
	}
}
