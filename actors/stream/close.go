package stream

import (
	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
)

// Closer is a Conn whose application says whether it closed its end or only has no more to
// send, which a FIN does not tell.
type Closer interface {
	Conn
	// Closed is closed when the application has closed its end, before that can be read
	// from the Conn, or when the Conn was closed here.
	Closed() <-chan struct{}
}

// closed: the application, which had no more to send, wants no more either.
type closed struct{}

// saidAll reports of an application whose FIN came whether the stream is over for it.
func (s *stream) saidAll() bool {
	c, ok := s.spec.Conn.(Closer)
	if !ok {
		return s.spec.Serve != nil // as C tor: the client is told at once
	}
	select {
	case <-c.Closed():
		return true
	default:
		return false
	}
}

// watchClose waits for an application that has half-closed to close.
func (s *stream) watchClose(ctx actor.Context) {
	c, ok := s.spec.Conn.(Closer)
	if !ok {
		return
	}
	root, self := ctx.ActorSystem().Root, ctx.Self()
	kernel.Go("stream half-closed", func() {
		<-c.Closed() // at the latest when the actor closes it
		root.Send(self, &closed{})
	}, nil)
}
