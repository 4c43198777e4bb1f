package stream

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/block"
	"chive/actors/kernel"
	"chive/actors/limits"
	"chive/actors/outcome"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
)

const (
	// connectTimeout is how long an exit may take to answer BEGIN before
	// another circuit is tried.
	connectTimeout = 15 * time.Second
	// quietTime is how long the far end must be silent after the application
	// sent FIN before END is sent.
	quietTime = 3 * time.Second
	// maxAttempts is how many circuits may be asked for one stream.
	maxAttempts = 4
	// maxOnionAttempts is the same for streams to an onion service.
	maxOnionAttempts = 2
	// ackCells is how much the application takes before the circuit is told:
	// half of what earns a SENDME.
	ackCells = 25
)

// Options is what a stream actor is made of.
type Options struct {
	Spec     *Spec
	Circuit  string // actor id in events
	Recorder *messages.Recorder
	Now      func() time.Time
	Up       *limits.Bucket // for what the application sends; nil: no limit
}

type (
	readDone  struct{ err error }
	written   struct{ err error }
	tooSlow   struct{}
	quietTick struct{}
	shed      struct{} // memory is short
)

// taken is what an application took, in whole DATA cells and in bytes.
type taken struct{ cells, bytes int }

// handover is a block that a goroutine writes. Whoever of it and the actor lets
// go last frees the block.
type handover struct {
	b   *block.Block
	let atomic.Int32
}

// last says whether the other side has let go before.
func (h *handover) last() bool { return h.let.Add(1) == 2 }

type stream struct {
	o       Options
	spec    *Spec
	id      cell.StreamID
	sock    *socket
	circuit *actor.PID

	connected bool
	reading   bool            // the reader goroutine runs
	localEOF  bool            // the application sent FIN
	remoteEnd bool            // END came; what is queued is still to be written
	verdict   chivev1.Outcome // of remoteEnd
	done      bool

	held    holding
	queue   []*block.Block // to be written to the application; queue[0] is being written while writing is set
	writing *handover
	unacked taken  // what the application took and the circuit has not been told of
	moved   bool   // data came since the last quietTick
	in, out uint64 // bytes to and from the application
	timer   *kernel.Timer
	cancel  context.CancelFunc // ends the dialling; set with Spec.Serve
}

// Props makes a stream actor, a child of its circuit's.
func Props(o Options) *actor.Props {
	return kernel.Props(func() actor.Actor { return &stream{o: o, spec: o.Spec, cancel: func() {}} })
}

// Receive is the actor's table of messages.
func (s *stream) Receive(ctx actor.Context) {
	if s.done {
		switch m := ctx.Message().(type) {
		case *block.Block:
			m.Free()
		case *dialled:
			m.Drop()
		}
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.circuit = ctx.Parent()
		s.watch(ctx, 0)
	case *dialled:
		s.dialled(ctx, m)
	case *Attached:
		s.attached(ctx, m)
	case *block.Block:
		s.block(ctx, m)
	case *Connected:
		s.connect(ctx, m)
	case *Resolved:
		s.resolved(ctx, m)
	case *Ended:
		s.ended(ctx, m)
	case *CircuitGone:
		s.circuitGone(ctx, m)
	case *CircuitSilent:
		if !s.connected {
			s.refused(ctx, m.Outcome, true)
		}
	case *written:
		s.written(ctx, m)
	case *readDone:
		s.readDone(ctx, m)
	case *tooSlow:
		if !s.connected {
			s.refused(ctx, chivev1.Outcome_OUTCOME_TIMEOUT, true)
		}
	case *look:
		s.look(ctx, m)
	case *quietTick:
		s.quiet(ctx)
	case *closed:
		s.finish(ctx, chivev1.Outcome_OUTCOME_OK, !s.remoteEnd, true)
	case *shed:
		s.finish(ctx, chivev1.Outcome_OUTCOME_OVERLOADED, !s.remoteEnd, false)
	case *actor.Stopping:
		s.stopped()
	}
}

