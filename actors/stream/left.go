package stream

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/kernel"
	"chive/internal/rawio"
	"chive/messages/chivev1"
)

// An application that is gone is not waited for. While its request waits, its socket is
// looked at and nothing is read: a FIN alone tells no more than that it sends nothing more.
//
// C tor ends a request at that FIN, and what was sent before it is lost. Here it ends at once
// only where there is nothing to lose: after a request with data, halfClosedTime is left for
// the far end to be reached, and from then on the half-closed stream goes on as any other.

const (
	// lookEvery is how often the socket of a stream is looked at that is not connected.
	lookEvery = time.Second
	// halfClosedTime is how long a request may wait on whose application sent data, and then
	// FIN.
	halfClosedTime = 15 * time.Second
)

// Left says whether the application of a request that waits has gone, for what can be known.
// It is called now and then, by whoever has the Spec.
func (s *Spec) Left(now time.Time) bool {
	if c, ok := s.Conn.(Closer); ok {
		select {
		case <-c.Closed():
			return true
		default:
			return false
		}
	}
	switch s.peer() {
	case rawio.Gone:
		return true
	case rawio.Silent:
		if len(s.Early) == 0 {
			return true
		}
	case rawio.Open:
		return false
	}
	if s.halfClosed.IsZero() {
		s.halfClosed = now
	}
	return now.Sub(s.halfClosed) >= halfClosedTime
}

// peer is what the application's end of the socket has done.
func (s *Spec) peer() rawio.Peer {
	if s.Conn == nil {
		return rawio.Open
	}
	raw, err := s.Conn.SyscallConn()
	if err != nil {
		return rawio.Open // it is no socket: nothing can be told
	}
	p := rawio.Open
	if raw.Control(func(fd uintptr) { p = rawio.Look(fd) }) != nil {
		return rawio.Gone // closed here
	}
	return p
}

// look is the time to see whether the application still waits.
type look struct{ n int }

// until is how long it is from the nth look at an application to the next, or to the end of
// the exit's time, which is the last.
func until(n int) (d time.Duration, last bool) {
	left := connectTimeout - time.Duration(n)*lookEvery
	return min(left, lookEvery), left <= lookEvery
}

// watch waits for the next look, or until the exit has had its time. Who is served by us is
// not looked at.
func (s *stream) watch(ctx actor.Context, n int) {
	d, last := until(n)
	var m any = &look{n + 1}
	if s.spec.Serve != nil {
		d, last = connectTimeout, true
	}
	if last {
		m = &tooSlow{}
	}
	s.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), d, m)
}

func (s *stream) look(ctx actor.Context, m *look) {
	switch {
	case s.connected:
	case s.spec.Left(s.o.Now()):
		s.finish(ctx, chivev1.Outcome_OUTCOME_CANCELLED, true, false)
	default:
		s.watch(ctx, m.n)
	}
}
