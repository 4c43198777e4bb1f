package stream

import (
	"context"
	"errors"
	"syscall"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

// Dial connects to the application that serves a stream.
type Dial func(context.Context) (Conn, error)

type (
	// Accepted tells the circuit that the application is there: the client is told.
	Accepted struct {
		Spec   *Spec
		Stream cell.StreamID
	}

	dialled struct {
		conn Conn
		err  error
	}
)

// Drop implements kernel.Droppable: nobody takes the connection.
func (m *dialled) Drop() {
	if m.conn != nil {
		_ = m.conn.Close()
	}
}

// dial begins to connect to the application, if the stream is one that is served.
func (s *stream) dial(ctx actor.Context) {
	if s.spec.Serve == nil {
		return
	}
	work, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	root, self, dial := ctx.ActorSystem().Root, ctx.Self(), s.spec.Serve
	kernel.Go("dial an application", func() {
		conn, err := dial(work)
		root.Send(self, &dialled{conn, err})
	}, func(p *kernel.Panic) { root.Send(self, &dialled{err: p}) })
}

func (s *stream) dialled(ctx actor.Context, m *dialled) {
	s.cancel()
	if m.err != nil {
		s.finish(ctx, servedRefused(m.err), true, false)
		return
	}
	sock, err := newSocket(m.conn, s.o.Up)
	if err != nil {
		m.Drop()
		s.finish(ctx, socketEnd(err), true, false)
		return
	}
	s.timer.Stop()
	s.spec.Conn, s.sock, s.connected = m.conn, sock, true
	s.emit(messages.Event(chivev1.Kind_KIND_STREAM, s.spec.ID, &chivev1.StreamConnected{
		Took: messages.Took(s.o.Now().Sub(s.spec.Requested)),
	}))
	ctx.Send(s.circuit, &Accepted{Spec: s.spec, Stream: s.id})
	early := s.queue
	s.queue = nil
	s.held.letGo() // what has to wait still is counted anew
	s.begin(ctx, sock)
	for i, b := range early {
		if err := s.deliver(ctx, b); err != nil {
			for _, b := range early[i+1:] {
				b.Free()
			}
			s.finish(ctx, socketEnd(err), true, false)
			return
		}
	}
}

// servedEnd is how a stream ended that its client has ended.
func servedEnd(connected bool) chivev1.Outcome {
	if connected {
		return chivev1.Outcome_OUTCOME_OK
	}
	return chivev1.Outcome_OUTCOME_CANCELLED
}

// ErrFull is what a Dial returns when there are as many connections as there may be.
var ErrFull = errors.New("as many connections as there may be")

// Full: is an error of a Dial none of the application's doing, but for want of files?
func Full(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// servedRefused is why the application is not there.
func servedRefused(err error) chivev1.Outcome {
	if Full(err) {
		return chivev1.Outcome_OUTCOME_OVERLOADED
	}
	switch out := outcome.FromDial(err); out {
	case chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE:
		return chivev1.Outcome_OUTCOME_TARGET_UNREACHABLE
	case chivev1.Outcome_OUTCOME_TIMEOUT, chivev1.Outcome_OUTCOME_INTERNAL, chivev1.Outcome_OUTCOME_CANCELLED:
		return out
	}
	return chivev1.Outcome_OUTCOME_TARGET_REFUSED
}