func (s *stream) attached(ctx actor.Context, m *Attached) {
	s.id = m.Stream
	s.spec.Attempt++
	attached := &chivev1.StreamAttached{CircuitId: s.o.Circuit, Attempt: s.spec.Attempt}
	if p := s.spec.Purpose; p == chivev1.Purpose_PURPOSE_GENERAL || p == chivev1.Purpose_PURPOSE_RENDEZVOUS {
		attached.Isolates, attached.Isolation = uint32(s.spec.Isolation.Isolates()), s.spec.Isolation.Values.Bytes()
	}
	s.emit(messages.Event(chivev1.Kind_KIND_STREAM, s.spec.ID, attached))
	if s.spec.Serve != nil {
		s.join(ctx) // it may be sent data at once
	}
	s.dial(ctx) // not before: the circuit is told of an application by the stream's number
	if s.spec.Optimistic && !s.spec.Resolve {
		s.sendEarly(ctx)
	}
}

func (s *stream) connect(ctx actor.Context, m *Connected) {
	if s.spec.Unwanted != nil && s.spec.Unwanted(m.Addr) {
		s.finish(ctx, chivev1.Outcome_OUTCOME_STREAM_PROTOCOL, true, false)
		return
	}
	s.timer.Stop()
	s.connected = true
	s.emit(messages.Event(chivev1.Kind_KIND_STREAM, s.spec.ID, &chivev1.StreamConnected{
		Took: messages.Took(s.o.Now().Sub(s.spec.Requested)),
	}))
	sock, err := newSocket(s.spec.Conn, s.o.Up)
	if err == nil {
		s.sock = sock
		err = s.greet(ctx, s.spec.Front.Connected(m.Addr))
	}
	if err != nil {
		s.finish(ctx, socketEnd(err), true, false)
		return
	}
	if !s.spec.Optimistic { // else it followed the BEGIN
		s.sendEarly(ctx)
	}
	s.spec.Early = nil
	s.join(ctx)
	s.begin(ctx, sock)
}

// join makes what is kept known to the memory account. release tells it of the end.
func (s *stream) join(ctx actor.Context) {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	s.held.shed = func() { root.Send(self, &shed{}) }
	block.Join(&s.held)
}

// begin reads what the application sends.
func (s *stream) begin(ctx actor.Context, sock *socket) {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	s.held.up.Store(&sock.blocked)
	s.reading = true
	kernel.Go("stream reader", func() {
		err := sock.read(func(b *block.Block) { root.Send(self, b) })
		root.Send(self, &readDone{err})
	}, func(p *kernel.Panic) { root.Send(self, &readDone{p}) })
}

// greet queues the front end's answer ahead of all data.
func (s *stream) greet(ctx actor.Context, reply []byte) error {
	if len(reply) == 0 {
		return nil
	}
	b := block.Get(block.DataIn)
	b.Bytes = append(b.Buf[:0], reply...)
	return s.deliver(ctx, b)
}

// sendEarly sends what the application wrote before it was told "connected". The Spec
// keeps it for another circuit until this one is.
func (s *stream) sendEarly(ctx actor.Context) {
	for early := s.spec.Early; len(early) > 0; {
		b := block.Get(block.DataOut)
		n := copy(b.Buf[:block.MaxData], early)
		b.Bytes = b.Buf[:n]
		early = early[n:]
		s.upload(ctx, b)
	}
}

func (s *stream) block(ctx actor.Context, b *block.Block) {
	if b.Kind == block.DataOut {
		s.upload(ctx, b)
		return
	}
	s.moved = true
	s.in += uint64(len(b.Bytes))
	if s.spec.Count != nil {
		s.spec.Count.To.Add(uint64(len(b.Bytes)))
	}
	if s.sock == nil { // a client of ours sends before our application is there
		s.enqueue(b)
		return
	}
	if err := s.deliver(ctx, b); err != nil {
		s.finish(ctx, socketEnd(err), true, false)
	}
}

func (s *stream) upload(ctx actor.Context, b *block.Block) {
	if s.remoteEnd {
		b.Free()
		return
	}
	s.out += uint64(len(b.Bytes))
	if s.spec.Count != nil {
		s.spec.Count.From.Add(uint64(len(b.Bytes)))
	}
	b.Stream, b.Of = s.id, s.spec
	ctx.Send(s.circuit, b)
}

// deliver writes a block to the application: at once if the socket takes it,
// else by a goroutine, with what follows queued behind.
func (s *stream) deliver(ctx actor.Context, b *block.Block) error {
	if s.writing != nil {
		s.enqueue(b)
		return nil
	}
	n, err := s.sock.tryWrite(b.Bytes)
	if err != nil {
		b.Free()
		return err
	}
	s.tookBytes(b, n)
	if n == len(b.Bytes) {
		s.took(ctx, b)
		return nil
	}
	b.Bytes = b.Bytes[n:]
	s.queue = append(s.queue, b)
	s.held.keep(len(b.Buf))
	s.writeOn(ctx)
	return nil
}

// enqueue adds a block behind the one that is written, or to those that wait for the
// application to be there. A slow application must not hold a whole block for each few
// bytes: what fits into the last one goes there, if it is not being written.
func (s *stream) enqueue(b *block.Block) {
	written := 0
	if s.writing != nil {
		written = 1
	}
	if n := len(s.queue); n > written && merge(s.queue[n-1], b) {
		return
	}
	s.queue = append(s.queue, b)
	s.held.keep(len(b.Buf))
}

// merge moves what b has into the last block, if it fits there, and frees b.
func merge(last, b *block.Block) bool {
	if cap(last.Bytes)-len(last.Bytes) < len(b.Bytes) {
		return false
	}
	last.Bytes = append(last.Bytes, b.Bytes...)
	last.Cells += b.Cells
	b.Free()
	return true
}

// writeOn has a goroutine wait for the socket to take queue[0].
func (s *stream) writeOn(ctx actor.Context) {
	h := &handover{b: s.queue[0]}
	s.writing = h
	root, self, conn, data := ctx.ActorSystem().Root, ctx.Self(), s.spec.Conn, h.b.Bytes
	done := func(err error) {
		if h.last() {
			h.b.Free() // the actor is gone
			return
		}
		root.Send(self, &written{err})
	}
	kernel.Go("stream writer", func() {
		_, err := conn.Write(data)
		done(err)
	}, func(p *kernel.Panic) { done(p) })
}

func (s *stream) written(ctx actor.Context, m *written) {
	s.writing = nil
	s.held.letGo()
	b := s.queue[0]
	s.queue = append(s.queue[:0], s.queue[1:]...)
	if m.err != nil {
		b.Free()
		s.finish(ctx, socketEnd(m.err), !s.remoteEnd, false)
		return
	}
	s.tookBytes(b, len(b.Bytes))
	s.took(ctx, b)
	rest := s.queue
	s.queue = nil
	for i, b := range rest {
		if err := s.deliver(ctx, b); err != nil {
			for _, b := range rest[i+1:] {
				b.Free()
			}
			s.finish(ctx, socketEnd(err), !s.remoteEnd, false)
			return
		}
	}
	if s.remoteEnd && len(s.queue) == 0 {
		s.finish(ctx, s.verdict, false, s.verdict == chivev1.Outcome_OUTCOME_OK)
	}
}

// tookBytes counts bytes of a block that the application has now, but for the front end's.
func (s *stream) tookBytes(b *block.Block, n int) {
	if b.Cells > 0 {
		s.unacked.bytes += n
	}
}

// took accounts for a block that the application has whole.
func (s *stream) took(ctx actor.Context, b *block.Block) {
	s.unacked.cells += b.Cells
	b.Free()
	if s.unacked.cells >= ackCells && !s.remoteEnd {
		ctx.Send(s.circuit, &Consumed{Spec: s.spec, Stream: s.id, Cells: s.unacked.cells, Bytes: s.unacked.bytes})
		s.unacked = taken{}
	}
}

func (s *stream) ended(ctx actor.Context, m *Ended) {
	out := outcome.FromEnd(m.Reason, s.connected)
	if s.spec.Serve != nil {
		out = servedEnd(s.connected) // clients give no reasons
	}
	switch {
	case !s.connected:
		s.refused(ctx, out, false)
	case len(s.queue) > 0:
		s.remoteEnd, s.verdict = true, out
	default:
		s.finish(ctx, out, false, out == chivev1.Outcome_OUTCOME_OK)
	}
}

// resolved answers a question for a name; the stream is then done.
func (s *stream) resolved(ctx actor.Context, m *Resolved) {
	out := Resolve(s.spec, m.Answers)
	s.done = true
	s.timer.Stop()
	s.emit(EndedEvent(s.spec, out, s.o.Now(), 0, 0))
	ctx.Send(s.circuit, &Finish{Spec: s.spec, Stream: s.id, Outcome: out})
	ctx.Stop(ctx.Self())
}

func (s *stream) circuitGone(ctx actor.Context, m *CircuitGone) {
	if s.connected {
		s.finish(ctx, m.Outcome, false, false)
		return
	}
	s.refused(ctx, m.Outcome, false)
}

// refused ends a stream that is not connected, or hands it back so that it is
// tried on another circuit.
func (s *stream) refused(ctx actor.Context, out chivev1.Outcome, end bool) {
	if !s.spec.mendable(out) {
		s.finish(ctx, out, end, false)
		return
	}
	s.done = true
	s.timer.Stop()
	s.emit(messages.Event(chivev1.Kind_KIND_STREAM, s.spec.ID, &chivev1.StreamDetached{
		Outcome: out, CircuitId: s.o.Circuit,
	}))
	s.spec.Last = out
	ctx.Send(s.circuit, &Finish{Spec: s.spec, Stream: s.id, Back: true, Outcome: out, End: end})
	ctx.Stop(ctx.Self())
}

// mendable says whether the stream may be tried on another circuit. A service is the same
// on each, and to meet it anew costs a lot: what it said itself counts.
func (s *Spec) mendable(out chivev1.Outcome) bool {
	if s.Serve != nil {
		return false // it is the client's
	}
	if s.Onion == nil {
		return mendable(out) && s.Attempt < maxAttempts
	}
	switch out {
	case chivev1.Outcome_OUTCOME_TIMEOUT, chivev1.Outcome_OUTCOME_CONNECTION_LOST, chivev1.Outcome_OUTCOME_DESTROYED,
		chivev1.Outcome_OUTCOME_IDLE, chivev1.Outcome_OUTCOME_REPLACED, chivev1.Outcome_OUTCOME_INTERNAL, chivev1.Outcome_OUTCOME_LINK_PROTOCOL:
		return s.Attempt < maxOnionAttempts
	}
	return false
}

// mendable says whether another circuit may do better.
func mendable(out chivev1.Outcome) bool {
	switch out {
	case chivev1.Outcome_OUTCOME_TIMEOUT, chivev1.Outcome_OUTCOME_CONNECTION_LOST, chivev1.Outcome_OUTCOME_DESTROYED,
		chivev1.Outcome_OUTCOME_EXIT_POLICY, chivev1.Outcome_OUTCOME_RELAY_RESOURCE, chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL,
		chivev1.Outcome_OUTCOME_STREAM_RESET, chivev1.Outcome_OUTCOME_STREAM_PROTOCOL, chivev1.Outcome_OUTCOME_RESOLVE_FAILED,
		chivev1.Outcome_OUTCOME_REPLACED, chivev1.Outcome_OUTCOME_INTERNAL, chivev1.Outcome_OUTCOME_IDLE,
		chivev1.Outcome_OUTCOME_LINK_PROTOCOL:
		return true
	default:
		return false
	}
}

func (s *stream) readDone(ctx actor.Context, m *readDone) {
	s.reading = false
	switch {
	case errors.Is(m.err, io.EOF) && s.saidAll():
		s.finish(ctx, chivev1.Outcome_OUTCOME_OK, !s.remoteEnd, true)
	case errors.Is(m.err, io.EOF):
		s.localEOF = true
		s.moved = false
		s.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), quietTime, &quietTick{})
		s.watchClose(ctx)
	default:
		s.finish(ctx, socketEnd(m.err), !s.remoteEnd, false)
	}
}

// quiet ends a half-closed stream when nothing came for a while.
func (s *stream) quiet(ctx actor.Context) {
	if s.moved || len(s.queue) > 0 {
		s.moved = false
		s.timer = kernel.After(ctx.ActorSystem(), ctx.Self(), quietTime, &quietTick{})
		return
	}
	s.finish(ctx, chivev1.Outcome_OUTCOME_OK, true, true)
}

// finish is the only way out, but for being handed back. end: the far end is
// still to be told; whole: the application got all there was.
func (s *stream) finish(ctx actor.Context, out chivev1.Outcome, end, whole bool) {
	if s.done {
		return
	}
	s.release(out, whole)
	drop := out == chivev1.Outcome_OUTCOME_OVERLOADED
	ctx.Send(s.circuit, &Finish{Spec: s.spec, Stream: s.id, Outcome: out, End: end, Drop: drop})
	ctx.Stop(ctx.Self())
}

// stopped ends a stream whose circuit's actor failed under it.
func (s *stream) stopped() {
	if !s.done {
		s.release(chivev1.Outcome_OUTCOME_INTERNAL, false)
	}
}

// release lets go of the socket and tells the end.
func (s *stream) release(out chivev1.Outcome, whole bool) {
	s.done = true
	s.timer.Stop()
	defer block.Leave(&s.held) // what is kept is given back by then
	switch {
	case s.sock == nil && s.spec.Serve != nil:
		if s.cancel != nil { // it was attached
			s.cancel()
		}
	case s.sock == nil:
		Refuse(s.spec, out)
	case whole:
		s.sock.finish(s.reading)
	default:
		s.sock.abort()
	}
	for i, b := range s.queue {
		if i > 0 || s.writing == nil || s.writing.last() {
			b.Free()
		} // else the writer still reads it
	}
	s.queue = nil
	s.emit(EndedEvent(s.spec, out, s.o.Now(), s.in, s.out))
}

func (s *stream) emit(e *chivev1.Envelope) {
	s.spec.Cause = s.o.Recorder.Emit(messages.Because(e, s.spec.Cause, s.spec.ID))
}

// Resolve answers a question for a name and closes its socket; the outcome is how
// the stream ended.
func Resolve(spec *Spec, answers []cell.Answer) chivev1.Outcome {
	reply, out := spec.Front.Resolved(answers)
	answer(spec, reply)
	return out
}

// Refuse answers a request that never got connected and closes its socket.
func Refuse(spec *Spec, out chivev1.Outcome) { answer(spec, spec.Front.Refused(out)) }

// answer writes the last thing an application is told, and closes its socket.
func answer(spec *Spec, reply []byte) {
	_ = spec.Conn.SetWriteDeadline(time.Now().Add(time.Second)) // a socket that is closed already needs none
	_, _ = spec.Conn.Write(reply)                               // nobody is left to tell if this fails
	_ = spec.Conn.Close()
}

// EndedEvent is the terminal event of a stream.
func EndedEvent(spec *Spec, out chivev1.Outcome, now time.Time, in, sent uint64) *chivev1.Envelope {
	return messages.Because(messages.Event(chivev1.Kind_KIND_STREAM, spec.ID, &chivev1.StreamEnded{
		Outcome: out, Lived: messages.Took(now.Sub(spec.Requested)),
		BytesIn: messages.Bytes(in), BytesOut: messages.Bytes(sent),
	}), spec.Cause, spec.ID)
}
